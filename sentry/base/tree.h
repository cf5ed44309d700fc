/* Intrusive balanced (AVL) search trees keyed by the caller's comparison; used for VMAs, extents,
 * directory entries, timers. No allocation, no locking. */
#pragma once
#include "base/list.h"
#include <stdint.h>

struct tree_node {
    struct tree_node *parent, *left, *right;
    int height;
};

struct tree {
    struct tree_node *root;
};

/* <0, 0, >0 as for strcmp. */
typedef int tree_cmp_fn(const struct tree_node *a, const struct tree_node *b);
typedef int tree_key_fn(const void *key, const struct tree_node *n);

/* False, and nothing changes, if an equal node is present. */
bool tree_insert(struct tree *t, struct tree_node *n, tree_cmp_fn *cmp);
void tree_erase(struct tree *t, struct tree_node *n);
struct tree_node *tree_find(const struct tree *t, const void *key, tree_key_fn *cmp);
/* First node for which cmp(key, node) <= 0, that is the least node not below the key. */
struct tree_node *tree_lower_bound(const struct tree *t, const void *key, tree_key_fn *cmp);
struct tree_node *tree_first(const struct tree *t);
struct tree_node *tree_last(const struct tree *t);
struct tree_node *tree_next(const struct tree_node *n);
struct tree_node *tree_prev(const struct tree_node *n);
#define tree_entry(node, type, member) container_of(node, type, member)
