/* Prices. Pure integer arithmetic; nothing can fail but the parsers. */
#include "model/price.h"

#include <stdio.h>

static uint64_t ceil_div(unsigned __int128 a, uint64_t b)
{
	unsigned __int128 q = (a + b - 1) / b;

	return q > UINT64_MAX ? UINT64_MAX : (uint64_t)q;
}

static uint64_t add(uint64_t a, uint64_t b)
{
	uint64_t r;

	return __builtin_add_overflow(a, b, &r) ? UINT64_MAX : r;
}

uint64_t price_billed_ms(uint64_t run_us, uint64_t init_us)
{
	return ceil_div((unsigned __int128)run_us + init_us, 1000);
}

uint64_t price_slice_ms(uint32_t slots, uint64_t billed_ms)
{
	return ceil_div((unsigned __int128)slots * billed_ms, 1);
}

uint64_t price_cost(const struct price_book *book, uint32_t memory_mb, uint64_t billed_ms, uint64_t slice_ms,
		    uint64_t slice_second)
{
	unsigned __int128 mb_ms = (unsigned __int128)memory_mb * billed_ms;
	uint64_t memory, device;

	if (mb_ms > UINT64_MAX)
		return UINT64_MAX;
	memory = ceil_div(mb_ms * book->gb_second, 1024 * 1000);
	device = ceil_div((unsigned __int128)slice_ms * slice_second, 1000);
	return add(add(memory, device), book->request);
}

static const struct price_slice *find_slice(const struct price_book *book, struct str of)
{
	for (size_t i = 0; of.n && i < book->n_slices; i++)
		if (str_ieq(book->slices[i].of, of))
			return &book->slices[i];
	return NULL;
}

uint64_t price_slice_second(const struct price_book *book, struct str model, struct str kind)
{
	const struct price_slice *s = find_slice(book, model);

	if (!s)
		s = find_slice(book, kind);
	return s ? s->slice_second : 0;
}

/* "NVIDIA H200=0.0001". A model may have '=' in its name, an amount has none. */
static int add_slice(struct price_book *book, struct str entry, struct err *err)
{
	struct str of, amount;
	ssize_t at = -1;
	uint64_t price;

	for (size_t i = 0; i < entry.n; i++)
		if (entry.p[i] == '=')
			at = (ssize_t)i;
	of = str_trim(str_sub(entry, 0, at < 0 ? 0 : (size_t)at));
	amount = str_trim(str_sub(entry, (size_t)(at + 1), entry.n));
	if (!of.n)
		return err_set(err, 0, "'%.*s' is not MODEL=USD", STR_ARG(str_sub(entry, 0, 128)));
	if (!price_parse_usd(amount, &price))
		return err_set(err, 0, "%.*s: '%.*s' is no amount in USD", STR_ARG(str_sub(of, 0, 128)),
			       STR_ARG(str_sub(amount, 0, 64)));
	if (find_slice(book, of))
		return err_set(err, 0, "%.*s stands twice", STR_ARG(str_sub(of, 0, 128)));
	if (book->n_slices == PRICE_SLICES_MAX)
		return err_set(err, 0, "more than %d prices", PRICE_SLICES_MAX);
	book->slices[book->n_slices++] = (struct price_slice){.of = of, .slice_second = price};
	return 0;
}

int price_parse_slices(struct price_book *book, struct str text, struct err *err)
{
	struct str entry;
	bool more = str_trim(text).n > 0;

	book->n_slices = 0;
	while (more) {
		more = str_cut(text, ',', &entry, &text);
		if (add_slice(book, str_trim(entry), err) < 0)
			return -1;
	}
	return 0;
}

void price_format_usd(uint64_t picodollars, char out[static PRICE_TEXT_SIZE])
{
	int n = snprintf(out, PRICE_TEXT_SIZE, "%llu.%012llu", (unsigned long long)(picodollars / PICODOLLARS),
			 (unsigned long long)(picodollars % PICODOLLARS));

	while (n > 3 && out[n - 1] == '0' && out[n - 3] != '.')
		out[--n] = '\0';
}

bool price_parse_usd(struct str s, uint64_t *ret)
{
	struct str whole, fraction;
	uint64_t dollars, pico = 0;
	bool point = str_cut(s, '.', &whole, &fraction);

	if (!str_to_u64(whole, &dollars) || fraction.n > 12 || (point && !str_to_u64(fraction, &pico)))
		return false;
	for (size_t i = fraction.n; i < 12; i++)
		pico *= 10;
	if (__builtin_mul_overflow(dollars, (uint64_t)PICODOLLARS, &dollars) ||
	    __builtin_add_overflow(dollars, pico, &dollars))
		return false;
	*ret = dollars;
	return true;
}
