/* Reserved and provisioned concurrency: Put, Get, Delete and List. Reservations are guarantees, so together they may
 * not take what is left for the other functions; the store checks the sums in the transaction that changes them. How
 * many workers there are is place.c's and provision.c's. Source: AWS Lambda API Reference and Developer Guide,
 * "Understanding Lambda function scaling". Fails by refusal only. */
#include "gate/api_lambda.h"

#include "base/time.h"
#include "gate/provision.h"
#include "gate/records.h"

#define PAGE_MAX       50
#define UNRESERVED_MIN 100 /* of an account's limit of 1000; of a smaller one a tenth */

static unsigned unreserved_min(const struct gate *g)
{
	return MIN(UNRESERVED_MIN, g->conf.s.concurrency / 10);
}

/* What may be reserved of all functions together. */
static unsigned reservable(const struct gate *g)
{
	return g->conf.s.concurrency - unreserved_min(g);
}

static bool read_count(struct req *r, const char *name, const char *told, int64_t min, uint32_t *ret)
{
	_cleanup_json_ json_t *j = lambda_body(r);
	struct violations v = {0};
	const char *why;
	int64_t n = 0;
	bool given;

	if (!j || !lambda_number(r, j, name, &n, &given))
		return false;
	why = limit_number(&r->arena, n, min, INT32_MAX);
	if (!given)
		violations_add(&v, STR_NULL, told, "Member must not be null");
	else if (why)
		violations_add(&v, str_from(arena_printf(&r->arena, "%lld", (long long)n)), told, "%s", why);
	*ret = (uint32_t)n;
	return !violations_refuse(r, &v);
}

/* ---- reserved ---- */

static void sum_provisioned(void *arg, struct str function, struct str qualifier, unsigned n)
{
	*(uint64_t *)arg += n;
}

static uint64_t provisioned_of(struct req *r)
{
	uint64_t sum = 0;

	record_each_provisioned(r->g, lambda_target(r)->name, sum_provisioned, &sum);
	return sum;
}

static enum step_result reserved_put(struct req *r)
{
	const struct record *rec = ((struct lambda_state *)r->api_state)->record;

	if (r->store_result == STORE_E_LIMIT)
		return req_failf(r, FAIL_INVALID_ARGUMENT,
				 "Specified ReservedConcurrentExecutions for function decreases account's "
				 "UnreservedConcurrentExecution below its minimum value of [%u].",
				 unreserved_min(r->g));
	if (r->store_result != 0)
		return lambda_fail_store(r, r->store_result);
	functions_changed(r->g, rec->function);
	return req_reply_json(r, 200, json_pack("{s:I}", "ReservedConcurrentExecutions", (json_int_t)rec->number));
}

static struct record *new_record(struct req *r, enum record_kind kind, struct str key)
{
	struct record *rec = arena_new(&r->arena, struct record);

	*rec = (struct record){.kind = kind, .function = lambda_target(r)->name, .key = key, .doc = STR("{}")};
	((struct lambda_state *)r->api_state)->record = rec;
	return rec;
}

enum step_result lambda_put_reserved(struct req *r)
{
	struct record *rec = new_record(r, RECORD_RESERVED, STR(""));
	struct store_txn *t;

	if (!lambda_only_function(r) ||
	    !read_count(r, "ReservedConcurrentExecutions", "reservedConcurrentExecutions", 0, &rec->number) ||
	    !lambda_function_exists(r))
		return STEP_MORE;
	if (provisioned_of(r) > rec->number)
		return req_failf(r, FAIL_INVALID_ARGUMENT,
				 "ReservedConcurrentExecutions  %u should not be lower than function's total "
				 "provisioned concurrency [%llu].",
				 rec->number, (unsigned long long)provisioned_of(r));
	t = store_begin(r->g->store);
	store_put_record(t, PUT_ANY, rec, STR(""), reservable(r->g));
	return req_commit(r, t, reserved_put);
}

enum step_result lambda_get_reserved(struct req *r)
{
	json_t *j;
	unsigned n;

	if (!lambda_only_function(r) || !lambda_function_exists(r))
		return STEP_MORE;
	j = json_object();
	if (record_reserved(r->g, lambda_target(r)->name, &n))
		json_object_set_new(j, "ReservedConcurrentExecutions", json_integer((json_int_t)n));
	return req_reply_json(r, 200, j);
}

