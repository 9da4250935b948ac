/* XML over expat: documents of clients into a tree, and the writer of answers. Pure; the tree lies in the caller's
 * arena, the parser lives for one call. Everything from outside may fail: a document that is malformed, too deep or
 * too large stops the parser at once, and so does a DOCTYPE, since without one no entity can be declared. */
#include "wire/xml.h"

#include "wire/utf8.h"

#include <expat.h>
#include <stdio.h>

struct builder {
	XML_Parser parser;
	struct arena *arena;
	struct err *err;
	struct xml_node *root;
	struct {
		struct xml_node *node;
		struct xml_node **tail; /* where its next child goes */
	} open[XML_DEPTH_MAX];
	unsigned depth;
	size_t nodes;
	struct buf text; /* of the innermost open element */
	bool stopped;
};

static void parser_freep(XML_Parser *p)
{
	if (*p)
		XML_ParserFree(*p);
}

static void builder_done(struct builder *b)
{
	buf_done(&b->text);
}

static void stop(struct builder *b, const char *why)
{
	if (b->stopped)
		return;
	b->stopped = true;
	err_set(b->err, 0, "line %lu: %s", XML_GetCurrentLineNumber(b->parser), why);
	XML_StopParser(b->parser, XML_FALSE);
}

static void XMLCALL on_start(void *arg, const XML_Char *name, const XML_Char **attributes)
{
	struct builder *b = arg;
	struct xml_node *n;
	const char *colon = strrchr(name, ':');

	if (b->stopped)
		return;
	if (b->depth == XML_DEPTH_MAX) {
		stop(b, "elements are nested too deep");
		return;
	}
	if (++b->nodes > XML_NODES_MAX) {
		stop(b, "too many elements");
		return;
	}
	n = arena_new(b->arena, struct xml_node);
	n->name = arena_str(b->arena, str_from(colon ? colon + 1 : name));
	n->text = STR("");
	if (b->depth == 0) {
		b->root = n;
	} else {
		*b->open[b->depth - 1].tail = n;
		b->open[b->depth - 1].tail = &n->next;
	}
	b->open[b->depth].node = n;
	b->open[b->depth].tail = &n->children;
	b->depth++;
	buf_clear(&b->text);
}

static void XMLCALL on_end(void *arg, const XML_Char *name)
{
	struct builder *b = arg;
	struct xml_node *n;

	if (b->stopped)
		return;
	n = b->open[--b->depth].node;
	if (!n->children)
		n->text = arena_str(b->arena, buf_str(&b->text));
	buf_clear(&b->text);
}

static void XMLCALL on_text(void *arg, const XML_Char *s, int n)
{
	struct builder *b = arg;

	if (!b->stopped)
		buf_add(&b->text, s, (size_t)n);
}

static void XMLCALL on_doctype(void *arg, const XML_Char *name, const XML_Char *system_id, const XML_Char *public_id,
			       int has_internal_subset)
{
	stop(arg, "a document type declaration is not allowed");
}

struct xml_node *xml_parse(struct arena *a, struct str text, size_t max, struct err *err)
{
	_cleanup_(parser_freep) XML_Parser parser = NULL;
	_cleanup_(builder_done) struct builder b = {.arena = a, .err = err};

	if (text.n > max || text.n > INT32_MAX) {
		err_set(err, 0, "the document is longer than %zu bytes", max);
		return NULL;
	}
	parser = b.parser = XML_ParserCreate(NULL);
	if (!parser)
		abort();
	XML_SetUserData(parser, &b);
	XML_SetElementHandler(parser, on_start, on_end);
	XML_SetCharacterDataHandler(parser, on_text);
	XML_SetStartDoctypeDeclHandler(parser, on_doctype);
	if (XML_Parse(parser, text.p ? text.p : "", (int)text.n, XML_TRUE) != XML_STATUS_OK) {
		if (!b.stopped)
			err_set(err, 0, "line %lu: %s", XML_GetCurrentLineNumber(parser),
				XML_ErrorString(XML_GetErrorCode(parser)));
		return NULL;
	}
	return b.root;
}

static const struct xml_node *find(const struct xml_node *n, struct str name)
{
	while (n && !str_eq(n->name, name))
		n = n->next;
	return n;
}

const struct xml_node *xml_child(const struct xml_node *n, const char *name)
{
	return n ? find(n->children, str_from(name)) : NULL;
}

const struct xml_node *xml_again(const struct xml_node *n)
{
	return find(n->next, n->name);
}

size_t xml_count(const struct xml_node *n, const char *name)
{
	size_t count = 0;

	for (const struct xml_node *c = xml_child(n, name); c; c = xml_again(c))
		count++;
	return count;
}

struct str xml_node_text(const struct xml_node *n)
{
	struct str s = n->text;

	while (s.n && memchr(" \t\r\n", s.p[0], 4))
		s = str_sub(s, 1, s.n);
	while (s.n && memchr(" \t\r\n", s.p[s.n - 1], 4))
		s.n--;
	return s;
}

struct str xml_child_text(const struct xml_node *n, const char *name)
{
	const struct xml_node *c = xml_child(n, name);

	return c ? xml_node_text(c) : STR_NULL;
}

void xml_begin(struct buf *b)
{
	buf_adds(b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
}

void xml_open(struct buf *b, const char *name)
{
	buf_addc(b, '<');
	buf_adds(b, name);
	buf_addc(b, '>');
}

void xml_open_ns(struct buf *b, const char *name, const char *xmlns)
{
	buf_addc(b, '<');
	buf_adds(b, name);
	buf_adds(b, " xmlns=\"");
	xml_text(b, str_from(xmlns));
	buf_adds(b, "\">");
}

void xml_close(struct buf *b, const char *name)
{
	buf_adds(b, "</");
	buf_adds(b, name);
	buf_addc(b, '>');
}

/* How a character is written, or NULL: as it is. */
static const char *escaped(uint32_t cp, char out[static 16])
{
	switch (cp) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '"':
		return "&quot;";
	case '\t':
	case '\n':
		return NULL;
	default:
		break;
	}
	if (cp >= 0x20 && cp != 0xfffe && cp != 0xffff)
		return NULL;
	/* A raw carriage return would come back as a line feed. */
	snprintf(out, 16, "&#x%x;", cp);
	return out;
}

void xml_text(struct buf *b, struct str s)
{
	size_t plain = 0;
	char numeric[16];

	for (size_t i = 0, len; i < s.n; i += len) {
		uint32_t cp = 0;
		const char *with;

		len = utf8_decode(s.p + i, s.n - i, &cp);
		with = len ? escaped(cp, numeric) : "\xef\xbf\xbd";
		if (!len)
			len = 1;
		if (!with)
			continue;
		buf_add(b, s.p + plain, i - plain);
		buf_adds(b, with);
		plain = i + len;
	}
	if (s.n > plain)
		buf_add(b, s.p + plain, s.n - plain);
}

void xml_elem(struct buf *b, const char *name, struct str s)
{
	xml_open(b, name);
	xml_text(b, s);
	xml_close(b, name);
}

void xml_elem_u64(struct buf *b, const char *name, uint64_t v)
{
	buf_printf(b, "<%s>%llu</%s>", name, (unsigned long long)v, name);
}

void xml_elem_bool(struct buf *b, const char *name, bool v)
{
	xml_elem(b, name, v ? STR("true") : STR("false"));
}
