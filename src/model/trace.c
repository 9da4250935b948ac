/* Trace headers. Pure; nothing can fail: what is not understood is left out. */
#include "model/trace.h"

#include "base/buf.h"

/* FNV-1a: a hash that every gateway computes alike and that may be seen by clients. */
static uint32_t arn_hash(struct str arn)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < arn.n; i++)
		h = (h ^ (uint8_t)arn.p[i]) * 16777619u;
	return h;
}

static bool is_hex(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f') ||
		      (s.p[i] >= 'A' && s.p[i] <= 'F')))
			return false;
	return true;
}

/* 1-8 hex-24 hex */
static bool is_root(struct str s)
{
	return s.n == 35 && str_starts(s, STR("1-")) && s.p[10] == '-' && is_hex(str_sub(s, 2, 8)) &&
	       is_hex(str_sub(s, 11, 24));
}

static void add_lineage(struct trace *t, struct trace_lineage l)
{
	struct trace_lineage *least = t->lineage;

	for (size_t i = 0; i < t->n_lineage; i++) {
		if (t->lineage[i].function == l.function) {
			t->lineage[i].count = MAX(t->lineage[i].count, l.count);
			return;
		}
		if (t->lineage[i].count < least->count)
			least = &t->lineage[i];
	}
	if (t->n_lineage < TRACE_LINEAGE_MAX)
		t->lineage[t->n_lineage++] = l;
	else if (least->count <= l.count)
		*least = l;
}

static void parse_lineage(struct str s, struct trace *t)
{
	while (s.n) {
		struct str one, hash;
		uint8_t h[4];
		uint64_t count;

		str_cut(s, '|', &one, &s);
		if (!str_cut(one, ':', &hash, &one) || !hex_decode(hash, h, 4) || !str_to_u64(one, &count))
			continue;
		add_lineage(
			t, (struct trace_lineage){
				   .function = (uint32_t)h[0] << 24 | (uint32_t)h[1] << 16 | (uint32_t)h[2] << 8 | h[3],
				   .count = (uint32_t)MIN(count, (uint64_t)UINT32_MAX - 1),
			   });
	}
}

void trace_parse(struct str s, struct trace *ret)
{
	*ret = (struct trace){.root = STR(""), .parent = STR(""), .sampled = -1};
	while (s.n) {
		struct str field, name, value;

		str_cut(s, ';', &field, &s);
		if (!str_cut(str_trim(field), '=', &name, &value))
			continue;
		if (str_ieq(name, STR("Root")) && is_root(value))
			ret->root = value;
		else if (str_ieq(name, STR("Parent")) && value.n == 16 && is_hex(value))
			ret->parent = value;
		else if (str_ieq(name, STR("Sampled")) && (str_eqz(value, "0") || str_eqz(value, "1")))
			ret->sampled = value.p[0] - '0';
		else if (str_ieq(name, STR("Lineage")))
			parse_lineage(value, ret);
	}
}

char *trace_format(struct arena *a, const struct trace *t)
{
	_cleanup_(buf_done) struct buf b = BUF_NULL;

	if (t->root.n)
		buf_printf(&b, "Root=%.*s;", STR_ARG(t->root));
	if (t->parent.n)
		buf_printf(&b, "Parent=%.*s;", STR_ARG(t->parent));
	if (t->sampled >= 0)
		buf_printf(&b, "Sampled=%d;", t->sampled);
	for (size_t i = 0; i < t->n_lineage; i++)
		buf_printf(&b, "%s%08x:%u", i ? "|" : "Lineage=", t->lineage[i].function, t->lineage[i].count);
	if (b.n && t->n_lineage == 0)
		b.n--;
	return arena_dup(a, buf_str(&b));
}

char *trace_next(struct arena *a, struct str in, struct str function_arn,
		 const uint8_t random[static TRACE_RANDOM_SIZE], int64_t now_s, uint32_t *rounds)
{
	struct trace_lineage mine = {.function = arn_hash(function_arn), .count = 1};
	char root[25], parent[17];
	struct trace t;

	trace_parse(in, &t);
	if (t.root.n == 0) {
		hex_encode(random, 12, root);
		t.root = str_from(arena_printf(a, "1-%08x-%s", (uint32_t)now_s, root));
	}
	hex_encode(random + 12, 8, parent);
	t.parent = str_from(parent);
	if (t.sampled < 0)
		t.sampled = 0;
	for (size_t i = 0; i < t.n_lineage; i++)
		if (t.lineage[i].function == mine.function)
			mine.count = t.lineage[i].count + 1;
	add_lineage(&t, mine);
	*rounds = mine.count;
	return trace_format(a, &t);
}
