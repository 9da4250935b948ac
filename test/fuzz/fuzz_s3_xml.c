/* Any bytes as each of S3's request documents; what was accepted is accepted again as it is written. */
#include "wire/s3_xml.h"

#include <assert.h>

static void simple(struct arena *a, struct str in)
{
	struct s3_complete complete;
	struct s3_delete deleted;
	enum s3_versioning versioning;
	struct s3_xml_fault f;
	struct str location;

	s3_xml_complete(a, in, &complete, &f);
	s3_xml_delete(a, in, &deleted, &f);
	s3_xml_create_bucket(a, in, &location, &f);
	s3_xml_versioning(a, in, &versioning, &f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_n(data, size);
	_cleanup_(arena_done) struct arena a = ARENA_NULL;
	_cleanup_(buf_done) struct buf b = BUF_NULL;
	struct s3_notification notification;
	struct s3_tagging tagging;
	struct s3_cors cors;

	simple(&a, in);
	if (s3_xml_tagging(&a, in, S3_BUCKET_TAGS_MAX, &tagging, NULL) == S3_XML_OK) {
		s3_xml_put_tagging(&b, tagging.tags, tagging.n);
		assert(s3_xml_tagging(&a, buf_str(&b), S3_BUCKET_TAGS_MAX, &tagging, NULL) == S3_XML_OK);
		buf_clear(&b);
	}
	if (s3_xml_cors(&a, in, &cors, NULL) == S3_XML_OK) {
		s3_xml_put_cors(&b, &cors);
		assert(s3_xml_cors(&a, buf_str(&b), &cors, NULL) == S3_XML_OK);
		buf_clear(&b);
	}
	if (s3_xml_notification(&a, in, &notification, NULL) == S3_XML_OK) {
		s3_xml_put_notification(&b, &notification);
		assert(s3_xml_notification(&a, buf_str(&b), &notification, NULL) == S3_XML_OK);
	}
	return 0;
}
