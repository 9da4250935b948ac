/* The program's own log. Its two settings are the only process-wide state of this room: a program has one
 * standard error. A line is one write(2), so lines of several processes do not mix; bytes that would break the
 * line or drive a terminal are made harmless, because messages carry text of clients. Nothing fails: a log that
 * cannot be written is lost. */
#include "sys/log.h"

#include "sys/clock.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4096

static struct {
	const char *program;
	enum log_level least;
} log_conf = {.program = "wick", .least = LOG_INFO};

static const char *const level_names[] = {
	[LOG_DEBUG] = "debug",
	[LOG_INFO] = "info",
	[LOG_WARN] = "warn",
	[LOG_ERROR] = "error",
};

bool log_level_by_name(const char *name, enum log_level *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(level_names); i++) {
		if (strcmp(name, level_names[i]) == 0) {
			*ret = (enum log_level)i;
			return true;
		}
	}
	return false;
}

void log_open(const char *program, enum log_level least)
{
	log_conf.program = program;
	log_conf.least = least;
}

enum log_level log_least(void)
{
	return log_conf.least;
}

static size_t put_head(char *line, size_t cap, enum log_level level)
{
	int64_t ms = clock_wall_ms();
	time_t s = (time_t)(ms / 1000);
	struct tm tm;
	size_t n;
	int r;

	gmtime_r(&s, &tm);
	n = strftime(line, cap, "%Y-%m-%dT%H:%M:%S", &tm);
	r = snprintf(line + n, cap - n, ".%03dZ %s %s: ", (int)(ms % 1000), log_conf.program, level_names[level]);
	return MIN(n + (size_t)MAX(r, 0), cap - 1);
}

void log_at(enum log_level level, const char *fmt, ...)
{
	char line[LINE_MAX_BYTES];
	int saved = errno;
	size_t n, head;
	va_list ap;
	ssize_t w;
	int r;

	if (level < log_conf.least)
		return;
	head = n = put_head(line, sizeof(line) - 1, level);
	va_start(ap, fmt);
	r = vsnprintf(line + n, sizeof(line) - 1 - n, fmt, ap);
	va_end(ap);
	n = MIN(n + (size_t)MAX(r, 0), sizeof(line) - 2);
	for (size_t i = head; i < n; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = ' ';
	line[n++] = '\n';
	do
		w = write(STDERR_FILENO, line, n);
	while (w < 0 && errno == EINTR);
	errno = saved;
}
