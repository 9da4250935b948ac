/* The configuration of a function URL. Source: AWS Lambda API Reference, CreateFunctionUrlConfig, Cors. Pure. */
#pragma once

#include "wire/json.h"

enum url_auth { URL_AUTH_NONE, URL_AUTH_IAM };
enum url_mode { URL_BUFFERED, URL_STREAM };

struct url_cors {
	bool on, credentials;
	uint32_t max_age; /* seconds; 0: not said */
	struct str *origins, *methods, *headers, *expose;
	size_t n_origins, n_methods, n_headers, n_expose;
};

struct url_conf {
	enum url_auth auth;
	enum url_mode mode;
	struct url_cors cors;
	int64_t created_ms, modified_ms;
};

json_t *url_conf_to_json(const struct url_conf *u); /* as the store keeps it */
int url_conf_from_json(struct url_conf *ret, const json_t *j, struct arena *a,
		       struct err *err); /* views into j and a */
