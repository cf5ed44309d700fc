/* AVL trees with parent links. Heights are exact; rebalancing walks from the change to the root. */
#include "base/tree.h"

static int height(const struct tree_node *n)
{
    return n ? n->height : 0;
}

static void update_height(struct tree_node *n)
{
    int l = height(n->left), r = height(n->right);
    n->height = 1 + (l > r ? l : r);
}

static void replace_child(struct tree *t, struct tree_node *parent, struct tree_node *old,
                          struct tree_node *new)
{
    if (!parent)
        t->root = new;
    else if (parent->left == old)
        parent->left = new;
    else
        parent->right = new;
    if (new)
        new->parent = parent;
}

static struct tree_node *rotate_left(struct tree *t, struct tree_node *n)
{
    struct tree_node *r = n->right;
    replace_child(t, n->parent, n, r);
    n->right = r->left;
    if (r->left)
        r->left->parent = n;
    r->left = n;
    n->parent = r;
    update_height(n);
    update_height(r);
    return r;
}

static struct tree_node *rotate_right(struct tree *t, struct tree_node *n)
{
    struct tree_node *l = n->left;
    replace_child(t, n->parent, n, l);
    n->left = l->right;
    if (l->right)
        l->right->parent = n;
    l->right = n;
    n->parent = l;
    update_height(n);
    update_height(l);
    return l;
}

static struct tree_node *rebalance_one(struct tree *t, struct tree_node *n)
{
    int balance = height(n->left) - height(n->right);
    if (balance > 1) {
        if (height(n->left->left) < height(n->left->right))
            rotate_left(t, n->left);
        return rotate_right(t, n);
    }
    if (balance < -1) {
        if (height(n->right->right) < height(n->right->left))
            rotate_right(t, n->right);
        return rotate_left(t, n);
    }
    update_height(n);
    return n;
}

static void rebalance_up(struct tree *t, struct tree_node *n)
{
    for (; n; n = n->parent)
        n = rebalance_one(t, n);
}

bool tree_insert(struct tree *t, struct tree_node *n, tree_cmp_fn *cmp)
{
    struct tree_node *parent = NULL, **link = &t->root;
    while (*link) {
        parent = *link;
        int c = cmp(n, parent);
        if (c == 0)
            return false;
        link = c < 0 ? &parent->left : &parent->right;
    }
    *n = (struct tree_node){.parent = parent, .height = 1};
    *link = n;
    rebalance_up(t, parent);
    return true;
}

/* Put n's in-order successor (which has no left child) into n's place. Returns where to rebalance.
 */
static struct tree_node *replace_by_successor(struct tree *t, struct tree_node *n)
{
    struct tree_node *s = n->right;
    while (s->left)
        s = s->left;
    struct tree_node *from = s;
    if (s->parent != n) {
        from = s->parent;
        replace_child(t, s->parent, s, s->right);
        s->right = n->right;
        s->right->parent = s;
    }
    replace_child(t, n->parent, n, s);
    s->left = n->left;
    s->left->parent = s;
    return from;
}

void tree_erase(struct tree *t, struct tree_node *n)
{
    struct tree_node *from;
    if (n->left && n->right) {
        from = replace_by_successor(t, n);
    } else {
        from = n->parent;
        replace_child(t, n->parent, n, n->left ? n->left : n->right);
    }
    rebalance_up(t, from);
    *n = (struct tree_node){0};
}

struct tree_node *tree_find(const struct tree *t, const void *key, tree_key_fn *cmp)
{
    struct tree_node *n = t->root;
    while (n) {
        int c = cmp(key, n);
        if (c == 0)
            return n;
        n = c < 0 ? n->left : n->right;
    }
    return NULL;
}

struct tree_node *tree_lower_bound(const struct tree *t, const void *key, tree_key_fn *cmp)
{
    struct tree_node *n = t->root, *best = NULL;
    while (n) {
        if (cmp(key, n) <= 0) {
            best = n;
            n = n->left;
        } else {
            n = n->right;
        }
    }
    return best;
}

struct tree_node *tree_first(const struct tree *t)
{
    struct tree_node *n = t->root;
    while (n && n->left)
        n = n->left;
    return n;
}

struct tree_node *tree_last(const struct tree *t)
{
    struct tree_node *n = t->root;
    while (n && n->right)
        n = n->right;
    return n;
}

struct tree_node *tree_next(const struct tree_node *n)
{
    if (n->right) {
        struct tree_node *r = n->right;
        while (r->left)
            r = r->left;
        return r;
    }
    while (n->parent && n->parent->right == n)
        n = n->parent;
    return n->parent;
}

struct tree_node *tree_prev(const struct tree_node *n)
{
    if (n->left) {
        struct tree_node *l = n->left;
        while (l->right)
            l = l->right;
        return l;
    }
    while (n->parent && n->parent->left == n)
        n = n->parent;
    return n->parent;
}
