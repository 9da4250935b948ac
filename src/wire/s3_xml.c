/* S3's request documents, out of the tree of wire/xml.h into plain structs. Pure; everything decoded lies in the
 * caller's arena. Every count and length of a document is bounded here, so that what comes after need not. */
#include "wire/s3_xml.h"

#include "wire/utf8.h"

static enum s3_xml_error fault(struct s3_xml_fault *f, enum s3_xml_error e, const char *element, const char *message)
{
	if (f)
		*f = (struct s3_xml_fault){.element = element, .message = message};
	return e;
}

static enum s3_xml_error malformed(struct s3_xml_fault *f, const char *element, const char *message)
{
	return fault(f, S3_XML_MALFORMED, element, message);
}

static const struct xml_node *parse(struct arena *a, struct str xml, const char *root, struct s3_xml_fault *f)
{
	_cleanup_(err_done) struct err err = ERR_NULL;
	const struct xml_node *n = xml_parse(a, xml, S3_XML_MAX, &err);

	if (!n) {
		malformed(f, "", arena_dup(a, str_from(err.msg)));
		return NULL;
	}
	if (!str_eqz(n->name, root)) {
		malformed(f, root, "Another document was expected.");
		return NULL;
	}
	return n;
}

/* A list of texts: every child of that name. */
static size_t texts(struct arena *a, const struct xml_node *n, const char *name, struct str **ret)
{
	size_t count = 0;

	*ret = arena_new_n(a, struct str, xml_count(n, name));
	for (const struct xml_node *c = xml_child(n, name); c; c = xml_again(c))
		(*ret)[count++] = xml_node_text(c);
	return count;
}

static struct str text_or_empty(const struct xml_node *n, const char *name)
{
	struct str s = xml_child_text(n, name);

	return s.p ? s : STR("");
}

static void complete_checksum(struct s3_complete_part *part, const struct xml_node *n)
{
	static const struct {
		const char *element;
		enum digest_kind kind;
	} kinds[] = {
		{"ChecksumCRC32", DIGEST_CRC32},         {"ChecksumCRC32C", DIGEST_CRC32C},
		{"ChecksumCRC64NVME", DIGEST_CRC64NVME}, {"ChecksumSHA1", DIGEST_SHA1},
		{"ChecksumSHA256", DIGEST_SHA256},
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct str s = xml_child_text(n, kinds[i].element);

		if (s.p) {
			part->checksum_kind = kinds[i].kind;
			part->checksum = s;
		}
	}
}

static struct str unquoted(struct str s)
{
	if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"')
		return str_sub(s, 1, s.n - 2);
	return s;
}

enum s3_xml_error s3_xml_complete(struct arena *a, struct str xml, struct s3_complete *ret, struct s3_xml_fault *f)
{
	const struct xml_node *root = parse(a, xml, "CompleteMultipartUpload", f);
	struct s3_complete c = {0};
	size_t n;

	if (!root)
		return S3_XML_MALFORMED;
	n = xml_count(root, "Part");
	if (n == 0 || n > S3_PARTS_MAX)
		return malformed(f, "Part", "There must be 1 to 10000 parts.");
	c.parts = arena_new_n(a, struct s3_complete_part, n);
	for (const struct xml_node *p = xml_child(root, "Part"); p; p = xml_again(p)) {
		struct s3_complete_part *part = &c.parts[c.n];
		struct str etag = xml_child_text(p, "ETag");
		uint64_t number;

		if (!etag.p)
			return malformed(f, "ETag", "Every part needs its ETag.");
		if (!str_to_u64(text_or_empty(p, "PartNumber"), &number))
			return malformed(f, "PartNumber", "Every part needs its number.");
		if (number < 1 || number > S3_PARTS_MAX)
			return fault(f, S3_XML_INVALID, "PartNumber",
				     "Part number must be an integer between 1 and 10000, inclusive");
		if (c.n && number <= part[-1].number)
			return fault(f, S3_XML_PART_ORDER, "PartNumber",
				     "The list of parts was not in ascending order. Parts must be ordered by part "
				     "number.");
		part->number = (uint32_t)number;
		part->etag = unquoted(etag);
		complete_checksum(part, p);
		c.n++;
	}
	*ret = c;
	return S3_XML_OK;
}

