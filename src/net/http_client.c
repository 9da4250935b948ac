/* HTTP client for the command line: one libcurl handle, kept so that the connection is. Blocking; the user's
 * Ctrl-C ends the program, so libcurl installs no signal handlers. The handle belongs to the client, an answer to
 * the caller. What may fail is the way there and back; whatever the server answers is an answer. */
#include "net/http_client.h"

#include "base/mem.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define MAX_BODY_DEFAULT ((size_t)64 << 20)
#define MAX_HEADERS      ((size_t)256 << 10)

struct http_client {
	CURL *curl;
	char error[CURL_ERROR_SIZE];
};

/* One call under way. */
struct call {
	const struct http_call *in;
	struct http_response *out;
	uint64_t body_left, body_at;
	off_t fd_start;
	int read_error;
	bool stopped, too_large;
};

struct http_client *http_client_new(void)
{
	struct http_client *c = xnew(struct http_client);

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
		abort();
	c->curl = curl_easy_init();
	if (!c->curl)
		abort();
	return c;
}

struct http_client *http_client_free(struct http_client *c)
{
	if (!c)
		return NULL;
	curl_easy_cleanup(c->curl);
	curl_global_cleanup();
	free(c);
	return NULL;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct call *call = arg;
	size_t max = call->in->max_body ? call->in->max_body : MAX_BODY_DEFAULT;

	n *= size;
	if (call->in->sink) {
		if (call->in->sink(call->in->sink_arg, p, n))
			return n;
		call->stopped = true;
		return n + 1;
	}
	if (n > max - call->out->body.n) {
		call->too_large = true;
		return n + 1;
	}
	buf_add(&call->out->body, p, n);
	return n;
}

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
	struct call *call = arg;
	struct buf *h = &call->out->headers;

	n *= size;
	if (str_starts(str_n(p, n), STR("HTTP/")))
		buf_clear(h); /* what came before was an interim answer */
	if (h->n + n > MAX_HEADERS) {
		call->too_large = true;
		return n + 1;
	}
	buf_add(h, p, n);
	return n;
}

static size_t on_send(char *p, size_t size, size_t n, void *arg)
{
	struct call *call = arg;
	ssize_t r;

	n = (size_t)MIN((uint64_t)(n * size), call->body_left);
	if (n == 0)
		return 0;
	if (call->in->body_fd > 0) {
		do
			r = read(call->in->body_fd, p, n);
		while (r < 0 && errno == EINTR);
		if (r <= 0) {
			call->read_error = r < 0 ? errno : EIO;
			return CURL_READFUNC_ABORT;
		}
		n = (size_t)r;
	} else {
		memcpy(p, call->in->body.p + call->body_at, n);
	}
	call->body_at += n;
	call->body_left -= n;
	return n;
}

/* A kept connection may turn out to be dead after some of the body went: it is sent again from the start. */
static int on_rewind(void *arg, curl_off_t offset, int origin)
{
	struct call *call = arg;

	if (origin != SEEK_SET || offset < 0)
		return CURL_SEEKFUNC_CANTSEEK;
	if (call->in->body_fd > 0 && lseek(call->in->body_fd, call->fd_start + offset, SEEK_SET) < 0)
		return CURL_SEEKFUNC_CANTSEEK;
	call->body_left += call->body_at - (uint64_t)offset;
	call->body_at = (uint64_t)offset;
	return CURL_SEEKFUNC_OK;
}

static struct curl_slist *header_list(const struct http_call *in)
{
	struct curl_slist *list = NULL;

	/* A local server needs no leave to be sent a body, and the wait for it costs a second where none is given. */
	list = curl_slist_append(NULL, "Expect:");
	for (size_t i = 0; in->headers && in->headers[i]; i++)
		list = curl_slist_append(list, in->headers[i]);
	if (!list)
		abort();
	return list;
}

static void set_body(CURL *c, struct call *call)
{
	const struct http_call *in = call->in;

	call->body_left = in->body_fd > 0 ? in->body_length : in->body.n;
	if (call->body_left == 0 && strcmp(in->method, "PUT") != 0 && strcmp(in->method, "POST") != 0) {
		if (strcmp(in->method, "HEAD") == 0)
			curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
		curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, in->method);
		return;
	}
	if (in->body_fd > 0)
		call->fd_start = lseek(in->body_fd, 0, SEEK_CUR);
	curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, in->method);
	curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE, (curl_off_t)call->body_left);
	curl_easy_setopt(c, CURLOPT_READFUNCTION, on_send);
	curl_easy_setopt(c, CURLOPT_READDATA, call);
	curl_easy_setopt(c, CURLOPT_SEEKFUNCTION, on_rewind);
	curl_easy_setopt(c, CURLOPT_SEEKDATA, call);
	curl_easy_setopt(c, CURLOPT_UPLOAD_BUFFERSIZE, 262144L);
}

