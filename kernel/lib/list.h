/* SPDX-License-Identifier: MIT */
/* Doubly linked lists, circular, with a head; and a few macros that everybody needs. */
#ifndef KERNEL_LIST_H
#define KERNEL_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define container_of(p, type, field) ((type *)(void *)((char *)(p)-offsetof(type, field)))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define SECOND 1000000000ul /* in nanoseconds, as which the kernel keeps all times */

struct list {
	struct list *next, *prev;
};

#define LIST_INIT(name)                                                                            \
	{                                                                                          \
		&(name), &(name)                                                                   \
	}

static inline void list_init(struct list *head)
{
	head->next = head->prev = head;
}

static inline bool list_empty(const struct list *head)
{
	return head->next == head;
}

/* At the end: with list_first a queue. */
static inline void list_add(struct list *head, struct list *node)
{
	node->next = head;
	node->prev = head->prev;
	head->prev->next = node;
	head->prev = node;
}

static inline void list_add_first(struct list *head, struct list *node)
{
	list_add(head->next, node);
}

/* The node is a list of its own afterwards: removing it again, or list_empty(node), is right. */
static inline void list_remove(struct list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

#define list_entry(node, type, field) container_of(node, type, field)
#define list_first(head, type, field) list_entry((head)->next, type, field)
/* The loop's body may not remove `at`: list_for_each_safe may. */
#define list_for_each(at, head, type, field)                                                       \
	for (type *at = list_first(head, type, field); &at->field != (head);                       \
	     at = list_entry(at->field.next, type, field))
#define list_for_each_safe(at, head, type, field)                                                  \
	for (type *at = list_first(head, type, field),                                             \
		  *at##_next = list_entry(at->field.next, type, field);                            \
	     &at->field != (head);                                                                 \
	     at = at##_next, at##_next = list_entry(at->field.next, type, field))

#endif
