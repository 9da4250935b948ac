/* The environment's words about proxies, read as curl and Go's net/http read them: lower case first. Nothing is kept.
 */
#include "node/proxy.h"

#include "wire/ipfilter.h"

static bool is_address(struct str s, struct ip_range *ret)
{
	return str_chr(s, '/', 0) < 0 && ip_range_parse(ret, s, NULL) == 0;
}

/* "example.org" and ".example.org" are the name and all below it. */
static bool name_covers(struct str entry, struct str host)
{
	if (entry.n && entry.p[0] == '.')
		entry = str_sub(entry, 1, SIZE_MAX);
	if (!entry.n || host.n < entry.n)
		return false;
	if (!str_ieq(str_sub(host, host.n - entry.n, SIZE_MAX), entry))
		return false;
	return host.n == entry.n || host.p[host.n - entry.n - 1] == '.';
}

/* Takes ":PORT" and the brackets of IPv6 off; false: it is of another port. */
static bool strip_port(struct str *entry, uint16_t port)
{
	struct str name = *entry, rest = STR_NULL;
	uint64_t n;

	if (entry->n && entry->p[0] == '[') {
		if (!str_cut(str_sub(*entry, 1, SIZE_MAX), ']', &name, &rest))
			return false;
		rest = str_sub(rest, 1, SIZE_MAX);
	} else if (str_cut(*entry, ':', &name, &rest) && str_chr(rest, ':', 0) >= 0) {
		return true; /* IPv6 without brackets */
	}
	*entry = name;
	return !rest.n || (str_to_u64(rest, &n) && n == port);
}

static bool entry_covers(struct str entry, struct str host, uint16_t port)
{
	struct ip_range range, address;

	if (str_eqz(entry, "*"))
		return true;
	if (!strip_port(&entry, port))
		return false;
	if (is_address(host, &address))
		return ip_range_parse(&range, entry, NULL) == 0 && ip_range_has(&range, address.addr);
	return name_covers(entry, host);
}

bool proxy_excepts(struct str no_proxy, struct str host, uint16_t port)
{
	if (host.n && host.p[host.n - 1] == '.')
		host.n--;
	while (no_proxy.n) {
		size_t n = 0;

		while (n < no_proxy.n && no_proxy.p[n] != ',' && no_proxy.p[n] != ' ' && no_proxy.p[n] != '\t')
			n++;
		if (n && entry_covers(str_sub(no_proxy, 0, n), host, port))
			return true;
		no_proxy = str_sub(no_proxy, n + 1, SIZE_MAX);
	}
	return false;
}

static const char *env_either(const char *lower, const char *upper)
{
	const char *v = getenv(lower);

	if (!v || !*v)
		v = getenv(upper);
	return v && *v ? v : NULL;
}

const char *proxy_for(const char *host, uint16_t port)
{
	const char *proxy = env_either("https_proxy", "HTTPS_PROXY"), *no = env_either("no_proxy", "NO_PROXY");

	if (proxy && no && proxy_excepts(str_from(no), str_from(host), port))
		return NULL;
	return proxy;
}
