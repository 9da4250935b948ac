/* An invocation whose answer is taken as it comes: by InvokeWithResponseStream, by a function URL, or as an HTTP
 * exchange of a web function, in which the request's body streams the other way as well. A stream never holds more than
 * two windows (FRAME_WINDOW) of a direction in memory: a slow client slows the function. */
#pragma once

#include "gate/invoke.h"

struct stream;

/* A HEAD, CHUNK, END or WINDOW_MORE of an invocation that runs, from worker.c. False: the worker may not say this
 * (window overrun, chunk before its time); it is to be ended. */
bool stream_frame(struct invocation *inv, const struct frame *f);
