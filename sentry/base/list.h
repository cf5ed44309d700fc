/* Intrusive doubly linked lists: a struct list_node inside the element, a struct list as head.
 * No allocation, no locking; the owner's comment says which lock guards the list. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

struct list_node {
    struct list_node *prev, *next;
};

struct list {
    struct list_node head;
};

#define LIST_INIT(l)                                                                               \
    {                                                                                              \
        .head = { &(l).head, &(l).head }                                                           \
    }

static inline void list_init(struct list *l)
{
    l->head.prev = l->head.next = &l->head;
}
/* An unlinked node points at itself, so list_del and list_linked work on it. */
static inline void list_node_init(struct list_node *n)
{
    n->prev = n->next = n;
}
static inline bool list_empty(const struct list *l)
{
    return l->head.next == &l->head;
}
static inline bool list_linked(const struct list_node *n)
{
    return n->next != n;
}

static inline void list_insert_between(struct list_node *n, struct list_node *prev,
                                       struct list_node *next)
{
    n->prev = prev;
    n->next = next;
    prev->next = n;
    next->prev = n;
}

static inline void list_push_front(struct list *l, struct list_node *n)
{
    list_insert_between(n, &l->head, l->head.next);
}

static inline void list_push_back(struct list *l, struct list_node *n)
{
    list_insert_between(n, l->head.prev, &l->head);
}

/* Idempotent: deleting an unlinked (initialised) node does nothing. */
static inline void list_del(struct list_node *n)
{
    n->prev->next = n->next;
    n->next->prev = n->prev;
    list_node_init(n);
}

/* Move all of src to the end of dst. */
static inline void list_splice_back(struct list *dst, struct list *src)
{
    if (list_empty(src))
        return;
    src->head.next->prev = dst->head.prev;
    dst->head.prev->next = src->head.next;
    src->head.prev->next = &dst->head;
    dst->head.prev = src->head.prev;
    list_init(src);
}

#define list_entry(node, type, member) container_of(node, type, member)
#define list_first(l, type, member)                                                                \
    (list_empty(l) ? NULL : list_entry((l)->head.next, type, member))
#define list_last(l, type, member) (list_empty(l) ? NULL : list_entry((l)->head.prev, type, member))
#define list_for_each(pos, l, member)                                                              \
    for (pos = list_entry((l)->head.next, __typeof__(*pos), member); &pos->member != &(l)->head;   \
         pos = list_entry(pos->member.next, __typeof__(*pos), member))
/* pos may be deleted (and freed) in the body. */
#define list_for_each_safe(pos, tmp, l, member)                                                    \
    for (pos = list_entry((l)->head.next, __typeof__(*pos), member),                               \
        tmp = list_entry(pos->member.next, __typeof__(*pos), member);                              \
         &pos->member != &(l)->head;                                                               \
         pos = tmp, tmp = list_entry(tmp->member.next, __typeof__(*tmp), member))
