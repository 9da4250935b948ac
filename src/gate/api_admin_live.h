/* Operations of api_admin.c's table about what goes on now. */
#pragma once

#include "gate/req.h"

enum step_result live_why(struct req *r); /* GET /_wick/why/{request id} */
enum step_result live_top(struct req *r); /* GET /_wick/top */