enum s3_xml_error s3_xml_delete(struct arena *a, struct str xml, struct s3_delete *ret, struct s3_xml_fault *f)
{
	const struct xml_node *root = parse(a, xml, "Delete", f);
	struct s3_delete d = {0};
	struct str quiet;
	size_t n;

	if (!root)
		return S3_XML_MALFORMED;
	n = xml_count(root, "Object");
	if (n == 0 || n > S3_DELETES_MAX)
		return malformed(f, "Object", "There must be 1 to 1000 objects.");
	quiet = text_or_empty(root, "Quiet");
	d.quiet = str_ieq(quiet, STR("true"));
	if (quiet.n && !d.quiet && !str_ieq(quiet, STR("false")))
		return malformed(f, "Quiet", "Quiet is true or false.");
	d.keys = arena_new_n(a, struct s3_delete_key, n);
	for (const struct xml_node *o = xml_child(root, "Object"); o; o = xml_again(o)) {
		const struct xml_node *key = xml_child(o, "Key");

		/* A key may begin and end with blanks: its text is taken as it is. */
		if (!key || key->text.n == 0)
			return malformed(f, "Key", "Every object needs its key.");
		if (key->text.n > S3_KEY_MAX)
			return fault(f, S3_XML_INVALID, "Key", "Your key is too long");
		d.keys[d.n++] = (struct s3_delete_key){.key = key->text, .version = text_or_empty(o, "VersionId")};
	}
	*ret = d;
	return S3_XML_OK;
}

enum s3_xml_error s3_tags_check(const struct kv *tags, size_t n, size_t max, struct s3_xml_fault *f)
{
	if (n > max)
		return fault(f, S3_XML_TAG, "TagSet",
			     max == S3_OBJECT_TAGS_MAX ? "Object tags cannot be greater than 10"
						       : "Bucket tag count cannot be greater than 50");
	for (size_t i = 0; i < n; i++) {
		if (tags[i].k.n == 0 || utf8_count(tags[i].k) > 128)
			return fault(f, S3_XML_TAG, "Key", "The TagKey you have provided is invalid");
		if (utf8_count(tags[i].v) > 256)
			return fault(f, S3_XML_TAG, "Value", "The TagValue you have provided is invalid");
		if (str_istarts(tags[i].k, STR("aws:")))
			return fault(f, S3_XML_TAG, "Key", "System tags cannot be added/updated by requester");
		for (size_t j = 0; j < i; j++)
			if (str_eq(tags[i].k, tags[j].k))
				return fault(f, S3_XML_TAG, "Key", "Cannot provide multiple Tags with the same key");
	}
	return S3_XML_OK;
}

enum s3_xml_error s3_xml_tagging(struct arena *a, struct str xml, size_t max, struct s3_tagging *ret,
				 struct s3_xml_fault *f)
{
	const struct xml_node *root = parse(a, xml, "Tagging", f), *set = xml_child(root, "TagSet");
	struct s3_tagging t = {0};
	enum s3_xml_error e;

	if (!root)
		return S3_XML_MALFORMED;
	if (!set)
		return malformed(f, "TagSet", "The TagSet is missing.");
	/* Before the pairwise comparison: the document could hold a hundred thousand. */
	if (xml_count(set, "Tag") > max)
		return s3_tags_check(NULL, max + 1, max, f);
	t.tags = arena_new_n(a, struct kv, xml_count(set, "Tag"));
	for (const struct xml_node *n = xml_child(set, "Tag"); n; n = xml_again(n)) {
		const struct xml_node *k = xml_child(n, "Key"), *v = xml_child(n, "Value");

		if (!k || !v)
			return malformed(f, "Tag", "Every tag needs a Key and a Value.");
		t.tags[t.n++] = (struct kv){.k = k->text, .v = v->text};
	}
	e = s3_tags_check(t.tags, t.n, max, f);
	if (e == S3_XML_OK)
		*ret = t;
	return e;
}