static void set_up(struct http_client *cl, struct call *call, struct curl_slist *headers)
{
	CURL *c = cl->curl;

	curl_easy_reset(c); /* keeps the connections */
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, cl->error);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_URL, call->in->url);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L); /* a signed path may not be tidied */
	curl_easy_setopt(c, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, call);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, call);
	curl_easy_setopt(c, CURLOPT_BUFFERSIZE, 262144L);
	curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)call->in->timeout_ms);
	set_body(c, call);
}

/* A proxy of the environment is right for the world, never for this machine. */
static bool is_loopback(const char *url)
{
	CURLU *u = curl_url();
	bool ret = false;
	char *host = NULL;

	if (u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
	    curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK) {
		struct str h = str_from(host);

		ret = str_ieq(h, STR("localhost")) || str_ends(h, STR(".localhost")) || str_starts(h, STR("127.")) ||
		      str_eq(h, STR("[::1]"));
	}
	curl_free(host);
	curl_url_cleanup(u);
	return ret;
}

/* scheme://host:port of a url: what could not be reached; the rest may hold a signature. */
static struct str origin_of(const char *url)
{
	struct str s = str_from(url);
	ssize_t i = str_find(s, STR("://"));
	ssize_t end = i < 0 ? -1 : str_chr(s, '/', (size_t)i + 3);
	ssize_t query = str_chr(s, '?', 0);

	if (query >= 0 && (end < 0 || query < end))
		end = query;
	return end < 0 ? s : str_sub(s, 0, (size_t)end);
}

static int explain(struct http_client *cl, const struct call *call, CURLcode code, struct err *err)
{
	struct str origin = origin_of(call->in->url);
	long os_error = 0;

	curl_easy_getinfo(cl->curl, CURLINFO_OS_ERRNO, &os_error);
	if (call->stopped)
		return err_set(err, ECANCELED, "answer of %.*s", STR_ARG(origin));
	if (call->too_large)
		return err_set(err, EFBIG, "answer of %.*s", STR_ARG(origin));
	if (call->read_error)
		return err_set(err, call->read_error, "read what is to be sent to %.*s", STR_ARG(origin));
	if (code == CURLE_COULDNT_CONNECT && os_error)
		return err_set(err, (int)os_error, "cannot reach %.*s", STR_ARG(origin));
	if (code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST)
		return err_set(err, 0, "cannot reach %.*s: %s", STR_ARG(origin),
			       cl->error[0] ? cl->error : curl_easy_strerror(code));
	if (code == CURLE_OPERATION_TIMEDOUT)
		return err_set(err, ETIMEDOUT, "no answer from %.*s", STR_ARG(origin));
	return err_set(err, 0, "call to %.*s failed: %s", STR_ARG(origin),
		       cl->error[0] ? cl->error : curl_easy_strerror(code));
}

int http_client_call(struct http_client *c, const struct http_call *in, struct http_response *ret, struct err *err)
{
	struct call call = {.in = in, .out = ret};
	struct curl_slist *headers = header_list(in);
	CURLcode code;
	long status = 0;

	*ret = (struct http_response){0};
	c->error[0] = '\0';
	set_up(c, &call, headers);
	if (is_loopback(in->url))
		curl_easy_setopt(c->curl, CURLOPT_PROXY, "");
	code = curl_easy_perform(c->curl);
	curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, NULL);
	curl_slist_free_all(headers);
	if (code != CURLE_OK) {
		http_response_done(ret);
		return explain(c, &call, code, err);
	}
	curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
	ret->status = (unsigned)status;
	return 0;
}

struct str http_response_header(const struct http_response *r, const char *name)
{
	struct str rest = buf_str(&r->headers), line, key, value;

	while (rest.n > 0) {
		str_cut(rest, '\n', &line, &rest);
		if (str_cut(line, ':', &key, &value) && str_ieq(key, str_from(name))) {
			if (value.n > 0 && value.p[value.n - 1] == '\r')
				value.n--;
			return str_trim(value);
		}
	}
	return STR_NULL;
}

void http_response_done(struct http_response *r)
{
	buf_done(&r->body);
	buf_done(&r->headers);
	*r = (struct http_response){0};
}
