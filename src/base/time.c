/* Calendar arithmetic and the four spellings of a time. Days are counted from a year that begins in March, so
 * that the leap day is the last of its year and months need no table. Nothing is owned; nothing but malformed
 * text fails. */
#include "base/time.h"

#define DAY_S INT64_C(86400)
/* 0000-01-01T00:00:00Z and 9999-12-31T23:59:59Z. */
#define MIN_S INT64_C(-62167219200)
#define MAX_S INT64_C(253402300799)

static const char month_names[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					"Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
static const char *const day_names[7] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};

struct civil {
	int year, month, day; /* month and day from 1 */
	int hour, minute, second;
	int weekday; /* from Sunday; not read by civil_to_unix */
};

static int64_t days_from_civil(int year, int month, int day)
{
	int64_t y = year - (month <= 2);
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t of_era = y - era * 400;
	int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static struct civil civil_from_unix(int64_t s)
{
	int64_t clamped = MAX(MIN_S, MIN(MAX_S, s));
	int64_t days = (clamped - MIN_S) / DAY_S + MIN_S / DAY_S; /* floor: MIN_S is midnight */
	int64_t left = clamped - days * DAY_S;
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t day_of_era = z - era * 146097;
	int64_t of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int64_t of_year = day_of_era - (365 * of_era + of_era / 4 - of_era / 100);
	int64_t mp = (5 * of_year + 2) / 153;
	int month = (int)(mp < 10 ? mp + 3 : mp - 9);

	return (struct civil){
		.year = (int)(of_era + era * 400 + (month <= 2)),
		.month = month,
		.day = (int)(of_year - (153 * mp + 2) / 5 + 1),
		.hour = (int)(left / 3600),
		.minute = (int)(left / 60 % 60),
		.second = (int)(left % 60),
		.weekday = (int)(((days % 7) + 7 + 4) % 7),
	};
}

static int month_length(int year, int month)
{
	static const uint8_t lengths[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return lengths[month - 1] + (month == 2 && leap);
}

/* A leap second reads as the second after it, as POSIX counts. */
static bool civil_to_unix(const struct civil *c, int64_t *ret)
{
	if (c->month < 1 || c->month > 12 || c->day < 1 || c->day > month_length(c->year, c->month))
		return false;
	if (c->hour > 23 || c->minute > 59 || c->second > 60)
		return false;
	*ret = days_from_civil(c->year, c->month, c->day) * DAY_S + c->hour * 3600 + c->minute * 60 + c->second;
	return true;
}

static char *put_number(char *at, int v, int width)
{
	for (int i = width - 1; i >= 0; i--) {
		at[i] = (char)('0' + v % 10);
		v /= 10;
	}
	return at + width;
}

static char *put_text(char *at, const char *s, size_t n)
{
	memcpy(at, s, n);
	return at + n;
}

static char *put_clock(char *at, const struct civil *c)
{
	at = put_number(at, c->hour, 2);
	*at++ = ':';
	at = put_number(at, c->minute, 2);
	*at++ = ':';
	return put_number(at, c->second, 2);
}

static char *put_iso8601_ms(char *at, int64_t unix_ms)
{
	int64_t clamped = MAX(MIN_S * 1000, MIN(MAX_S * 1000 + 999, unix_ms));
	int64_t s = clamped / 1000 - (clamped % 1000 < 0);
	struct civil c = civil_from_unix(s);

	at = put_number(at, c.year, 4);
	*at++ = '-';
	at = put_number(at, c.month, 2);
	*at++ = '-';
	at = put_number(at, c.day, 2);
	*at++ = 'T';
	at = put_clock(at, &c);
	*at++ = '.';
	return put_number(at, (int)(clamped - s * 1000), 3);
}

void time_iso8601_ms(int64_t unix_ms, char out[static TIME_ISO8601_SIZE])
{
	put_text(put_iso8601_ms(out, unix_ms), "Z", 2);
}

void time_lambda(int64_t unix_ms, char out[static TIME_LAMBDA_SIZE])
{
	put_text(put_iso8601_ms(out, unix_ms), "+0000", 6);
}

void time_http(int64_t unix_s, char out[static TIME_HTTP_SIZE])
{
	struct civil c = civil_from_unix(unix_s);
	char *at = put_text(out, day_names[c.weekday], 3);

	at = put_text(at, ", ", 2);
	at = put_number(at, c.day, 2);
	*at++ = ' ';
	at = put_text(at, month_names[c.month - 1], 3);
	*at++ = ' ';
	at = put_number(at, c.year, 4);
	*at++ = ' ';
	at = put_clock(at, &c);
	put_text(at, " GMT", 5);
}

void time_amz(int64_t unix_s, char out[static TIME_AMZ_SIZE])
{
	struct civil c = civil_from_unix(unix_s);
	char *at = put_number(out, c.year, 4);

	at = put_number(at, c.month, 2);
	at = put_number(at, c.day, 2);
	*at++ = 'T';
	at = put_number(at, c.hour, 2);
	at = put_number(at, c.minute, 2);
	at = put_number(at, c.second, 2);
	put_text(at, "Z", 2);
}

/* The readers below each take one thing off the front of *s. */
static bool take_number(struct str *s, size_t width, int *ret)
{
	int v = 0;

	if (s->n < width)
		return false;
	for (size_t i = 0; i < width; i++) {
		if (s->p[i] < '0' || s->p[i] > '9')
			return false;
		v = v * 10 + (s->p[i] - '0');
	}
	*s = str_n(s->p + width, s->n - width);
	*ret = v;
	return true;
}

static bool take_text(struct str *s, const char *text)
{
	struct str t = str_from(text);

	if (!str_starts(*s, t))
		return false;
	*s = str_n(s->p + t.n, s->n - t.n);
	return true;
}

static bool take_month(struct str *s, int *ret)
{
	for (int i = 0; i < 12; i++) {
		if (take_text(s, month_names[i])) {
			*ret = i + 1;
			return true;
		}
	}
	return false;
}

static bool take_clock(struct str *s, struct civil *c)
{
	return take_number(s, 2, &c->hour) && take_text(s, ":") && take_number(s, 2, &c->minute) && take_text(s, ":") &&
	       take_number(s, 2, &c->second);
}

/* "31 Jan 2026 12:00:00 GMT" */
static bool take_rfc1123(struct str *s, struct civil *c)
{
	return take_number(s, 2, &c->day) && take_text(s, " ") && take_month(s, &c->month) && take_text(s, " ") &&
	       take_number(s, 4, &c->year) && take_text(s, " ") && take_clock(s, c) && take_text(s, " GMT");
}

/* "31-Jan-26 12:00:00 GMT": RFC 9110 would measure the century from today; Pure code has no today, and the window
 * 1970-2069 is the same for every time that a client can have got from us. */
static bool take_rfc850(struct str *s, struct civil *c)
{
	if (!take_number(s, 2, &c->day) || !take_text(s, "-") || !take_month(s, &c->month) || !take_text(s, "-") ||
	    !take_number(s, 2, &c->year))
		return false;
	c->year += c->year < 70 ? 2000 : 1900;
	return take_text(s, " ") && take_clock(s, c) && take_text(s, " GMT");
}

/* "Jan 31 12:00:00 2026", the day padded with a blank */
static bool take_asctime(struct str *s, struct civil *c)
{
	return take_month(s, &c->month) && take_text(s, " ") &&
	       (take_text(s, " ") ? take_number(s, 1, &c->day) : take_number(s, 2, &c->day)) && take_text(s, " ") &&
	       take_clock(s, c) && take_text(s, " ") && take_number(s, 4, &c->year);
}

bool time_parse_http(struct str s, int64_t *unix_s)
{
	struct civil c = {0};
	struct str day, rest;
	bool ok = false;

	if (!str_cut(s, ' ', &day, &rest) || day.n < 3)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(day_names) && !ok; i++) {
		struct str name = str_from(day_names[i]);
		struct str bare = str_n(day.p, day.n - (day.p[day.n - 1] == ','));

		if (str_eq(day, str_n(name.p, 3)))
			ok = take_asctime(&rest, &c);
		else if (bare.n == day.n)
			continue;
		else if (str_eq(bare, str_n(name.p, 3)))
			ok = take_rfc1123(&rest, &c);
		else if (str_eq(bare, name))
			ok = take_rfc850(&rest, &c);
	}
	return ok && rest.n == 0 && civil_to_unix(&c, unix_s);
}

bool time_parse_amz(struct str s, int64_t *unix_s)
{
	struct civil c = {0};

	return take_number(&s, 4, &c.year) && take_number(&s, 2, &c.month) && take_number(&s, 2, &c.day) &&
	       take_text(&s, "T") && take_number(&s, 2, &c.hour) && take_number(&s, 2, &c.minute) &&
	       take_number(&s, 2, &c.second) && take_text(&s, "Z") && s.n == 0 && civil_to_unix(&c, unix_s);
}

/* ".5": milliseconds, further digits dropped. */
static bool take_fraction(struct str *s, int *ret_ms)
{
	int scale = 100, digit, ms = 0;

	if (!take_number(s, 1, &digit))
		return false;
	do {
		ms += digit * scale;
		scale /= 10;
	} while (take_number(s, 1, &digit));
	*ret_ms = ms;
	return true;
}

/* "Z", "+02:00", "-0530" or nothing. */
static bool take_offset(struct str *s, int *ret_minutes)
{
	int sign, hours, minutes;

	*ret_minutes = 0;
	if (s->n == 0 || take_text(s, "Z"))
		return true;
	if (take_text(s, "+"))
		sign = 1;
	else if (take_text(s, "-"))
		sign = -1;
	else
		return false;
	if (!take_number(s, 2, &hours))
		return false;
	take_text(s, ":");
	if (!take_number(s, 2, &minutes) || hours > 23 || minutes > 59)
		return false;
	*ret_minutes = sign * (hours * 60 + minutes);
	return true;
}

bool time_parse_iso8601(struct str s, int64_t *unix_ms)
{
	struct civil c = {0};
	int64_t unix_s;
	int ms = 0, offset = 0;

	if (!take_number(&s, 4, &c.year) || !take_text(&s, "-") || !take_number(&s, 2, &c.month) ||
	    !take_text(&s, "-") || !take_number(&s, 2, &c.day))
		return false;
	if (s.n > 0) {
		if (!take_text(&s, "T") || !take_number(&s, 2, &c.hour) || !take_text(&s, ":") ||
		    !take_number(&s, 2, &c.minute))
			return false;
		if (take_text(&s, ":")) {
			if (!take_number(&s, 2, &c.second) || (take_text(&s, ".") && !take_fraction(&s, &ms)))
				return false;
		}
		if (!take_offset(&s, &offset) || s.n > 0)
			return false;
	}
	if (!civil_to_unix(&c, &unix_s))
		return false;
	*unix_ms = (unix_s - (int64_t)offset * 60) * 1000 + ms;
	return true;
}
