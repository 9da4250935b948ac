/* XML: a small tree for request documents, a writer for answers. xml.c is the one user of expat. Pure.
 *
 * Documents from outside are bounded: size, depth, number of elements. DOCTYPE, and with it every entity but the five
 * of XML, is refused: nothing is ever fetched or expanded. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#define XML_DEPTH_MAX 16
#define XML_NODES_MAX 100000

struct xml_node {
	struct str name; /* without the namespace's prefix */
	struct str text; /* of an element without children, blanks kept, entities undone; else empty */
	struct xml_node *children, *next;
};

/* The root element, in the arena; NULL with err set: malformed or beyond the limits. */
struct xml_node *xml_parse(struct arena *a, struct str text, size_t max, struct err *err);
/* First child of that name, or NULL. n may be NULL. */
const struct xml_node *xml_child(const struct xml_node *n, const char *name);
/* Next sibling of the same name, or NULL. */
const struct xml_node *xml_again(const struct xml_node *n);
size_t xml_count(const struct xml_node *n, const char *name);
struct str xml_node_text(const struct xml_node *n); /* blanks at both ends cut off */
/* Text of the child, blanks at both ends cut off; p == NULL: no such child. */
struct str xml_child_text(const struct xml_node *n, const char *name);

/* The writer: escapes, does not check nesting. Control characters and invalid UTF-8 that XML 1.0 cannot say become
 * &#x..; (as S3 writes them, a client asks for encoding-type=url) and U+FFFD. */
void xml_begin(struct buf *b); /* the declaration */
void xml_open(struct buf *b, const char *name);
void xml_open_ns(struct buf *b, const char *name, const char *xmlns);
void xml_close(struct buf *b, const char *name);
void xml_text(struct buf *b, struct str s);
void xml_elem(struct buf *b, const char *name, struct str s);
void xml_elem_u64(struct buf *b, const char *name, uint64_t v);
void xml_elem_bool(struct buf *b, const char *name, bool v);
