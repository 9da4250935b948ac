/* Records of nodes and of join tokens as the store keeps them, and the rules of what they may hold. Pure; a stored
 * document may be damaged: every wrong member is named. */
#include "model/node.h"

#include "base/mem.h"
#include "model/settings.h"

#include <stdio.h>

#define TOKEN_PREFIX "wickt_"
#define SECRET_CHARS 43 /* of 32 bytes in base64url, without padding */

static bool is_alnum(char c, bool upper)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (upper && c >= 'A' && c <= 'Z');
}

static bool all_of(struct str s, size_t max, bool upper, const char *others)
{
	if (s.n < 1 || s.n > max)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!is_alnum(s.p[i], upper) && (!s.p[i] || !strchr(others, s.p[i])))
			return false;
	return true;
}

bool node_name_ok(struct str name)
{
	return all_of(name, NODE_NAME_MAX, false, "-") && name.p[0] != '-' && name.p[name.n - 1] != '-';
}

bool node_label_ok(struct str label)
{
	return all_of(label, NODE_LABEL_MAX, true, "._=-") && is_alnum(label.p[0], true);
}

bool node_key_ok(struct str key)
{
	struct str prefix = STR("SHA256:");

	return str_starts(key, prefix) &&
	       all_of(str_sub(key, prefix.n, key.n), NODE_KEY_MAX - prefix.n, true, "+/=_:-");
}

static bool is_text(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((uint8_t)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return false;
	return s.n <= NODE_TEXT_MAX;
}

bool node_labels_have(const struct str *labels, size_t n, struct str label)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(labels[i], label))
			return true;
	return false;
}

static int by_text(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

size_t node_labels_change(struct arena *a, const struct str *labels, size_t n, const struct str *add, size_t n_add,
			  const struct str *remove, size_t n_remove, struct str **ret)
{
	struct str *all = arena_new_n(a, struct str, n + n_add + 1);
	size_t k = 0;

	for (size_t i = 0; i < n + n_add; i++) {
		struct str one = i < n ? labels[i] : add[i - n];

		if (!node_labels_have(remove, n_remove, one) && !node_labels_have(all, k, one))
			all[k++] = arena_str(a, one);
	}
	qsort(all, k, sizeof(*all), by_text);
	*ret = all;
	return k;
}

static json_t *labels_to_json(const struct str *labels, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_str(labels[i]));
	return list;
}

static int labels_from_json(const json_t *o, struct str **ret, size_t *n, struct arena *a, struct err *err)
{
	const json_t *list = json_object_get(o, "labels");
	struct str *all;

	*ret = NULL;
	*n = 0;
	if (!list)
		return 0;
	if (!json_is_array(list) || json_array_size(list) > NODE_LABELS_MAX)
		return err_set(err, 0, "labels is not a list of at most %d", NODE_LABELS_MAX);
	all = arena_new_n(a, struct str, json_array_size(list) + 1);
	for (size_t i = 0; i < json_array_size(list); i++) {
		struct str one = json_str_value(json_array_get(list, i));

		if (!one.p || !node_label_ok(one))
			return err_set(err, 0, "labels[%zu] is no label", i);
		all[i] = one;
	}
	*n = node_labels_change(a, all, json_array_size(list), NULL, 0, NULL, 0, ret);
	return 0;
}

json_t *node_record_to_json(const struct node_record *n)
{
	json_t *o = json_object();

	json_set_str(o, "name", n->name);
	json_set_str(o, "key", n->key);
	json_object_set_new(o, "labels", labels_to_json(n->labels, n->n_labels));
	json_object_set_new(o, "drained", json_boolean(n->drained));
	json_object_set_new(o, "created_ms", json_integer(n->created_ms));
	json_object_set_new(o, "seen_ms", json_integer(n->seen_ms));
	json_set_str(o, "address", n->address);
	json_set_str(o, "version", n->version);
	json_set_str(o, "cost", n->cost);
	return o;
}

int node_record_from_json(struct node_record *ret, const json_t *j, struct arena *a, struct err *err)
{
	struct node_record n = {.address = STR(""), .version = STR(""), .cost = STR("")};
	const json_t *drained = json_object_get(j, "drained");

	if (!json_is_object(j))
		return err_set(err, 0, "a node is not an object");
	if (json_need_str(j, "name", &n.name, err) || json_need_str(j, "key", &n.key, err) ||
	    json_opt_str(j, "address", &n.address, err) || json_opt_str(j, "version", &n.version, err) ||
	    json_opt_str(j, "cost", &n.cost, err) || json_opt_int(j, "created_ms", 0, INT64_MAX, &n.created_ms, err) ||
	    json_opt_int(j, "seen_ms", 0, INT64_MAX, &n.seen_ms, err) ||
	    labels_from_json(j, &n.labels, &n.n_labels, a, err))
		return -1;
	if (!node_name_ok(n.name))
		return err_set(err, 0, "name is no name of a node");
	if (!node_key_ok(n.key))
		return err_set(err, 0, "key is no fingerprint");
	if (!is_text(n.address) || !is_text(n.version) || !is_text(n.cost))
		return err_set(err, 0, "address, version or cost is not a line of at most %d bytes", NODE_TEXT_MAX);
	if (drained && !json_is_boolean(drained))
		return err_set(err, 0, "drained is not true or false");
	n.drained = json_is_true(drained);
	*ret = n;
	return 0;
}

json_t *node_token_to_json(const struct node_token *t)
{
	json_t *o = json_object();

	json_set_str(o, "id", t->id);
	json_set_str(o, "secret", t->secret);
	json_object_set_new(o, "created_ms", json_integer(t->created_ms));
	json_object_set_new(o, "expires_ms", json_integer(t->expires_ms));
	json_object_set_new(o, "uses", json_integer(t->uses));
	json_object_set_new(o, "used", json_integer(t->used));
	json_set_str(o, "name", t->name);
	json_object_set_new(o, "labels", labels_to_json(t->labels, t->n_labels));
	return o;
}

