/* The filter of a box's frames. Owns nothing. It is the only guard between a function and the networks around the
 * machine, so it passes what it fully understands and nothing else: no options, no extension headers, no tunnels. */
#include "wire/ipfilter.h"

#include <arpa/inet.h>
#include <stdio.h>

#define ETHER_SIZE 14
#define ETHER_IPV4 0x0800
#define ETHER_ARP  0x0806
#define ETHER_IPV6 0x86dd
#define ARP_SIZE   28
#define IPV4_SIZE  20
#define IPV6_SIZE  40
#define MORE_FRAGS 0x2000
#define FRAG_MASK  0x1fff
#define DNS_PORT   53

#define PROTO_ICMP   1
#define PROTO_TCP    6
#define PROTO_UDP    17
#define PROTO_ICMPV6 58

/* Neighbour discovery: solicitations and advertisements of routers and neighbours. */
#define ND_FIRST 133
#define ND_LAST  136

#define ICMP_SIZE        8
#define ICMP_QUOTED      8 /* of what was refused, behind its header */
#define ICMP_UNREACHABLE 3
#define ICMP_PROHIBITED  13
#define ANSWER_TTL       64

static const uint8_t v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* IPv4 that is not the public internet (IANA's registry of special addresses). */
static const struct {
	uint8_t addr[4];
	uint8_t bits;
	bool never; /* not even where it was allowed */
} special4[] = {
	{{0, 0, 0, 0}, 8, true},       {{10, 0, 0, 0}, 8, false},     {{100, 64, 0, 0}, 10, false},
	{{127, 0, 0, 0}, 8, true},     {{169, 254, 0, 0}, 16, false}, {{172, 16, 0, 0}, 12, false},
	{{192, 0, 0, 0}, 24, false},   {{192, 0, 2, 0}, 24, false},   {{192, 88, 99, 0}, 24, false},
	{{192, 168, 0, 0}, 16, false}, {{198, 18, 0, 0}, 15, false},  {{198, 51, 100, 0}, 24, false},
	{{203, 0, 113, 0}, 24, false}, {{224, 0, 0, 0}, 4, true},     {{240, 0, 0, 0}, 4, true},
};

/* IPv6: only 2000::/3 is public, but for these; and 64:ff9b::/96, behind which IPv4 is. */
static const struct {
	uint8_t addr[6];
	uint8_t bits;
} special6[] = {
	{{0x20, 0x01, 0x00, 0x00}, 23}, /* IETF's own uses, Teredo among them */
	{{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
	{{0x20, 0x02}, 16},             /* 6to4: IPv4 inside */
	{{0x3f, 0xff, 0x00}, 20},       /* documentation */
};

static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return !rest || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

void ip_mapped(const uint8_t v4[static 4], uint8_t ret[static 16])
{
	memcpy(ret, v4_prefix, sizeof(v4_prefix));
	memcpy(ret + sizeof(v4_prefix), v4, 4);
}

bool ip_range_has(const struct ip_range *r, const uint8_t addr[static 16])
{
	return same_bits(r->addr, addr, r->bits);
}

int ip_range_parse(struct ip_range *ret, struct str text, struct err *err)
{
	struct str addr, bits;
	char z[INET6_ADDRSTRLEN + 1];
	uint8_t v4[4];
	uint64_t n;
	bool has_bits = str_cut(text, '/', &addr, &bits), is_v4;
	struct ip_range r = {0};

	if (addr.n >= sizeof(z) || memchr(addr.p, '\0', addr.n))
		return err_set(err, 0, "%.*s is no network", STR_ARG(text));
	memcpy(z, addr.p, addr.n);
	z[addr.n] = '\0';
	is_v4 = inet_pton(AF_INET, z, v4) == 1;
	if (is_v4)
		ip_mapped(v4, r.addr);
	else if (inet_pton(AF_INET6, z, r.addr) != 1)
		return err_set(err, 0, "%.*s is no network: 10.1.0.0/16 or fd00::/8 would be", STR_ARG(text));
	n = is_v4 ? 32 : 128;
	if (has_bits && (!str_to_u64(bits, &n) || n > (is_v4 ? 32u : 128u)))
		return err_set(err, 0, "%.*s: a prefix has 0 to %u bits", STR_ARG(text), is_v4 ? 32u : 128u);
	r.bits = (unsigned)n + (is_v4 ? 96 : 0);
	for (unsigned i = r.bits; i < 128; i++)
		if (r.addr[i / 8] & (0x80 >> i % 8))
			return err_set(err, 0, "%.*s: the address has bits behind its prefix", STR_ARG(text));
	*ret = r;
	return 0;
}

static bool in_any(const struct ip_range *list, size_t n, const uint8_t addr[static 16])
{
	for (size_t i = 0; i < n; i++)
		if (ip_range_has(&list[i], addr))
			return true;
	return false;
}

/* Sets *never where no list makes it reachable. */
static bool is_public4(const uint8_t addr[static 4], bool *never)
{
	for (size_t i = 0; i < ARRAY_SIZE(special4); i++)
		if (same_bits(addr, special4[i].addr, special4[i].bits)) {
			*never = special4[i].never;
			return false;
		}
	return true;
}

static bool is_public6(const uint8_t addr[static 16], bool *never)
{
	static const uint8_t none[16], loopback[16] = {[15] = 1};

	if (addr[0] == 0xff || !memcmp(addr, none, 16) || !memcmp(addr, loopback, 16)) {
		*never = true;
		return false;
	}
	if (addr[0] >> 5 != 1)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(special6); i++)
		if (same_bits(addr, special6[i].addr, special6[i].bits))
			return false;
	return true;
}

bool ipfilter_reaches(const struct ipfilter *f, const uint8_t addr[static 16])
{
	bool never = false, is_public;

	if (!memcmp(addr, v4_prefix, sizeof(v4_prefix)))
		is_public = is_public4(addr + sizeof(v4_prefix), &never);
	else if (!memcmp(addr, nat64, sizeof(nat64)))
		is_public = is_public4(addr + sizeof(nat64), &never);
	else
		is_public = is_public6(addr, &never);
	if (never)
		return false;
	if (in_any(f->allow, f->n_allow, addr))
		return true;
	return is_public && !in_any(f->own, f->n_own, addr);
}

static unsigned get16(const char *p)
{
	const uint8_t *b = (const uint8_t *)p;

	return (unsigned)b[0] << 8 | b[1];
}

/* A packet whose header says what is there, without options; its length by the header may be less than the frame's
 * (short frames are padded). */
static bool ipv4_parse(struct str p, size_t *total)
{
	if (p.n < IPV4_SIZE || (uint8_t)p.p[0] != 0x45)
		return false;
	*total = get16(p.p + 2);
	return *total >= IPV4_SIZE && *total <= p.n;
}

static enum ip_verdict judge_resolver(struct str p, size_t total)
{
	uint8_t proto = (uint8_t)p.p[9];

	if (get16(p.p + 6) & (MORE_FRAGS | FRAG_MASK) || total < IPV4_SIZE + 8)
		return IP_DROP;
	return (proto == PROTO_UDP || proto == PROTO_TCP) && get16(p.p + IPV4_SIZE + 2) == DNS_PORT ? IP_PASS
												    : IP_REFUSE;
}

static enum ip_verdict judge4(const struct ipfilter *f, struct str p)
{
	uint8_t to[16];
	size_t total;

	if (!ipv4_parse(p, &total))
		return IP_DROP;
	switch ((uint8_t)p.p[9]) {
	case PROTO_ICMP:
	case PROTO_TCP:
	case PROTO_UDP:
		break;
	default:
		return IP_REFUSE;
	}
	if (!memcmp(p.p + 16, f->resolver, 4))
		return judge_resolver(p, total);
	ip_mapped((const uint8_t *)p.p + 16, to);
	return ipfilter_reaches(f, to) ? IP_PASS : IP_REFUSE;
}

static bool is_neighbour_discovery(struct str p)
{
	const uint8_t *to = (const uint8_t *)p.p + 24;
	bool on_link = (to[0] == 0xff && to[1] == 0x02) || (to[0] == 0xfe && to[1] >> 6 == 2);

	return on_link && (uint8_t)p.p[6] == PROTO_ICMPV6 && (uint8_t)p.p[7] == 255 && p.n > IPV6_SIZE &&
	       (uint8_t)p.p[IPV6_SIZE] >= ND_FIRST && (uint8_t)p.p[IPV6_SIZE] <= ND_LAST;
}

static enum ip_verdict judge6(const struct ipfilter *f, struct str p)
{
	if (p.n < IPV6_SIZE || (uint8_t)p.p[0] >> 4 != 6 || IPV6_SIZE + (size_t)get16(p.p + 4) > p.n)
		return IP_DROP;
	if (is_neighbour_discovery(p))
		return IP_PASS;
	switch ((uint8_t)p.p[6]) {
	case PROTO_TCP:
	case PROTO_UDP:
	case PROTO_ICMPV6:
		break;
	default: /* fragments and routing headers among them */
		return IP_REFUSE;
	}
	return ipfilter_reaches(f, (const uint8_t *)p.p + 24) ? IP_PASS : IP_REFUSE;
}

enum ip_verdict ipfilter_judge(const struct ipfilter *f, struct str frame)
{
	struct str packet = str_sub(frame, ETHER_SIZE, SIZE_MAX);

	if (frame.n < ETHER_SIZE)
		return IP_DROP;
	switch (get16(frame.p + 12)) {
	case ETHER_ARP:
		return packet.n >= ARP_SIZE ? IP_PASS : IP_DROP; /* about the box's own link only */
	case ETHER_IPV4:
		return judge4(f, packet);
	case ETHER_IPV6:
		return judge6(f, packet);
	default:
		return IP_DROP;
	}
}

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* RFC 1071. n is even. */
static unsigned checksum(const uint8_t *p, size_t n)
{
	unsigned sum = 0;

	for (size_t i = 0; i < n; i += 2)
		sum += (unsigned)p[i] << 8 | p[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

size_t ipfilter_answer(const struct ipfilter *f, struct str frame, uint8_t ret[static IPFILTER_ANSWER_MAX])
{
	static const uint8_t gateway_mac[6] = {0x52, 0x55, 0x0a, 0x00, 0x02, 0x02};
	struct str p = str_sub(frame, ETHER_SIZE, SIZE_MAX);
	uint8_t *ip = ret + ETHER_SIZE, *icmp = ip + IPV4_SIZE;
	size_t total;

	_Static_assert(IPFILTER_ANSWER_MAX == ETHER_SIZE + 2 * IPV4_SIZE + ICMP_SIZE + ICMP_QUOTED, "its parts");
	if (frame.n < ETHER_SIZE || get16(frame.p + 12) != ETHER_IPV4 || !ipv4_parse(p, &total))
		return 0;
	if (total < IPV4_SIZE + ICMP_QUOTED || (uint8_t)p.p[9] == PROTO_ICMP || get16(p.p + 6) & FRAG_MASK ||
	    (uint8_t)p.p[16] >= 224)
		return 0;
	memset(ret, 0, IPFILTER_ANSWER_MAX);
	memcpy(ret, frame.p + 6, 6);
	memcpy(ret + 6, gateway_mac, 6);
	put16(ret + 12, ETHER_IPV4);
	ip[0] = 0x45;
	put16(ip + 2, IPFILTER_ANSWER_MAX - ETHER_SIZE);
	ip[8] = ANSWER_TTL;
	ip[9] = PROTO_ICMP;
	memcpy(ip + 12, f->gateway, 4);
	memcpy(ip + 16, p.p + 12, 4);
	put16(ip + 10, checksum(ip, IPV4_SIZE));
	icmp[0] = ICMP_UNREACHABLE;
	icmp[1] = ICMP_PROHIBITED;
	memcpy(icmp + ICMP_SIZE, p.p, IPV4_SIZE + ICMP_QUOTED);
	put16(icmp + 2, checksum(icmp, ICMP_SIZE + IPV4_SIZE + ICMP_QUOTED));
	return IPFILTER_ANSWER_MAX;
}
