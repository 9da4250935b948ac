/* Operations of api_admin.c's table about nodes and the tokens that they join with. */
#pragma once

#include "gate/req.h"

enum step_result admin_get_nodes(struct req *r);    /* GET /_wick/nodes */
enum step_result admin_post_node(struct req *r);    /* POST /_wick/nodes/{name} */
enum step_result admin_delete_node(struct req *r);  /* DELETE /_wick/nodes/{name} */
enum step_result admin_post_token(struct req *r);   /* POST /_wick/tokens */
enum step_result admin_get_tokens(struct req *r);   /* GET /_wick/tokens */
enum step_result admin_delete_token(struct req *r); /* DELETE /_wick/tokens/{id} */
enum step_result admin_get_place(struct req *r);    /* GET /_wick/place/FUNCTION */
