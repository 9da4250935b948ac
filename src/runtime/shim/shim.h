/* A shim is pid 1 of a box and stands between the lane and a program that speaks another language: the Lambda Runtime
 * API (provided), HTTP (web), or frames through libwick (native). What all three share: the loop, the lane, the
 * program, and the words for how things end. */
#pragma once

#include "base/mem.h"
#include "box/zygote.h"
#include "runtime/shim/lane.h"
#include "runtime/shim/program.h"

#define SHIM_ANSWER_MAX (6u << 20) /* of an answer that is not streamed */

struct shim {
	struct poller poller;
	struct shim_lane lane;
	struct program program;
	unsigned concurrency;
	bool ready; /* said so */
};

/* The lane is read from here on, children are watched. Cannot fail but by ending the process with its reason in the
 * log. */
void shim_begin(struct shim *s, const struct zygote_worker *w, const struct lane_events *events,
		void (*exited)(void *arg, int status), void *arg);
_noreturn_ void shim_init_failed(struct shim *s, const char *type, const char *fmt, ...) _printf_(3, 4);
_noreturn_ void shim_end(struct shim *s, int status); /* everything said is sent first */
/* The end of the program is the worker's, with its status, a signal's as 128 and its number: what is open is answered
 * by the gate, which also knows whether memory was the reason. */
_noreturn_ void shim_program_over(struct shim *s, int status);
void shim_exit_message(int status, struct buf *ret); /* "Runtime exited with error: exit status 1" */

void shim_ready(struct shim *s);
void shim_result(struct shim *s, const uint8_t id[static 16], struct str body);
/* body: a JSON object as it goes to the caller. */
void shim_error_body(struct shim *s, const uint8_t id[static 16], struct str type, struct str body);
void shim_error(struct shim *s, const uint8_t id[static 16], const char *type, const char *fmt, ...) _printf_(4, 5);

const char *shim_env(const char *name, const char *dflt);
extern const uint8_t shim_no_id[16];

/* One each: what runs in the box. They do not return. */
void provided_run(const struct zygote_worker *w);
void native_run(const struct zygote_worker *w);
void web_run(const struct zygote_worker *w);