static bool is_hex(struct str s, size_t n)
{
	for (size_t i = 0; i < s.n; i++)
		if (!(s.p[i] >= '0' && s.p[i] <= '9') && !(s.p[i] >= 'a' && s.p[i] <= 'f'))
			return false;
	return s.n == n;
}

int node_token_from_json(struct node_token *ret, const json_t *j, struct arena *a, struct err *err)
{
	struct node_token t = {.name = STR("")};
	int64_t uses = 0, used = 0;

	if (!json_is_object(j))
		return err_set(err, 0, "a token is not an object");
	if (json_need_str(j, "id", &t.id, err) || json_need_str(j, "secret", &t.secret, err) ||
	    json_opt_str(j, "name", &t.name, err) || json_opt_int(j, "created_ms", 0, INT64_MAX, &t.created_ms, err) ||
	    json_opt_int(j, "expires_ms", 0, INT64_MAX, &t.expires_ms, err) ||
	    json_opt_int(j, "uses", 0, UINT32_MAX, &uses, err) || json_opt_int(j, "used", 0, UINT32_MAX, &used, err) ||
	    labels_from_json(j, &t.labels, &t.n_labels, a, err))
		return -1;
	if (!is_hex(t.id, NODE_TOKEN_ID_SIZE - 1))
		return err_set(err, 0, "id is not 8 hexadecimal digits");
	if (!is_hex(t.secret, (size_t)2 * SHA256_SIZE))
		return err_set(err, 0, "secret is no SHA-256");
	if (t.name.n && !node_name_ok(t.name))
		return err_set(err, 0, "name is no name of a node");
	t.uses = (uint32_t)uses;
	t.used = (uint32_t)used;
	*ret = t;
	return 0;
}

void node_token_format(const uint8_t id[static 4], const uint8_t secret[static NODE_TOKEN_SECRET],
		       char ret_id[static NODE_TOKEN_ID_SIZE], char ret_text[static NODE_TOKEN_TEXT_SIZE])
{
	struct buf b = BUF_NULL;

	hex_encode(id, 4, ret_id);
	base64url_encode(&b, secret, NODE_TOKEN_SECRET);
	snprintf(ret_text, NODE_TOKEN_TEXT_SIZE, TOKEN_PREFIX "%s_%s", ret_id, buf_cstr(&b));
	mem_wipe(b.p, b.n);
	buf_done(&b);
}

bool node_token_parse(struct str text, struct str *id, char ret_hash[static 2 * SHA256_SIZE + 1])
{
	struct str prefix = STR(TOKEN_PREFIX), secret;
	size_t id_n = NODE_TOKEN_ID_SIZE - 1;
	struct buf b = BUF_NULL;
	uint8_t hash[SHA256_SIZE];
	bool ok;

	/* By position: '_' is also one of base64url's letters. */
	if (text.n != prefix.n + id_n + 1 + SECRET_CHARS || !str_starts(text, prefix) || text.p[prefix.n + id_n] != '_')
		return false;
	*id = str_sub(text, prefix.n, id_n);
	secret = str_sub(text, prefix.n + id_n + 1, SECRET_CHARS);
	ok = is_hex(*id, id_n) && base64url_decode(&b, secret) && b.n == NODE_TOKEN_SECRET;
	if (ok) {
		sha256(b.p, b.n, hash);
		hex_encode(hash, sizeof(hash), ret_hash);
	}
	if (b.p)
		mem_wipe(b.p, b.n);
	buf_done(&b);
	return ok;
}

bool node_address_parse(struct str s, struct node_address *ret)
{
	struct str host = s;
	uint64_t port;

	while (host.n && host.p[host.n - 1] != ':')
		host.n--;
	if (host.n < 2 || !str_to_u64(str_sub(s, host.n, s.n), &port) || port > 65535)
		return false;
	host.n--;
	if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		host = str_sub(host, 1, host.n - 2);
	else if (str_chr(host, ':', 0) >= 0 || str_chr(host, '[', 0) >= 0)
		return false;
	for (size_t i = 0; i < host.n; i++)
		if ((uint8_t)host.p[i] <= ' ' || host.p[i] == '/' || host.p[i] == 0x7f)
			return false;
	*ret = (struct node_address){.host = host, .port = (uint32_t)port};
	return true;
}

int node_address_settings(const struct settings *s, struct node_address *nodes, struct err *err)
{
	struct node_address url;

	*nodes = (struct node_address){0};
	if (s->nodes[0] && !node_address_parse(str_from(s->nodes), nodes))
		return err_set(err, 0, "nodes: '%s' is not ADDRESS:PORT, as in 0.0.0.0:9001", s->nodes);
	if (s->nodes_url[0] && (!node_address_parse(str_from(s->nodes_url), &url) || url.port == 0))
		return err_set(err, 0, "nodes_url: '%s' is not HOST:PORT, as in wick.example.org:9001", s->nodes_url);
	return 0;
}

struct str node_url_host(struct str url)
{
	ssize_t scheme = str_find(url, STR("://"));
	struct str rest = scheme < 0 ? url : str_sub(url, (size_t)scheme + 3, url.n), host;

	str_cut(rest, '/', &host, &rest);
	if (host.n && host.p[0] == '[') {
		ssize_t end = str_chr(host, ']', 0);

		return end < 0 ? host : str_sub(host, 0, (size_t)end + 1);
	}
	str_cut(host, ':', &host, &rest);
	return host;
}
