/* Aliases as the store keeps them, and which version an invocation of one goes to. Pure; a stored document may be
 * damaged: every wrong member is named. */
#include "model/alias.h"

json_t *alias_to_json(const struct alias *al)
{
	json_t *o = json_object();

	json_set_str(o, "name", al->name);
	json_set_str(o, "version", al->version);
	json_set_str(o, "description", al->description);
	json_set_str(o, "revision", al->revision);
	if (al->policy.n)
		json_set_str(o, "policy", al->policy);
	if (al->other.n) {
		json_set_str(o, "other", al->other);
		json_object_set_new(o, "weight", json_real(al->weight));
	}
	return o;
}

int alias_from_json(struct alias *ret, const json_t *j, struct arena *a, struct err *err)
{
	struct alias al = {.description = STR(""), .revision = STR(""), .other = STR(""), .policy = STR("")};
	const json_t *weight = json_object_get(j, "weight");

	if (!json_is_object(j))
		return err_set(err, 0, "an alias is not an object");
	if (json_need_str(j, "name", &al.name, err) || json_need_str(j, "version", &al.version, err) ||
	    json_opt_str(j, "description", &al.description, err) || json_opt_str(j, "revision", &al.revision, err) ||
	    json_opt_str(j, "other", &al.other, err) || json_opt_str(j, "policy", &al.policy, err))
		return -1;
	if (weight && !json_is_number(weight))
		return err_set(err, 0, "weight is not a number");
	al.weight = al.other.n ? json_number_value(weight) : 0;
	if (!(al.weight >= 0 && al.weight <= 1))
		return err_set(err, 0, "weight is not in 0..1");
	*ret = al;
	return 0;
}

struct str alias_pick(const struct alias *al, uint32_t random)
{
	if (al->other.n && (double)random < al->weight * 4294967296.0)
		return al->other;
	return al->version;
}
