/* Tables of addresses and frames, and what may become of them. */
#include "wire/ipfilter.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static const uint8_t resolver[4] = {10, 0, 2, 3}, gateway[4] = {10, 0, 2, 2};

static struct ip_range range(const char *text)
{
	struct err err = ERR_NULL;
	struct ip_range r = {0};

	if (ip_range_parse(&r, str_from(text), &err) < 0)
		fail_msg("%s", err.msg);
	return r;
}

static void address(const char *text, uint8_t ret[static 16])
{
	uint8_t v4[4];

	if (inet_pton(AF_INET, text, v4) == 1)
		ip_mapped(v4, ret);
	else
		assert_int_equal(inet_pton(AF_INET6, text, ret), 1);
}

static void test_ranges(void **state)
{
	static const struct {
		const char *range, *addr;
		bool has;
	} t[] = {
		{"10.1.0.0/16", "10.1.255.255", true},
		{"10.1.0.0/16", "10.2.0.0", false},
		{"192.0.2.7", "192.0.2.7", true},
		{"192.0.2.7", "192.0.2.6", false},
		{"0.0.0.0/0", "255.255.255.255", true},
		{"0.0.0.0/0", "2000::1", false},
		{"10.1.2.128/25", "10.1.2.129", true},
		{"10.1.2.128/25", "10.1.2.127", false},
		{"fd00::/8", "fdff::1", true},
		{"fd00::/8", "fc00::1", false},
		{"::/0", "::1", true},
		{"::/0", "1.2.3.4", true},
		{"2001:db8::1", "2001:db8::1", true},
		{"2001:db8::/33", "2001:db8:8000::", false},
	};
	static const char *const bad[] = {"",
					  "/",
					  "10.1.0.0/",
					  "10.1.0.0/33",
					  "10.1.0.0/-1",
					  "10.1.0.1/16",
					  "10.1",
					  "::/129",
					  "fd00::1/8",
					  "10.1.0.0/16 ",
					  "example.com",
					  "10.1.0.0/16/2",
					  "1.2.3.4.5",
					  "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000"};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct ip_range r = range(t[i].range);
		uint8_t a[16];

		address(t[i].addr, a);
		if (ip_range_has(&r, a) != t[i].has)
			fail_msg("%s in %s", t[i].addr, t[i].range);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct err err = ERR_NULL;
		struct ip_range r;

		if (ip_range_parse(&r, str_from(bad[i]), &err) == 0)
			fail_msg("%s is a network", bad[i]);
		assert_non_null(err.msg);
		err_done(&err);
	}
}

