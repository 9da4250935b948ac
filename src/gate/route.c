/* The route step: the api (known since auth) says which operation the request names. Parses the query once for
 * everyone. Keeps no state. */
#include "gate/api.h"
#include "gate/flow.h"

#define QUERY_PARAMS_MAX 128

enum step_result route_step(struct req *r)
{
	if (uri_parse_query(&r->arena, r->query, QUERY_PARAMS_MAX, &r->params, &r->n_params) < 0)
		return req_failf(r, FAIL_INVALID_URI,
				 "The query has a broken percent escape or more than %d parameters.", QUERY_PARAMS_MAX);
	r->op = r->api->route(r);
	if (!r->op && !r->fail)
		return req_fail(r, FAIL_UNKNOWN_OPERATION);
	return STEP_MORE;
}
