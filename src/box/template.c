/* Templates of roots. The operations from ROOT on that make folders, links, files and mounts of the host's folders are
 * the same in all plans of a runtime; only what follows (code, /tmp, /proc) is a worker's own. Owns a few trees,
 * attached above the zygote's root in a mount namespace that only the zygote has, and the operations each was made by:
 * a plan takes one if it begins with exactly these.
 *
 * The trees go into a child with the mounts of its parent. Which of them is its: the one that the zygote's working
 * directory is in at the time of the clone, as the kernel moves that along into the copy. The child may not detach what
 * it has from its parent, so it copies the tree once more, as its own root. */
#include "box/template.h"

#include "base/buf.h"
#include "base/mem.h"
#include "sys/mnt.h"
#include "sys/ns.h"

#include <fcntl.h>
#include <unistd.h>

#define TEMPLATES_MAX 8
#define OUTSIDE_UID   1000 /* any: in the zygote's own namespace of users, in which those of boxes are made */
/* A folder that every machine has and that nothing here needs. Not / itself: with a mount over it this process would
 * count as one in a chroot, and those may make no namespaces of users. */
#define PLACE "/sys/kernel"

struct tree {
	struct buf made_by; /* operations, encoded */
	size_t n_ops;
	int root;
};

static struct tree templates[TEMPLATES_MAX];
static size_t n_templates;
static bool able;     /* there is a mount namespace to make them in */
static size_t chosen; /* operations that the working directory stands for */

int template_begin(struct err *err)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	int r;

	if (ns_unshare_mounts() < 0)
		return 0;
	r = ns_map_self(OUTSIDE_UID, OUTSIDE_UID, uid, gid);
	if (r < 0)
		return err_set(err, -r, "map the user of a zygote");
	able = true;
	return 0;
}

static bool is_common(enum box_op_kind k)
{
	return k == BOX_ROOT || k == BOX_DIR || k == BOX_LINK || k == BOX_FILE || k == BOX_BIND;
}

/* The operations from ROOT on that a template can do. */
static struct boxplan common_part(const struct boxplan *p)
{
	struct boxplan part = {0};
	size_t i = 0;

	while (i < p->n_ops && p->ops[i].kind != BOX_ROOT)
		i++;
	part.ops = p->ops + i;
	while (i < p->n_ops && is_common(p->ops[i].kind))
		i++, part.n_ops++;
	return part;
}

/* What fails here fails again in the box, which says so. */
static bool make(struct tree *t, const struct boxplan *part)
{
	struct box b = {.plan = part, .root = -1, .landlock = -1, .at = PLACE};
	int r = 0;

	for (size_t i = 0; i < part->n_ops && r == 0; i++)
		r = box_do(&b, i, NULL);
	if (r < 0) {
		if (b.root >= 0) {
			close(b.root);
			mnt_detach(PLACE); /* the topmost there */
		}
		return false;
	}
	t->root = b.root;
	t->n_ops = part->n_ops;
	boxplan_encode(&t->made_by, part);
	return true;
}

static const struct tree *find(const struct boxplan *part)
{
	_cleanup_(buf_done) struct buf key = BUF_NULL;

	boxplan_encode(&key, part);
	for (size_t i = 0; i < n_templates; i++)
		if (str_eq(buf_str(&key), buf_str(&templates[i].made_by)))
			return &templates[i];
	if (n_templates == TEMPLATES_MAX || !make(&templates[n_templates], part))
		return NULL;
	return &templates[n_templates++];
}

/* A copy shares its files with the template: a mount point that this box alone has would be seen in all others. */
static bool adds_to_root(const struct boxplan *p, const struct boxplan *part)
{
	const struct box_op *op = part->ops + part->n_ops, *end = p->ops + p->n_ops;

	for (; op < end; op++)
		if (op->kind == BOX_DIR || op->kind == BOX_LINK || op->kind == BOX_FILE ||
		    (op->kind == BOX_BIND && op->flags & BOX_DEV))
			return true;
	return false;
}

void template_choose(const struct boxplan *p)
{
	const struct boxplan part = common_part(p);
	const struct tree *t = able && part.n_ops && !adds_to_root(p, &part) ? find(&part) : NULL;

	chosen = t && fchdir(t->root) == 0 ? t->n_ops : 0;
}

size_t template_take(struct box *b)
{
	int here;

	if (!chosen)
		return 0;
	here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (here < 0)
		return 0;
	if (box_set_root(b, mnt_copy_as_is(here)) < 0) {
		close(here);
		return 0;
	}
	close(here);
	return chosen;
}

void template_end(void)
{
	able = false;
	chosen = 0;
}