enum s3_xml_error s3_xml_create_bucket(struct arena *a, struct str xml, struct str *location, struct s3_xml_fault *f)
{
	const struct xml_node *root;
	struct str s;

	if (xml.n == 0) {
		*location = STR("");
		return S3_XML_OK;
	}
	root = parse(a, xml, "CreateBucketConfiguration", f);
	if (!root)
		return S3_XML_MALFORMED;
	s = text_or_empty(root, "LocationConstraint");
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '-' ||
		      str_eqz(s, "EU")))
			return fault(f, S3_XML_LOCATION, "LocationConstraint",
				     "The specified location-constraint is not valid");
	*location = s;
	return S3_XML_OK;
}

static enum s3_xml_error filter_rules(const struct xml_node *n, struct s3_lambda_notification *l,
				      struct s3_xml_fault *f)
{
	const struct xml_node *key = xml_child(xml_child(n, "Filter"), "S3Key");

	l->prefix = l->suffix = STR_NULL;
	for (const struct xml_node *r = xml_child(key, "FilterRule"); r; r = xml_again(r)) {
		struct str name = text_or_empty(r, "Name");
		const struct xml_node *value = xml_child(r, "Value");
		struct str *at;

		if (str_ieq(name, STR("prefix")))
			at = &l->prefix;
		else if (str_ieq(name, STR("suffix")))
			at = &l->suffix;
		else
			return fault(f, S3_XML_INVALID, "Name", "filter rule name must be either prefix or suffix");
		if (at->p)
			return fault(f, S3_XML_INVALID, "FilterRule",
				     "Cannot specify more than one prefix or suffix rule in a filter.");
		if (!value)
			return malformed(f, "Value", "A filter rule needs a Value.");
		if (value->text.n > S3_KEY_MAX)
			return fault(f, S3_XML_INVALID, "Value", "filter rule value cannot be longer than 1024 bytes");
		*at = value->text;
	}
	if (!l->prefix.p)
		l->prefix = STR("");
	if (!l->suffix.p)
		l->suffix = STR("");
	return S3_XML_OK;
}

static enum s3_xml_error lambda_notification(struct arena *a, const struct xml_node *n, const char *arn_element,
					     struct s3_lambda_notification *l, struct s3_xml_fault *f)
{
	l->id = text_or_empty(n, "Id");
	if (l->id.n > 255)
		return fault(f, S3_XML_INVALID, "Id", "Identifier cannot be longer than 255 characters");
	l->arn = text_or_empty(n, arn_element);
	if (l->arn.n == 0)
		return malformed(f, arn_element, "The ARN of the function is missing.");
	if (xml_count(n, "Event") > 32)
		return fault(f, S3_XML_INVALID, "Event", "Too many events in one configuration");
	l->n_events = texts(a, n, "Event", &l->events);
	if (l->n_events == 0)
		return malformed(f, "Event", "At least one Event is needed.");
	return filter_rules(n, l, f);
}

enum s3_xml_error s3_xml_notification(struct arena *a, struct str xml, struct s3_notification *ret,
				      struct s3_xml_fault *f)
{
	static const char *const others[] = {"QueueConfiguration", "TopicConfiguration", "EventBridgeConfiguration"};
	static const struct {
		const char *element, *arn;
	} forms[] = {{"CloudFunctionConfiguration", "CloudFunction"},
		     {"LambdaFunctionConfiguration", "LambdaFunctionArn"}};
	const struct xml_node *root = parse(a, xml, "NotificationConfiguration", f);
	struct s3_notification r = {.unsupported = STR("")};
	size_t n = 0;

	if (!root)
		return S3_XML_MALFORMED;
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (xml_child(root, others[i]) && !r.unsupported.n)
			r.unsupported = str_from(others[i]);
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++)
		n += xml_count(root, forms[i].element);
	if (n > S3_NOTIFICATIONS_MAX)
		return fault(f, S3_XML_INVALID, "NotificationConfiguration",
			     "The number of notification configurations exceeds the limit of 100");
	r.lambdas = arena_new_n(a, struct s3_lambda_notification, n);
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		for (const struct xml_node *c = xml_child(root, forms[i].element); c; c = xml_again(c)) {
			enum s3_xml_error e = lambda_notification(a, c, forms[i].arn, &r.lambdas[r.n++], f);

			if (e)
				return e;
		}
	}
	*ret = r;
	return S3_XML_OK;
}

