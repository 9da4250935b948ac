/* Any bytes as the tags of a function, one NAME=VALUE a line: what is taken is within what is promised, and a device
 * gives to such a wish what it has and takes all of it back. */
#include "model/options.h"

#include <assert.h>

static void check_wish(const struct slice_wish *w)
{
	struct device d = {.id = STR("d"), .kind = STR("gpu"), .model = STR("m"), .memory_mb = 80000};
	_cleanup_(buf_done) struct buf text = BUF_NULL;
	struct slice_lease l;
	struct slice_book b;
	enum slice_fit fit;

	assert(w->n_kinds <= SLICE_KINDS_MAX && w->n_labels <= SLICE_LABELS_MAX);
	assert(w->slots >= 1 && w->slots <= DEVICE_SLOTS && w->whole <= SLICE_WHOLE_MAX);
	assert(!w->whole || w->slots == DEVICE_SLOTS);
	assert(w->n_kinds || (!w->sliced && !w->memory_mb));
	for (size_t i = 0; i < w->n_kinds; i++)
		assert(slice_name_is_valid(w->kinds[i]));
	for (size_t i = 0; i < w->n_labels; i++)
		assert(slice_name_is_valid(w->labels[i]));
	slice_book_init(&b, &d, false);
	fit = slice_book_take(&b, w, 1, &l);
	assert((fit == SLICE_FITS) == (w->memory_mb <= d.memory_mb));
	slice_fit_text(&text, fit, &b, w);
	if (fit != SLICE_FITS)
		return;
	assert(slice_book_free_slots(&b) == DEVICE_SLOTS - w->slots && l.memory_mb <= d.memory_mb);
	assert(slice_book_give_back(&b, &l) && slice_book_free_memory_mb(&b) == d.memory_mb && !b.n_holds);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = str_n(data, size), line;
	struct kv tags[16];
	struct function f = {.runtime = STR("python3.11"), .handler = STR("a.b"), .tags = tags};
	_cleanup_(err_done) struct err err = ERR_NULL;
	struct function_options o;

	while (rest.n && f.n_tags < ARRAY_SIZE(tags)) {
		str_cut(rest, '\n', &line, &rest);
		str_cut(line, '=', &tags[f.n_tags].k, &tags[f.n_tags].v);
		f.n_tags++;
	}
	if (function_options_parse(&o, &f, &err) < 0)
		assert(err.msg);
	else
		check_wish(&o.device);
	return 0;
}
