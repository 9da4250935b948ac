/* What a box with wick:network=internet may send: ethernet frames judged one by one, before anything of the host's sees
 * them. Outbound to public addresses, and to the resolver; nothing to this machine or to private networks unless they
 * were named. Pure; fuzzed. */
#pragma once

#include "base/err.h"
#include "base/str.h"

/* A network, IPv4 as ::ffff:a.b.c.d. */
struct ip_range {
	uint8_t addr[16];
	unsigned bits; /* of the prefix, 0 to 128 */
};

/* "10.1.0.0/16", "fd00::/8", "192.0.2.7" (the address alone). Bits behind the prefix must be zero. */
int ip_range_parse(struct ip_range *ret, struct str text, struct err *err);
bool ip_range_has(const struct ip_range *r, const uint8_t addr[static 16]);
void ip_mapped(const uint8_t v4[static 4], uint8_t ret[static 16]);

struct ipfilter {
	uint8_t resolver[4];          /* its port 53, by UDP and TCP, is reached although it is private */
	uint8_t gateway[4];           /* who says that something was refused */
	const struct ip_range *allow; /* reached although they are private */
	size_t n_allow;
	const struct ip_range *own; /* this machine's addresses, which are not, whatever they are */
	size_t n_own;
};

enum ip_verdict {
	IP_PASS,
	IP_REFUSE, /* well-formed, but to where it may not: dropped, and the sender may be told */
	IP_DROP,   /* not well-formed, or of a kind that no box needs */
};
enum ip_verdict ipfilter_judge(const struct ipfilter *f, struct str frame);

/* May an address be talked to at all, by the rules above? Public and not this machine's, or allowed. Loopback and
 * multicast never. */
bool ipfilter_reaches(const struct ipfilter *f, const uint8_t addr[static 16]);

/* The answer to a frame that IP_REFUSE was said of: "administratively prohibited", so that a connect fails at once
 * instead of after minutes. Its length, or 0 where none may be sent (IPv6, broadcasts, fragments, ICMP). */
#define IPFILTER_ANSWER_MAX 70
size_t ipfilter_answer(const struct ipfilter *f, struct str frame, uint8_t ret[static IPFILTER_ANSWER_MAX]);
