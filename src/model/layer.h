/* A layer version as the store keeps it, and its ARN. Codec: JSON, stable, unknown members ignored. Pure. */
#pragma once

#include "wire/json.h"

struct layer_version {
	struct str name, arn; /* of the version: arn:aws:lambda:REGION:ACCOUNT:layer:NAME:VERSION */
	uint64_t version;
	struct str description, license;
	struct str *runtimes, *architectures; /* that it says it is for */
	size_t n_runtimes, n_architectures;
	struct str sha256; /* base64, of the zip */
	struct str blob;
	uint64_t size, unpacked; /* bytes */
	int64_t created_ms;
};

json_t *layer_to_json(const struct layer_version *l);
int layer_from_json(struct layer_version *ret, const json_t *j, struct arena *a, struct err *err); /* views into j, a */

struct layer_name {
	struct str name;
	uint64_t version; /* 0: the ARN is the layer's, not a version's */
};
/* A layer's name, its ARN, or that of a version. */
bool layer_name_parse(struct str s, struct layer_name *ret);
