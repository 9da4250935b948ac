/* The program's own log: one line a message on standard error,
 *   2026-01-31T12:00:00.000Z gate warn: text
 * Only programs log (main rooms: gate, node, box, cli); libraries return errors. Never pass a secret. */
#pragma once

#include "base/util.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* "debug", "info", "warn", "error". */
bool log_level_by_name(const char *name, enum log_level *ret);
void log_open(const char *program, enum log_level least);
enum log_level log_least(void);
void log_at(enum log_level level, const char *fmt, ...) _printf_(2, 3);

#define log_debug(...) (log_least() <= LOG_DEBUG ? log_at(LOG_DEBUG, __VA_ARGS__) : (void)0)
#define log_info(...)  log_at(LOG_INFO, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
