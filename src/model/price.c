/* Prices. Pure integer arithmetic; nothing can fail but the parser of amounts. */
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

uint64_t price_cost(const struct price_book *book, uint32_t memory_mb, uint64_t billed_ms, uint64_t slice_ms)
{
	unsigned __int128 mb_ms = (unsigned __int128)memory_mb * billed_ms;
	uint64_t memory, device;

	if (mb_ms > UINT64_MAX)
		return UINT64_MAX;
	memory = ceil_div(mb_ms * book->gb_second, 1024 * 1000);
	device = ceil_div((unsigned __int128)slice_ms * book->slice_second, 1000);
	return add(add(memory, device), book->request);
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