static enum s3_xml_error cors_rule(struct arena *a, const struct xml_node *n, struct s3_cors_rule *r,
				   struct s3_xml_fault *f)
{
	static const char *const methods[] = {"GET", "PUT", "POST", "DELETE", "HEAD"};
	struct str age = xml_child_text(n, "MaxAgeSeconds");
	uint64_t seconds = 0;

	r->id = text_or_empty(n, "ID");
	r->n_origins = texts(a, n, "AllowedOrigin", &r->origins);
	r->n_methods = texts(a, n, "AllowedMethod", &r->methods);
	r->n_headers = texts(a, n, "AllowedHeader", &r->headers);
	r->n_exposed = texts(a, n, "ExposeHeader", &r->exposed);
	r->max_age = -1;
	if (r->id.n > 255)
		return fault(f, S3_XML_INVALID, "ID", "An ID cannot be longer than 255 characters");
	if (!r->n_origins || !r->n_methods)
		return malformed(f, r->n_origins ? "AllowedMethod" : "AllowedOrigin",
				 "A rule needs an origin and a method.");
	for (size_t i = 0; i < r->n_methods; i++) {
		bool known = false;

		for (size_t m = 0; m < ARRAY_SIZE(methods); m++)
			known |= str_eqz(r->methods[i], methods[m]);
		if (!known)
			return fault(f, S3_XML_INVALID, "AllowedMethod",
				     "Found unsupported HTTP method in CORS config. Allowed are GET, PUT, POST, DELETE "
				     "and HEAD");
	}
	for (size_t i = 0; i < r->n_origins; i++)
		if (r->origins[i].n == 0 ||
		    memchr(r->origins[i].p, '*', r->origins[i].n) != memrchr(r->origins[i].p, '*', r->origins[i].n))
			return fault(f, S3_XML_INVALID, "AllowedOrigin",
				     "AllowedOrigin can not be empty or have more than one wildcard.");
	if (age.p && (!str_to_u64(age, &seconds) || seconds > INT32_MAX))
		return malformed(f, "MaxAgeSeconds", "MaxAgeSeconds is not a number of seconds.");
	if (age.p)
		r->max_age = (int64_t)seconds;
	return S3_XML_OK;
}

enum s3_xml_error s3_xml_cors(struct arena *a, struct str xml, struct s3_cors *ret, struct s3_xml_fault *f)
{
	const struct xml_node *root = parse(a, xml, "CORSConfiguration", f);
	struct s3_cors c = {0};
	size_t n;

	if (!root)
		return S3_XML_MALFORMED;
	n = xml_count(root, "CORSRule");
	if (n == 0 || n > S3_CORS_MAX)
		return malformed(f, "CORSRule", "There must be 1 to 100 rules.");
	c.rules = arena_new_n(a, struct s3_cors_rule, n);
	for (const struct xml_node *r = xml_child(root, "CORSRule"); r; r = xml_again(r)) {
		enum s3_xml_error e = cors_rule(a, r, &c.rules[c.n++], f);

		if (e)
			return e;
	}
	*ret = c;
	return S3_XML_OK;
}

enum s3_xml_error s3_xml_versioning(struct arena *a, struct str xml, enum s3_versioning *ret, struct s3_xml_fault *f)
{
	const struct xml_node *root = parse(a, xml, "VersioningConfiguration", f);
	struct str status = xml_child_text(root, "Status");

	if (!root)
		return S3_XML_MALFORMED;
	if (!status.p)
		*ret = S3_VERSIONING_OFF;
	else if (str_eqz(status, "Enabled"))
		*ret = S3_VERSIONING_ENABLED;
	else if (str_eqz(status, "Suspended"))
		*ret = S3_VERSIONING_SUSPENDED;
	else
		return malformed(f, "Status", "Status is Enabled or Suspended.");
	return S3_XML_OK;
}