static enum step_result record_deleted(struct req *r)
{
	/* What is gone already is what was asked for. */
	if (r->store_result != 0 && r->store_result != STORE_E_MISSING)
		return lambda_fail_store(r, r->store_result);
	functions_changed(r->g, lambda_target(r)->name);
	return req_reply_empty(r, 204);
}

static enum step_result delete_record(struct req *r, enum record_kind kind, struct str key)
{
	struct store_txn *t = store_begin(r->g->store);

	store_delete_record(t, kind, lambda_target(r)->name, key);
	return req_commit(r, t, record_deleted);
}

enum step_result lambda_delete_reserved(struct req *r)
{
	if (!lambda_only_function(r) || !lambda_function_exists(r))
		return STEP_MORE;
	return delete_record(r, RECORD_RESERVED, STR(""));
}

/* ---- provisioned ---- */

static json_t *provisioned_json(struct req *r, const struct record *rec)
{
	_cleanup_json_ json_t *doc = json_parse(rec->doc, NULL);
	unsigned requested = 0, allocated = 0, available = 0;
	const char *status = "IN_PROGRESS";
	char modified[TIME_LAMBDA_SIZE];
	json_t *j = json_object();

	provision_status(r->g, rec->function, rec->key, &requested, &allocated, &available, &status);
	time_lambda(json_get_int(doc, "modified_ms", 0), modified);
	json_object_set_new(j, "RequestedProvisionedConcurrentExecutions", json_integer((json_int_t)rec->number));
	json_object_set_new(j, "AvailableProvisionedConcurrentExecutions", json_integer((json_int_t)available));
	json_object_set_new(j, "AllocatedProvisionedConcurrentExecutions", json_integer((json_int_t)allocated));
	json_object_set_new(j, "Status", json_string(status));
	if (strcmp(status, "FAILED") == 0)
		json_object_set_new(
			j, "StatusReason",
			json_string("The workers do not start: `wick why` and the function's log say why."));
	json_object_set_new(j, "LastModified", json_string(modified));
	return j;
}

/* A version or an alias that is there: false after req_fail. */
static bool read_qualifier(struct req *r)
{
	const struct lambda_target *t = lambda_target(r);
	struct violations v = {0};
	struct function f;

	if (!t->qualifier.n)
		violations_add(&v, STR_NULL, "qualifier", "Member must not be null");
	if (violations_refuse(r, &v))
		return false;
	if (str_eqz(t->qualifier, "$LATEST")) {
		req_failf(r, FAIL_INVALID_ARGUMENT,
			  "Provisioned Concurrency Configs cannot be applied to unpublished function versions.");
		return false;
	}
	return lambda_read_target(r, &f);
}

/* An alias and a version that it names cannot both have some; nor can an alias of $LATEST. */
static bool check_alias(struct req *r)
{
	const struct lambda_target *t = lambda_target(r);
	struct record *all, *of_version;
	bool truncated;
	size_t n = 0;
	struct alias al;

	if (!lambda_is_number(t->qualifier)) {
		if (!record_alias(r->g, &r->arena, t->name, t->qualifier, &al))
			lambda_not_found(r);
		else if (str_eqz(al.version, "$LATEST"))
			req_failf(r, FAIL_INVALID_ARGUMENT,
				  "Provisioned Concurrency Configs cannot be applied to unpublished function "
				  "versions.");
		else if (store_get_record(store_reader(r->g->store), &r->arena, RECORD_PROVISIONED, t->name, al.version,
					  &of_version) == 0)
			req_failf(r, FAIL_CONFLICT,
				  "Alias can't be used for Provisioned Concurrency configuration on an already "
				  "Provisioned version");
		return !r->fail;
	}
	store_list_records(store_reader(r->g->store), &r->arena, RECORD_PROVISIONED, t->name, STR(""), UINT32_MAX - 1,
			   &all, &n, &truncated);
	for (size_t i = 0; i < n; i++) {
		if (record_alias(r->g, &r->arena, t->name, all[i].key, &al) && str_eq(al.version, t->qualifier)) {
			req_failf(r, FAIL_CONFLICT, "Version is pointed by a Provisioned Concurrency alias");
			return false;
		}
	}
	return true;
}

