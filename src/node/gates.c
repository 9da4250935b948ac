/* Gateways as files: written when one has taken the node, read at the start. The file's name is the gateway's address,
 * percent-encoded. Nothing secret stands in them; the folder is closed to others for the key that lies there. */
#include "node/gates.h"

#include "base/mem.h"
#include "sys/file.h"
#include "wire/json.h"
#include "wire/uri.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>

#define FILE_MAX     (64u << 10)
#define SUFFIX       ".json"
#define PORT_DEFAULT 9001
#define NAME_MAX_N   63
#define HOST_MAX_N   253

void gate_entry_done(struct gate_entry *e)
{
	if (e->token)
		mem_wipe(e->token, strlen(e->token));
	free(e->url);
	free(e->host);
	free(e->fingerprint);
	free(e->ca);
	free(e->proxy);
	free(e->name);
	free(e->token);
	*e = (struct gate_entry){0};
}

/* ---- addresses and names ---- */

static bool is_host(struct str s)
{
	if (!s.n || s.n > HOST_MAX_N || s.p[0] == '-')
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
		      c == '-' || c == '_'))
			return false;
	}
	return true;
}

static bool is_ipv6(struct str s)
{
	if (s.n < 2 || s.n > HOST_MAX_N || str_chr(s, ':', 0) < 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == ':' ||
		      c == '.' || c == '%'))
			return false;
	}
	return true;
}

int gate_url_parse(const char *url, char **host, uint16_t *port, struct err *err)
{
	struct str s = str_trim(str_from(url)), name, rest = STR("");
	uint64_t n = PORT_DEFAULT;
	bool ok;

	if (str_istarts(s, STR("https://")))
		s = str_sub(s, 8, SIZE_MAX);
	if (s.n && s.p[s.n - 1] == '/')
		s.n--;
	if (s.n && s.p[0] == '[') {
		ok = str_cut(str_sub(s, 1, SIZE_MAX), ']', &name, &rest) && is_ipv6(name) &&
		     (!rest.n || rest.p[0] == ':');
		rest = str_sub(rest, 1, SIZE_MAX);
	} else {
		str_cut(s, ':', &name, &rest);
		ok = is_host(name);
		if (name.n + 1 == s.n) /* "host:" */
			ok = false;
	}
	if (ok && rest.n)
		ok = str_to_u64(rest, &n) && n > 0 && n <= UINT16_MAX;
	if (!ok)
		return err_set(err, 0,
			       "the gateway \"%s\" is no HOST:PORT (as example.org:9001, 192.0.2.7:9001 or "
			       "[2001:db8::7]:9001)",
			       url);
	*host = str_dup(name);
	*port = (uint16_t)n;
	return 0;
}

bool node_name_is(struct str s)
{
	if (!s.n || s.n > NAME_MAX_N || s.p[0] == '-' || s.p[s.n - 1] == '-')
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '-'))
			return false;
	return true;
}

char *node_name_from(const char *host_name)
{
	char name[NAME_MAX_N + 1];
	size_t n = 0;

	for (const char *c = host_name; *c && *c != '.' && n < NAME_MAX_N; c++) {
		char l = (char)(*c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c);

		if (!((l >= 'a' && l <= 'z') || (l >= '0' && l <= '9')))
			l = '-';
		if (l != '-' || n)
			name[n++] = l;
	}
	while (n && name[n - 1] == '-')
		n--;
	name[n] = '\0';
	return xstrdup(n ? name : "node");
}

/* ---- files ---- */

static int opt_text(const json_t *j, const char *key, char **ret, struct err *err)
{
	struct str s = STR_NULL;

	if (json_opt_str(j, key, &s, err) < 0)
		return -1;
	if (s.n && memchr(s.p, '\0', s.n))
		return err_set(err, 0, "%s holds a NUL", key);
	*ret = s.n ? str_dup(s) : NULL;
	return 0;
}

int gate_entry_parse(struct gate_entry *ret, struct str text, struct err *err)
{
	_cleanup_json_ json_t *j = json_parse(text, err);
	_cleanup_(gate_entry_done) struct gate_entry e = {0};

	if (!j)
		return -1;
	if (!json_is_object(j))
		return err_set(err, 0, "a gateway is not an object");
	if (opt_text(j, "url", &e.url, err) < 0 || opt_text(j, "fingerprint", &e.fingerprint, err) < 0 ||
	    opt_text(j, "ca", &e.ca, err) < 0 || opt_text(j, "proxy", &e.proxy, err) < 0 ||
	    opt_text(j, "name", &e.name, err) < 0)
		return -1;
	if (!e.url)
		return err_set(err, 0, "url is missing");
	if (e.name && !node_name_is(str_from(e.name)))
		return err_set(err, 0, "name \"%s\" is none of a node", e.name);
	if (gate_url_parse(e.url, &e.host, &e.port, err) < 0)
		return -1;
	*ret = e;
	e = (struct gate_entry){0};
	return 0;
}

static int load_one(const char *folder, const char *file, struct gate_entry *ret, struct err *err)
{
	_cleanup_(freep) char *path = xasprintf("%s/%s", folder, file);
	_cleanup_(buf_done) struct buf text = BUF_NULL;
	int r = file_read(path, FILE_MAX, &text);

	if (r < 0)
		return err_set(err, -r, "read %s", path);
	if (gate_entry_parse(ret, buf_str(&text), err) < 0)
		return err_wrap(err, "%s", path);
	return 0;
}

int gates_load(const char *folder, struct gate_entry **ret, size_t *n, struct err *err)
{
	struct gate_entry *all = xnew_n(struct gate_entry, GATES_MAX);
	DIR *d = opendir(folder);
	struct dirent *e;
	size_t got = 0;
	int r = 0;

	if (!d && errno != ENOENT) {
		free(all);
		return err_set(err, errno, "open folder %s", folder);
	}
	while (d && r == 0 && got < GATES_MAX && (e = readdir(d))) {
		if (!str_ends(str_from(e->d_name), STR(SUFFIX)) || e->d_name[0] == '.')
			continue;
		r = load_one(folder, e->d_name, &all[got], err);
		got += r == 0;
	}
	if (d)
		closedir(d);
	if (r < 0) {
		for (size_t i = 0; i < got; i++)
			gate_entry_done(&all[i]);
		free(all);
		return -1;
	}
	*ret = all;
	*n = got;
	return 0;
}

int gates_save(const char *folder, const struct gate_entry *e, struct err *err)
{
	_cleanup_(buf_done) struct buf name = BUF_NULL, text = BUF_NULL;
	_cleanup_(freep) char *path = NULL;
	_cleanup_json_ json_t *j = json_object();
	int r;

	json_set_str(j, "url", str_from(e->url));
	if (e->fingerprint)
		json_set_str(j, "fingerprint", str_from(e->fingerprint));
	if (e->ca)
		json_set_str(j, "ca", str_from(e->ca));
	if (e->proxy)
		json_set_str(j, "proxy", str_from(e->proxy));
	if (e->name)
		json_set_str(j, "name", str_from(e->name));
	json_write_pretty(&text, j);
	uri_encode(&name, str_from(e->url), false);
	path = xasprintf("%s/%s" SUFFIX, folder, buf_cstr(&name));
	/* A proxy's password may stand in it. */
	r = file_write(path, buf_str(&text), 0600);
	return r < 0 ? err_set(err, -r, "write %s", path) : 0;
}
