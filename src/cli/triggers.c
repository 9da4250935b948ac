/* Merging triggers into a bucket's notifications. An entry that a deploy makes has the Id "wick:FUNCTION:N": the name
 * of a function holds no colon, so that an entry is surely ours, and those of other tools stay as they are. */
#include "cli/triggers.h"

#include "base/buf.h"
#include "wire/s3_xml.h"
#include "wire/xml.h"

#define DOCUMENT_MAX ((size_t)4 << 20)

static bool is_ours(const struct plan *p, struct str bucket, struct str id)
{
	struct str head, function, rest;

	if (!str_cut(id, ':', &head, &rest) || !str_eqz(head, "wick") || !str_cut(rest, ':', &function, &rest))
		return false;
	for (size_t i = 0; i < p->n_triggers; i++)
		if (str_eq(p->triggers[i].function, function) && str_eq(p->triggers[i].bucket, bucket))
			return true;
	for (size_t i = 0; p->whole && i < p->n_functions; i++)
		if (str_eq(p->functions[i].name, function))
			return true;
	return false;
}

static void copy_node(struct buf *b, const struct xml_node *n)
{
	_cleanup_(freep) char *name = str_dup(n->name);

	xml_open(b, name);
	if (n->children)
		for (const struct xml_node *c = n->children; c; c = c->next)
			copy_node(b, c);
	else
		xml_text(b, n->text);
	xml_close(b, name);
}

static void add_trigger(struct buf *b, const struct plan_trigger *g, size_t number, struct str region,
			struct str account)
{
	_cleanup_(buf_done) struct buf id = BUF_NULL, arn = BUF_NULL;

	buf_printf(&id, "wick:%.*s:%zu", STR_ARG(g->function), number);
	buf_printf(&arn, "arn:aws:lambda:%.*s:%.*s:function:%.*s", STR_ARG(region), STR_ARG(account),
		   STR_ARG(g->function));
	s3_xml_put_lambda_notification(b, &(struct s3_lambda_notification){.id = buf_str(&id),
									   .arn = buf_str(&arn),
									   .events = g->events,
									   .n_events = g->n_events,
									   .prefix = g->prefix,
									   .suffix = g->suffix});
}

int notification_merge(const struct plan *p, struct str bucket, struct str current, struct str region,
		       struct str account, struct buf *ret, struct err *err)
{
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	const struct xml_node *root = NULL;
	size_t number = 0;

	if (str_trim(current).n > 0) {
		root = xml_parse(&a, current, DOCUMENT_MAX, err);
		if (!root)
			return err_wrap(err, "the notifications of bucket %.*s", STR_ARG(bucket));
	}
	xml_begin(ret);
	xml_open_ns(ret, "NotificationConfiguration", "http://s3.amazonaws.com/doc/2006-03-01/");
	for (const struct xml_node *n = root ? root->children : NULL; n; n = n->next)
		if (!is_ours(p, bucket, xml_child_text(n, "Id")))
			copy_node(ret, n);
	for (size_t i = 0; i < p->n_triggers; i++)
		if (str_eq(p->triggers[i].bucket, bucket))
			add_trigger(ret, &p->triggers[i], ++number, region, account);
	xml_close(ret, "NotificationConfiguration");
	return 0;
}
