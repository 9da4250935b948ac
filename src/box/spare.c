/* The spare net namespace of a zygote. The zygote goes into it itself, so that its next child inherits it, and leaves
 * it for the next one afterwards: no two workers are ever in the same. It belongs to the zygote's namespace of users; a
 * worker could not even change it if it had rights in its own. Owns three flags.
 *
 * Not for boxes that have the internet or may get it when they are specialised: wick-net enters their namespaces with
 * the rights of the box's own users. */
#include "box/spare.h"

#include "sys/ns.h"

static bool ready, taken, failed;

bool spare_wanted(void)
{
	return !ready && !failed;
}

void spare_make(void)
{
	ready = ns_unshare_net() == 0 && ns_loopback_up() == 0;
	failed = !ready; /* then each worker makes its own */
}

bool spare_take(const struct boxplan *p)
{
	taken = ready && p->namespaces & BOX_NS_NET && p->ops[p->n_ops - 1].value != BOX_PROFILE_POOL;
	for (size_t i = 0; i < p->n_ops && taken; i++)
		taken = p->ops[i].kind != BOX_WAIT;
	if (taken)
		ready = false;
	return taken;
}

bool spare_taken(void)
{
	return taken;
}