static void sum_reserved(void *arg, struct str function, unsigned n)
{
	*(uint64_t *)arg += n;
}

/* What the function may have provisioned: its reservation, or what nobody reserved. */
static uint64_t provisionable(struct req *r, bool *reserved)
{
	uint64_t sum = 0, most = reservable(r->g);
	unsigned own;

	*reserved = record_reserved(r->g, lambda_target(r)->name, &own);
	if (*reserved)
		return own;
	record_each_reserved(r->g, sum_reserved, &sum);
	return most > sum ? most - sum : 0;
}

static enum step_result provisioned_put(struct req *r)
{
	const struct record *rec = ((struct lambda_state *)r->api_state)->record;
	bool reserved;
	uint64_t most = provisionable(r, &reserved);

	if (r->store_result == STORE_E_LIMIT && reserved)
		return req_failf(r, FAIL_INVALID_ARGUMENT,
				 "Requested Provisioned Concurrency should not be greater than the "
				 "reservedConcurrentExecution for function");
	if (r->store_result == STORE_E_LIMIT)
		return req_failf(r, FAIL_INVALID_ARGUMENT,
				 "Specified ConcurrentExecutions for function is greater than account's unreserved "
				 "concurrency [%llu].",
				 (unsigned long long)most);
	if (r->store_result != 0)
		return lambda_fail_store(r, r->store_result);
	functions_changed(r->g, rec->function);
	return req_reply_json(r, 202, provisioned_json(r, rec));
}

enum step_result lambda_put_provisioned(struct req *r)
{
	struct record *rec = new_record(r, RECORD_PROVISIONED, lambda_target(r)->qualifier);
	struct store_txn *t;
	bool reserved;

	if (!read_qualifier(r) ||
	    !read_count(r, "ProvisionedConcurrentExecutions", "provisionedConcurrentExecutions", 1, &rec->number) ||
	    !check_alias(r))
		return STEP_MORE;
	rec->doc = str_from(arena_printf(&r->arena, "{\"modified_ms\":%lld}", (long long)r->now_ms));
	t = store_begin(r->g->store);
	store_put_record(t, PUT_ANY, rec, STR(""), provisionable(r, &reserved));
	return req_commit(r, t, provisioned_put);
}

static enum step_result list_provisioned(struct req *r)
{
	struct record *all;
	struct str after;
	bool truncated;
	json_t *j, *list;
	uint32_t max;
	size_t n;
	int res;

	if (!lambda_only_function(r) || !lambda_page(r, PAGE_MAX, &after, &max) || !lambda_function_exists(r))
		return STEP_MORE;
	res = store_list_records(store_reader(r->g->store), &r->arena, RECORD_PROVISIONED, lambda_target(r)->name,
				 after, max, &all, &n, &truncated);
	if (res != 0)
		return req_fail_errno(r, res);
	j = json_object();
	list = json_array();
	for (size_t i = 0; i < n; i++) {
		json_t *one = provisioned_json(r, &all[i]);

		json_object_set_new(one, "FunctionArn",
				    json_sprintf("%.*s:%.*s", STR_ARG(r->resource), STR_ARG(all[i].key)));
		json_array_append_new(list, one);
	}
	json_object_set_new(j, "ProvisionedConcurrencyConfigs", list);
	lambda_next_marker(j, truncated && n, n ? all[n - 1].key : STR(""));
	return req_reply_json(r, 200, j);
}

enum step_result lambda_get_provisioned(struct req *r)
{
	struct record *rec;
	int res;

	if (str_eqz(req_param(r, "List"), "ALL"))
		return list_provisioned(r); /* ListProvisionedConcurrencyConfigs has the same path */
	if (!read_qualifier(r))
		return STEP_MORE;
	res = store_get_record(store_reader(r->g->store), &r->arena, RECORD_PROVISIONED, lambda_target(r)->name,
			       lambda_target(r)->qualifier, &rec);
	if (res < 0)
		return req_fail_errno(r, res);
	return res == 0 ? req_reply_json(r, 200, provisioned_json(r, rec)) : req_fail(r, FAIL_NO_PROVISIONED);
}

enum step_result lambda_delete_provisioned(struct req *r)
{
	if (!read_qualifier(r))
		return STEP_MORE;
	return delete_record(r, RECORD_PROVISIONED, lambda_target(r)->qualifier);
}
