/* A runtime in C: the Lambda Runtime API by plain sockets. It answers {"you sent": EVENT}. Static, it starts in well
 * under a millisecond. Build: cc -O2 -static -o bootstrap bootstrap.c */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define EVENT_MAX (6 << 20)

static char message[EVENT_MAX + 65536];

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

/* AWS_LAMBDA_RUNTIME_API is HOST:PORT. */
static int connect_to_api(void)
{
	const char *api = getenv("AWS_LAMBDA_RUNTIME_API"), *colon = api ? strchr(api, ':') : NULL;
	struct sockaddr_in to = {.sin_family = AF_INET};
	char host[64];
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (!colon || colon - api >= (long)sizeof(host))
		fail("AWS_LAMBDA_RUNTIME_API");
	memcpy(host, api, (size_t)(colon - api));
	host[colon - api] = '\0';
	to.sin_port = htons((unsigned short)atoi(colon + 1));
	if (inet_pton(AF_INET, host, &to.sin_addr) != 1 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		fail(api);
	return fd;
}

/* All pieces in one write: less to do, and no piece waits for the acknowledgement of the one before. */
static void send_all(int fd, struct iovec *v, int n)
{
	while (n > 0) {
		ssize_t sent = writev(fd, v, n);

		if (sent < 0)
			fail("writev");
		for (; n > 0 && (size_t)sent >= v->iov_len; v++, n--)
			sent -= (ssize_t)v->iov_len;
		if (n > 0) {
			v->iov_base = (char *)v->iov_base + sent;
			v->iov_len -= (size_t)sent;
		}
	}
}

/* Value of a header in the head that ends at `end`. */
static const char *header(const char *end, const char *name)
{
	for (const char *line = message; line < end; line = strstr(line, "\r\n") + 2)
		if (strncasecmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
			return line + strlen(name) + 1 + strspn(line + strlen(name) + 1, " ");
	return "";
}

/* Reads one answer; its body, of *n bytes. */
static const char *read_answer(int fd, size_t *n)
{
	size_t have = 0;

	for (;;) {
		char *end;
		ssize_t got = read(fd, message + have, sizeof(message) - 1 - have);

		if (got <= 0)
			fail("read");
		have += (size_t)got;
		message[have] = '\0';
		end = strstr(message, "\r\n\r\n");
		if (!end)
			continue;
		*n = strtoul(header(end + 2, "Content-Length"), NULL, 10);
		if (have - (size_t)(end + 4 - message) >= *n)
			return end + 4;
	}
}

int main(void)
{
	static const char next[] = "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: runtime\r\n\r\n";
	static const char before[] = "{\"you sent\": ", after[] = "}";
	int fd = connect_to_api();

	for (;;) {
		char head[256], id[64] = "";
		const char *event;
		size_t n;
		int head_n;

		send_all(fd, &(struct iovec){(void *)(uintptr_t)next, sizeof(next) - 1}, 1);
		event = read_answer(fd, &n);
		sscanf(header(event - 2, "Lambda-Runtime-Aws-Request-Id"), "%63[0-9a-fA-F-]", id);
		head_n = snprintf(head, sizeof(head),
				  "POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: runtime\r\n"
				  "Content-Length: %zu\r\n\r\n%s",
				  id, n + sizeof(before) + sizeof(after) - 2, before);
		send_all(fd,
			 (struct iovec[]){{head, (size_t)head_n},
					  {(void *)(uintptr_t)event, n},
					  {(void *)(uintptr_t)after, sizeof(after) - 1}},
			 3);
		read_answer(fd, &n);
	}
}
