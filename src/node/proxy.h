/* Which HTTP proxy the environment wants used for a host: https_proxy and no_proxy, as curl(1) reads them. Pure. */
#pragma once

#include "base/str.h"

/* Is the host in this list: names (with what lies below them), addresses, networks in CIDR, "*"; each with :PORT where
 * only that is meant; separated by commas or blanks. */
bool proxy_excepts(struct str no_proxy, struct str host, uint16_t port);
/* Looks at the environment; NULL: none. */
const char *proxy_for(const char *host, uint16_t port);
