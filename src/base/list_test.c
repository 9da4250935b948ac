/* Typed lists: order, removal anywhere, membership. */
#include "base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

struct item {
	int v;
	struct list_link on_list;
};

DEFINE_LIST(item_list, struct item, on_list)

static void test_order(void **state)
{
	struct item_list l = {0};
	struct item items[4] = {{.v = 0}, {.v = 1}, {.v = 2}, {.v = 3}};
	int want = 0;

	assert_null(item_list_pop(&l));
	item_list_push(&l, &items[1]);
	item_list_push(&l, &items[2]);
	item_list_push_front(&l, &items[0]);
	item_list_push(&l, &items[3]);
	assert_int_equal(l.n, 4);
	for (struct item *i = item_list_first(&l); i; i = item_list_next(i))
		assert_int_equal(i->v, want++);
	for (struct item *i = item_list_last(&l); i; i = item_list_prev(i))
		assert_int_equal(i->v, --want);
	item_list_remove(&l, &items[1]);
	assert_false(item_list_linked(&items[1]));
	item_list_remove(&l, &items[3]);
	item_list_remove(&l, &items[0]);
	assert_ptr_equal(item_list_first(&l), item_list_last(&l));
	assert_ptr_equal(item_list_pop(&l), &items[2]);
	assert_int_equal(l.n, 0);
	assert_null(l.head);
	assert_null(l.tail);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_order)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
