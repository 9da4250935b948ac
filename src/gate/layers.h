/* Layers as the rest of the gate needs them (api_lambda_layers.c). */
#pragma once

#include "gate/gate.h"

struct layer {
	struct str arn;    /* of the version */
	struct str sha256; /* base64, of the zip */
	struct str blob;
	uint64_t size;
};
/* By a layer version's ARN. False: there is none. Strings in a. */
bool layer_get(struct gate *g, struct arena *a, struct str arn, struct layer *ret);
