/* Who asks: SigV4 signatures of headers and presigned queries. */
#pragma once

#include "gate/req.h"

/* For services whose signature covers the body's hash without a header that says it (all but s3). */
enum step_result auth_check_body(struct req *r);
