/* What `wick dev` says: one line a thing, a time and a word before it. */
#pragma once

#include "cli/follow.h"
#include "cli/out.h"

/* From now on each is a line of JSON instead: {"at": Unix ms, "what": word, "text": ...}. */
void dev_show_json(void);
/* "14:03:22  deployed  TEXT"; further lines of the text stand below it. at_ms 0: now. */
void dev_say(int64_t at_ms, enum tone t, const char *word, struct str text);
void dev_sayf(enum tone t, const char *word, const char *fmt, ...) _printf_(3, 4);
/* A record of the log: output as it is, REPORT as stages, what says nothing more not at all. */
void dev_show_record(const struct log_record *r);
/* An answer of the function: short ones in a line, long ones laid out and cut. */
void dev_show_answer(struct str payload, bool failed);
