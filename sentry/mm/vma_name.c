/* Names that a program gives its anonymous memory (PR_SET_VMA_ANON_NAME).
 *
 * A VMA's name is a static string, compared by address. So given names are kept for good in one
 * table; it is bounded, and a sandbox that has used it up gets ENOMEM for new ones. */
#include "mm_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX   4096
#define LABEL_SIZE  96
#define ANON_PREFIX "[anon:"

struct label {
    struct tree_node node;
    char text[LABEL_SIZE];
};

static struct lock g_labels_lock = LOCK_INITIALIZER(LR_LEAF);
static struct tree g_labels;    /* lock: g_labels_lock */
static unsigned g_labels_count; /* lock: g_labels_lock */

static int label_cmp(const struct tree_node *a, const struct tree_node *b)
{
    return strcmp(tree_entry(a, struct label, node)->text, tree_entry(b, struct label, node)->text);
}

static int label_key(const void *key, const struct tree_node *n)
{
    return strcmp(key, tree_entry(n, struct label, node)->text);
}

static const char *label_get(const char *text)
{
    LOCK_GUARD(&g_labels_lock);
    struct tree_node *n = tree_find(&g_labels, text, label_key);
    if (n)
        return tree_entry(n, struct label, node)->text;
    struct label *l = g_labels_count < NAMES_MAX ? calloc(1, sizeof(*l)) : NULL;
    if (!l)
        return NULL;
    snprintf(l->text, sizeof(l->text), "%s", text);
    (void)tree_insert(&g_labels, &l->node, label_cmp);
    g_labels_count++;
    return l->text;
}

static bool is_given(const char *name)
{
    return name && !strncmp(name, ANON_PREFIX, strlen(ANON_PREFIX));
}

static int name_part(struct mm *mm, uint64_t lo, uint64_t hi, const char *label)
{
    struct vma *v = vma_find(mm, lo);
    if (v->file)
        return -EBADF;
    if (v->name == label || (v->name && !is_given(v->name)))
        return 0; /* heap, vDSO: their own names win */
    int r = vma_split_range(mm, lo, hi);
    if (r)
        return r == -ENOMEM ? -EAGAIN : r;
    vma_find(mm, lo)->name = label;
    return 0;
}

static int name_range_locked(struct mm *mm, uint64_t at, uint64_t end, const char *label)
{
    int hole = 0;
    while (at < end) {
        struct vma *v = vma_above(mm, at);
        if (!v || v->start >= end)
            return -ENOMEM;
        if (v->start > at)
            hole = -ENOMEM;
        uint64_t lo = MAX(at, v->start), hi = MIN(end, v->end);
        int r = name_part(mm, lo, hi, label);
        if (r)
            return r;
        at = hi;
    }
    return hole;
}

int mm_name_range(struct mm *mm, uint64_t addr, uint64_t size, const char *name)
{
    char text[LABEL_SIZE];
    struct list dead = LIST_INIT(dead);
    const char *label = NULL;
    if (name) {
        snprintf(text, sizeof(text), ANON_PREFIX "%s]", name);
        label = label_get(text);
        if (!label)
            return -ENOMEM;
    }
    if (!size)
        return 0;
    rwlock_write(&mm->lock);
    int r = name_range_locked(mm, addr, addr + size, label);
    vma_merge_range(mm, addr, addr + size, &dead);
    rwlock_write_release(&mm->lock);
    vma_free_list(&dead);
    return r;
}