static void test_reaches(void **state)
{
	const struct ip_range own[] = {range("93.184.216.34"), range("192.168.7.1"), range("2a00:1450::1")};
	const struct ip_range allow[] = {range("10.1.0.0/16"), range("127.0.0.0/8"), range("::/0"), range("fd12::/16")};
	static const struct {
		const char *addr;
		bool plain, allowed;
	} t[] = {
		{"8.8.8.8", true, true},
		{"1.1.1.1", true, true},
		{"93.184.216.35", true, true},
		{"2a00:1450::2", true, true},
		{"93.184.216.34", false, true},
		{"2a00:1450::1", false, true},
		{"192.168.7.1", false, true},
		{"10.1.2.3", false, true},
		{"fd12::1", false, true},
		{"0.0.0.0", false, false},
		{"0.1.2.3", false, false},
		{"127.0.0.1", false, false},
		{"127.255.255.255", false, false},
		{"224.0.0.1", false, false},
		{"239.255.255.255", false, false},
		{"240.0.0.1", false, false},
		{"255.255.255.255", false, false},
		{"::1", false, false},
		{"::", false, false},
		{"ff02::1", false, false},
		{"ff0e::1", false, false},
		{"64:ff9b::127.0.0.1", false, false},
		{"::ffff:127.0.0.1", false, false},
	};
	static const char *const private_ones[] = {
		"10.0.0.1",
		"10.0.2.2",
		"10.255.255.255",
		"100.64.0.1",
		"100.127.255.255",
		"169.254.169.254",
		"169.254.0.1",
		"172.16.0.1",
		"172.31.255.255",
		"192.0.0.8",
		"192.0.2.1",
		"192.88.99.1",
		"192.168.0.1",
		"192.168.255.255",
		"198.18.0.1",
		"198.19.255.255",
		"198.51.100.1",
		"203.0.113.1",
		"fc00::1",
		"fdff::1",
		"fe80::1",
		"febf::1",
		"fec0::1",
		"2001:db8::1",
		"2001::1",
		"2002:a00:1::1",
		"64:ff9b::10.0.0.1",
		"64:ff9b::169.254.169.254",
		"64:ff9b:1::1",
		"100::1",
		"::2",
		"4000::1",
		"::ffff:0:1.2.3.4",
	};
	static const char *const neighbours[] = {
		"9.255.255.255", "11.0.0.0",        "100.63.255.255", "100.128.0.0",     "169.253.0.1",
		"172.15.0.1",    "172.32.0.0",      "192.167.0.1",    "192.169.0.0",     "198.17.0.1",
		"198.20.0.0",    "223.255.255.255", "2600::1",        "64:ff9b::8.8.8.8"};
	const struct ipfilter plain = {.own = own, .n_own = ARRAY_SIZE(own)};
	const struct ipfilter lists = {.own = own, .n_own = 3, .allow = allow, .n_allow = ARRAY_SIZE(allow)};
	uint8_t a[16];

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		address(t[i].addr, a);
		if (ipfilter_reaches(&plain, a) != t[i].plain || ipfilter_reaches(&lists, a) != t[i].allowed)
			fail_msg("%s", t[i].addr);
	}
	for (size_t i = 0; i < ARRAY_SIZE(private_ones); i++) {
		address(private_ones[i], a);
		if (ipfilter_reaches(&plain, a))
			fail_msg("%s is reached", private_ones[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(neighbours); i++) {
		address(neighbours[i], a);
		if (!ipfilter_reaches(&plain, a))
			fail_msg("%s is not reached", neighbours[i]);
	}
}

struct packet {
	uint8_t b[128];
	size_t n;
};

static struct packet ether(unsigned type, size_t n)
{
	struct packet p = {.n = 14 + n};

	memcpy(p.b, "\x52\x55\x0a\x00\x02\x02\x02\x00\x00\x00\x00\x01", 12);
	p.b[12] = (uint8_t)(type >> 8), p.b[13] = (uint8_t)type;
	return p;
}

static struct packet v4(const char *to, uint8_t proto, unsigned port)
{
	struct packet p = ether(0x0800, 40);
	uint8_t *ip = p.b + 14;

	ip[0] = 0x45, ip[3] = 40, ip[8] = 64, ip[9] = proto;
	inet_pton(AF_INET, "10.0.2.100", ip + 12);
	inet_pton(AF_INET, to, ip + 16);
	ip[22] = (uint8_t)(port >> 8), ip[23] = (uint8_t)port;
	return p;
}

static struct packet v6(const char *to, uint8_t next, uint8_t type, uint8_t hops)
{
	struct packet p = ether(0x86dd, 48);
	uint8_t *ip = p.b + 14;

	ip[0] = 0x60, ip[5] = 8, ip[6] = next, ip[7] = hops;
	inet_pton(AF_INET6, to, ip + 24);
	ip[40] = type;
	return p;
}

static enum ip_verdict judge(struct packet p)
{
	const struct ipfilter f = {.resolver = {10, 0, 2, 3}, .gateway = {10, 0, 2, 2}};

	assert_memory_equal(f.resolver, resolver, 4);
	return ipfilter_judge(&f, str_n(p.b, p.n));
}

/* A packet with one byte changed. */
static struct packet with(struct packet p, size_t at, uint8_t value)
{
	p.b[14 + at] = value;
	return p;
}

static struct packet cut(struct packet p, size_t n)
{
	p.n = n;
	return p;
}

static void test_frames(void **state)
{
	const struct {
		struct packet p;
		enum ip_verdict verdict;
	} t[] = {
		{v4("8.8.8.8", 6, 443), IP_PASS},
		{v4("8.8.8.8", 17, 53), IP_PASS},
		{v4("8.8.8.8", 1, 0), IP_PASS},
		{v4("8.8.8.8", 47, 0), IP_REFUSE}, /* GRE, SCTP, IPIP */
		{v4("8.8.8.8", 132, 0), IP_REFUSE},
		{v4("8.8.8.8", 4, 0), IP_REFUSE},
		{v4("127.0.0.1", 6, 80), IP_REFUSE},
		{v4("10.0.2.2", 6, 22), IP_REFUSE},
		{v4("169.254.169.254", 6, 80), IP_REFUSE},
		{v4("255.255.255.255", 17, 67), IP_REFUSE},
		{v4("10.0.2.2", 17, 67), IP_REFUSE}, /* DHCP, TFTP */
		{v4("10.0.2.2", 17, 69), IP_REFUSE},
		{v4("10.0.2.3", 17, 53), IP_PASS},
		{v4("10.0.2.3", 6, 53), IP_PASS},
		{v4("10.0.2.3", 17, 54), IP_REFUSE},
		{v4("10.0.2.3", 6, 80), IP_REFUSE},
		{v4("10.0.2.3", 1, 53), IP_REFUSE},
		{with(v4("10.0.2.3", 17, 53), 6, 0x20), IP_DROP}, /* more fragments; a later one */
		{with(v4("10.0.2.3", 17, 53), 7, 1), IP_DROP},
		{with(v4("8.8.8.8", 17, 53), 6, 0x20), IP_PASS},
		{with(v4("10.0.2.3", 17, 53), 3, 27), IP_DROP}, /* no room for a port */
		{with(v4("8.8.8.8", 6, 80), 0, 0x46), IP_DROP}, /* options, version, lengths */
		{with(v4("8.8.8.8", 6, 80), 0, 0x65), IP_DROP},
		{with(v4("8.8.8.8", 6, 80), 0, 0x44), IP_DROP},
		{with(v4("8.8.8.8", 6, 80), 3, 41), IP_DROP},
		{with(v4("8.8.8.8", 6, 80), 3, 19), IP_DROP},
		{cut(v4("8.8.8.8", 6, 80), 14 + 19), IP_DROP},
		{cut(v4("8.8.8.8", 6, 80), 13), IP_DROP},
		{ether(0x0806, 28), IP_PASS},
		{ether(0x0806, 27), IP_DROP},
		{ether(0x8100, 60), IP_DROP}, /* VLAN, LLDP, a length of 802.3 */
		{ether(0x88cc, 60), IP_DROP},
		{ether(60, 60), IP_DROP},
		{v6("2600::1", 6, 0, 64), IP_PASS},
		{v6("2600::1", 17, 0, 64), IP_PASS},
		{v6("2600::1", 58, 128, 64), IP_PASS},
		{v6("2600::1", 0, 0, 64), IP_REFUSE}, /* hop-by-hop, routing, fragment, none */
		{v6("2600::1", 43, 0, 64), IP_REFUSE},
		{v6("2600::1", 44, 0, 64), IP_REFUSE},
		{v6("2600::1", 59, 0, 64), IP_REFUSE},
		{v6("::1", 6, 0, 64), IP_REFUSE},
		{v6("::ffff:10.0.0.1", 6, 0, 64), IP_REFUSE},
		{v6("fd00::3", 17, 0, 64), IP_REFUSE},
		{v6("fe80::2", 6, 0, 255), IP_REFUSE},
		{v6("fe80::2", 58, 135, 255), IP_PASS},
		{v6("fe80::2", 58, 135, 64), IP_REFUSE},
		{v6("ff02::2", 58, 133, 255), IP_PASS},
		{v6("ff02::1", 58, 128, 255), IP_REFUSE},
		{v6("ff05::2", 58, 133, 255), IP_REFUSE},
		{with(v6("2600::1", 6, 0, 64), 0, 0x40), IP_DROP},
		{with(v6("2600::1", 6, 0, 64), 5, 9), IP_DROP},
		{cut(v6("2600::1", 6, 0, 64), 14 + 39), IP_DROP},
	};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		if (judge(t[i].p) != t[i].verdict)
			fail_msg("frame %zu: %d", i, judge(t[i].p));
}

static unsigned sum(const uint8_t *p, size_t n)
{
	unsigned s = 0;

	for (size_t i = 0; i < n; i += 2)
		s += (unsigned)p[i] << 8 | p[i + 1];
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return s;
}

static void test_answers(void **state)
{
	const struct ipfilter f = {.gateway = {10, 0, 2, 2}};
	struct packet p = v4("192.168.0.1", 6, 80);
	uint8_t a[IPFILTER_ANSWER_MAX];

	assert_int_equal(ipfilter_answer(&f, str_n(p.b, p.n), a), sizeof(a));
	assert_memory_equal(a, p.b + 6, 6);
	assert_int_equal(sum(a + 14, 20), 0xffff);
	assert_int_equal(sum(a + 34, 36), 0xffff);
	assert_memory_equal(a + 14 + 12, gateway, 4);
	assert_memory_equal(a + 14 + 16, p.b + 14 + 12, 4);
	assert_int_equal(a[34], 3);
	assert_int_equal(a[35], 13);
	assert_memory_equal(a + 42, p.b + 14, 28);

	const struct packet silent[] = {v4("192.168.0.1", 1, 0),           v4("224.0.0.1", 17, 1),
					with(v4("10.0.0.1", 17, 1), 7, 1), with(v4("10.0.0.1", 17, 1), 3, 27),
					v6("fd00::1", 6, 0, 64),           ether(0x0806, 28),
					cut(v4("10.0.0.1", 17, 1), 20)};

	for (size_t i = 0; i < ARRAY_SIZE(silent); i++)
		assert_int_equal(ipfilter_answer(&f, str_n(silent[i].b, silent[i].n), a), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_reaches),
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
