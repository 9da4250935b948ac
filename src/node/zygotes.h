/* The zygotes of this node: one for each runtime and set of imports that is in use. Loop thread. */
#pragma once

#include "model/options.h"
#include "node/conf.h"
#include "node/zygote.h"

struct zygotes;

struct zygotes *zygotes_new(struct loop *l, const struct node_conf *conf, void (*changed)(void *arg), void *arg);
struct zygotes *zygotes_free(struct zygotes *zs);
/* The zygote to fork from, borrowed until the next turn of the loop, perhaps still loading. imports: names with commas
 * between, sorted. NULL: err. */
struct zygote *zygotes_get(struct zygotes *zs, enum runtime_kind kind, struct str imports, struct err *err);
/* What a zygote of these imports has loaded already: names with blanks between; n == 0: not known. */
struct str zygotes_loaded(const struct zygotes *zs, enum runtime_kind kind, struct str imports);
json_t *zygotes_json(const struct zygotes *zs); /* for STATUS */
