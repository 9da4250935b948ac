/* Any text as a gateway's file, as its address, as a host's name and as no_proxy. What a name is made of is always one
 * that a node may have; an address that was taken is a host that can be asked for. */
#include "node/gates.h"
#include "node/proxy.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_n(data, size);
	_cleanup_(freep) char *text = str_dup(in), *name = node_name_from(text), *host = NULL;
	_cleanup_(err_done) struct err err = ERR_NULL, other = ERR_NULL;
	_cleanup_(gate_entry_done) struct gate_entry e = {0};
	uint16_t port = 0;

	assert(node_name_is(str_from(name)));
	if (gate_url_parse(text, &host, &port, &err) == 0)
		assert(*host && port);
	if (gate_entry_parse(&e, in, &other) == 0)
		assert(e.url && e.host && e.port && !e.token);
	proxy_excepts(in, STR("gate.example.org"), 9001);
	proxy_excepts(in, STR("2001:db8::7"), 9001);
	return 0;
}
