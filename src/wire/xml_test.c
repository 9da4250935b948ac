/* XML: trees, refusals, limits, and that what is written reads back. */
#include "wire/xml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static void tree(void **state)
{
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	const struct xml_node *n =
		xml_parse(&a,
			  STR("<?xml version='1.0'?><a:R xmlns:a='x' k='v'><P> 1 &amp; <![CDATA[<]]>\n"
			      "</P><Q/><P>2</P> mixed </a:R>"),
			  1000, NULL);

	assert_non_null(n);
	assert_true(str_eqz(n->name, "R"));
	assert_int_equal(n->text.n, 0);
	assert_int_equal(xml_count(n, "P"), 2);
	assert_true(str_eqz(xml_child(n, "P")->text, " 1 & <\n"));
	assert_true(str_eqz(xml_child_text(n, "P"), "1 & <"));
	assert_true(str_eqz(xml_again(xml_child(n, "P"))->text, "2"));
	assert_null(xml_again(xml_child(n, "Q")));
	assert_true(xml_child_text(n, "Q").p != NULL);
	assert_null(xml_child_text(n, "Z").p);
	assert_null(xml_child(NULL, "Z"));
}

static void refused(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"", "no element found"},
		{"x", "syntax error"},
		{"<a>", "no element found"},
		{"<a></b>", "mismatched tag"},
		{"<a/><b/>", "junk after document element"},
		{"<a>&x;</a>", "undefined entity"},
		{"<a>&#0;</a>", "reference to invalid character number"},
		{"<a>\xff</a>", "not well-formed"},
		{"<!DOCTYPE a><a/>", "document type declaration"},
		{"<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", "document type declaration"},
		{"<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>", "document type declaration"},
		{"<?xml version='1.0' encoding='odd'?><a/>", "unknown encoding"},
		{"<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a>", "nested too deep"},
		{"<a>0123456789012345678901234567890123456789012345678901234567890123456789"
		 "0123456789012345678901234567890</a>",
		 "longer than 100 bytes"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(arena_done) struct arena a = ARENA_NULL;
		_cleanup_(err_done) struct err err = ERR_NULL;

		assert_null(xml_parse(&a, str_from(cases[i].text), 100, &err));
		if (!strstr(err.msg, cases[i].message))
			fail_msg("%s: %s", cases[i].text, err.msg);
	}
}

static void too_many(void **state)
{
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	_cleanup_(err_done) struct err err = ERR_NULL;
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	buf_adds(&b, "<r>");
	for (int i = 0; i < XML_NODES_MAX; i++)
		buf_adds(&b, "<a/>");
	buf_adds(&b, "</r>");
	assert_null(xml_parse(&a, buf_str(&b), b.n, &err));
	assert_non_null(strstr(err.msg, "too many"));
}

static void writer(void **state)
{
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	struct str raw = STR("a<&>\"'\r\n\t\xc3\xa4]]>");
	const struct xml_node *n;

	xml_begin(&b);
	xml_open_ns(&b, "R", "urn:x");
	xml_elem(&b, "K", raw);
	xml_elem_u64(&b, "N", UINT64_MAX);
	xml_elem_bool(&b, "B", true);
	xml_close(&b, "R");
	n = xml_parse(&a, buf_str(&b), b.n, NULL);
	assert_non_null(n);
	assert_true(str_eq(xml_child(n, "K")->text, raw));
	assert_true(str_eqz(xml_child_text(n, "N"), "18446744073709551615"));
	assert_true(str_eqz(xml_child_text(n, "B"), "true"));
	buf_clear(&b);
	xml_text(&b, STR("\x01\0\x1f\xff\xef\xbf\xbf"));
	assert_string_equal(buf_cstr(&b), "&#x1;&#x0;&#x1f;\xef\xbf\xbd&#xffff;");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tree),
		cmocka_unit_test(refused),
		cmocka_unit_test(too_many),
		cmocka_unit_test(writer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
