/* Times as text: the spellings that HTTP, S3 and Lambda use. Pure: the proleptic Gregorian calendar in UTC, no
 * clock and no time zone of the machine. Years 0000 to 9999; a time outside is clamped when it is written. */
#pragma once

#include "base/str.h"

#define TIME_ISO8601_SIZE 25
#define TIME_LAMBDA_SIZE  29
#define TIME_HTTP_SIZE    30
#define TIME_AMZ_SIZE     17

void time_iso8601_ms(int64_t unix_ms, char out[static TIME_ISO8601_SIZE]); /* 2026-01-31T12:00:00.000Z */
void time_lambda(int64_t unix_ms, char out[static TIME_LAMBDA_SIZE]);      /* 2026-01-31T12:00:00.000+0000 */
void time_http(int64_t unix_s, char out[static TIME_HTTP_SIZE]);           /* Sat, 31 Jan 2026 12:00:00 GMT */
void time_amz(int64_t unix_s, char out[static TIME_AMZ_SIZE]);             /* 20260131T120000Z */

/* Each takes the whole of s or gives false and leaves the result alone. */
bool time_parse_http(struct str s, int64_t *unix_s); /* RFC 1123, RFC 850 and asctime, as RFC 9110 asks */
bool time_parse_amz(struct str s, int64_t *unix_s);
/* 2026-01-31, or with T12:00[:00[.fraction]] and then Z, +hh:mm, +hhmm or nothing (UTC). */
bool time_parse_iso8601(struct str s, int64_t *unix_ms);
