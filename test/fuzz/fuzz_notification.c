/* Any bytes as a stored notification and as a document; what was accepted comes back from the stored form. */
#include "model/notification.h"

#include <assert.h>

static void use(struct arena *a, struct s3_notification *n)
{
	_cleanup_json_ json_t *j = NULL;
	struct s3_notification m;
	const char *message;
	size_t i = 0;

	if (notification_check(a, n, &message))
		return;
	j = notification_to_json(n);
	assert(notification_from_json(&m, j, a, NULL) == 0);
	assert(m.n == n->n);
	while (notification_next(&m, STR("s3:ObjectCreated:Put"), STR("in/a.jpg"), &i))
		;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_n(data, size);
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	_cleanup_json_ json_t *j = json_parse(in, NULL);
	struct notification_event e = {.event = STR("s3:ObjectCreated:Put"), .key = in, .bucket = in};
	struct s3_notification n;

	notification_event_json(&b, &e);
	assert(json_check(buf_str(&b)));
	if (j && notification_from_json(&n, j, &a, NULL) == 0)
		use(&a, &n);
	if (s3_xml_notification(&a, in, &n, NULL) == S3_XML_OK)
		use(&a, &n);
	return 0;
}
