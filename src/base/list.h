/* Intrusive double lists, typed per (list, element, member): an element can only be put into or taken
 * from a list it was declared for. DEFINE_LIST(worker_list, struct worker, on_list) makes
 *   struct worker_list { head, tail, n }     struct list_link on_list;   (in struct worker)
 *   worker_list_push (tail), _push_front, _remove, _first, _last, _next, _prev, _pop (head), _linked */
#pragma once

#include "base/util.h"

struct list_link {
	void *prev, *next;
	void *owner; /* the list it is in, or NULL */
};

#define DEFINE_LIST(name, type, member)                                                                                \
	struct name {                                                                                                  \
		type *head, *tail;                                                                                     \
		size_t n;                                                                                              \
	};                                                                                                             \
	static inline _unused_ bool name##_linked(const type *e)                                                       \
	{                                                                                                              \
		return e->member.owner != NULL;                                                                        \
	}                                                                                                              \
	static inline _unused_ type *name##_first(const struct name *l)                                                \
	{                                                                                                              \
		return l->head;                                                                                        \
	}                                                                                                              \
	static inline _unused_ type *name##_last(const struct name *l)                                                 \
	{                                                                                                              \
		return l->tail;                                                                                        \
	}                                                                                                              \
	static inline _unused_ type *name##_next(const type *e)                                                        \
	{                                                                                                              \
		return e->member.next;                                                                                 \
	}                                                                                                              \
	static inline _unused_ type *name##_prev(const type *e)                                                        \
	{                                                                                                              \
		return e->member.prev;                                                                                 \
	}                                                                                                              \
	static inline _unused_ void name##_push(struct name *l, type *e)                                               \
	{                                                                                                              \
		if (e->member.owner)                                                                                   \
			__builtin_trap();                                                                              \
		e->member = (struct list_link){.prev = l->tail, .next = NULL, .owner = l};                             \
		if (l->tail)                                                                                           \
			l->tail->member.next = e;                                                                      \
		else                                                                                                   \
			l->head = e;                                                                                   \
		l->tail = e;                                                                                           \
		l->n++;                                                                                                \
	}                                                                                                              \
	static inline _unused_ void name##_push_front(struct name *l, type *e)                                         \
	{                                                                                                              \
		if (e->member.owner)                                                                                   \
			__builtin_trap();                                                                              \
		e->member = (struct list_link){.prev = NULL, .next = l->head, .owner = l};                             \
		if (l->head)                                                                                           \
			l->head->member.prev = e;                                                                      \
		else                                                                                                   \
			l->tail = e;                                                                                   \
		l->head = e;                                                                                           \
		l->n++;                                                                                                \
	}                                                                                                              \
	static inline _unused_ void name##_remove(struct name *l, type *e)                                             \
	{                                                                                                              \
		type *prev = e->member.prev, *next = e->member.next;                                                   \
		if (e->member.owner != l)                                                                              \
			__builtin_trap();                                                                              \
		if (prev)                                                                                              \
			prev->member.next = next;                                                                      \
		else                                                                                                   \
			l->head = next;                                                                                \
		if (next)                                                                                              \
			next->member.prev = prev;                                                                      \
		else                                                                                                   \
			l->tail = prev;                                                                                \
		e->member = (struct list_link){0};                                                                     \
		l->n--;                                                                                                \
	}                                                                                                              \
	static inline _unused_ type *name##_pop(struct name *l)                                                        \
	{                                                                                                              \
		type *e = l->head;                                                                                     \
		if (e)                                                                                                 \
			name##_remove(l, e);                                                                           \
		return e;                                                                                              \
	}
