/* Errors for people. The object belongs to whoever declared it. */
#include "base/err.h"

#include "base/buf.h"

void err_done(struct err *e)
{
	free(e->msg);
	*e = ERR_NULL;
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
	struct buf b = BUF_NULL;
	va_list ap;

	if (!e)
		return -1;
	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	if (code)
		buf_printf(&b, ": %s", strerror(code));
	free(e->msg);
	e->msg = buf_steal(&b);
	e->code = code;
	return -1;
}

int err_wrap(struct err *e, const char *fmt, ...)
{
	struct buf b = BUF_NULL;
	va_list ap;

	if (!e)
		return -1;
	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	buf_printf(&b, ": %s", e->msg ? e->msg : "unknown error");
	free(e->msg);
	e->msg = buf_steal(&b);
	return -1;
}
