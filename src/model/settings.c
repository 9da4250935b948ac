/* The table of settings: each once, with its prose. Pure; the values belong to whoever holds the struct. */
#include "model/settings.h"

#define SETTING(member, title, kind, meta, value, text)                                                                \
	.name = title, .metavar = meta, .type = kind, .dflt = value, .offset = offsetof(struct settings, member),      \
	.help = text

const struct setting settings_table[] = {
	{SETTING(data, "data", SETTING_STRING, "DIR", NULL,
		 "Folder of everything durable: functions, objects, events, logs, keys. Without it: /var/lib/wick as "
		 "root, else ~/.local/share/wick."),
	 .flag = "--data", .env = "WICK_DATA"},
	{SETTING(listen, "listen", SETTING_STRING, "ADDR:PORT", "127.0.0.1:9000",
		 "Address and port of the public APIs. Port 0 finds a free one; 0.0.0.0 takes requests from "
		 "everywhere."),
	 .flag = "--listen", .env = "WICK_LISTEN"},
	{SETTING(url, "url", SETTING_STRING, "URL", NULL,
		 "How clients and functions reach Wick, where that is not http://ADDR:PORT: behind a proxy, under a "
		 "name."),
	 .flag = "--url", .env = "WICK_URL"},
	{SETTING(region, "region", SETTING_STRING, "NAME", "us-east-1", "Region in signatures and ARNs."),
	 .flag = "--region", .env = "WICK_REGION"},
	{SETTING(account, "account", SETTING_STRING, "DIGITS", "000000000000", "Account in ARNs: 12 digits."),
	 .flag = "--account", .env = "WICK_ACCOUNT"},
	{SETTING(domains, "domains", SETTING_STRING, "LIST", NULL,
		 "Suffixes, with commas between, for buckets named in the host: with s3.example.org, "
		 "photos.s3.example.org is the bucket photos. s3.localhost is always one."),
	 .flag = "--domains", .env = "WICK_DOMAINS"},
	{SETTING(user, "user", SETTING_STRING, "NAME", NULL,
		 "Started as root: the user whom the gate runs as. Without it: wick, where such a user exists, else "
		 "root "
		 "without capabilities."),
	 .flag = "--user", .env = "WICK_USER"},
	{SETTING(log_level, "log_level", SETTING_STRING, "LEVEL", "info",
		 "Least of debug, info, warn and error that is logged."),
	 .flag = "--log-level", .env = "WICK_LOG_LEVEL"},
	{SETTING(max_connections, "max_connections", SETTING_U32, "N", "10000",
		 "Connections at once; more wait to be accepted."),
	 .min = 16, .max = 1000000, .flag = "--max-connections", .env = "WICK_MAX_CONNECTIONS"},
	{SETTING(idle_timeout_ms, "idle_timeout", SETTING_DURATION, "TIME", "60s",
		 "A connection without progress is closed after this."),
	 .min = 1000, .max = 86400000, .flag = "--idle-timeout", .env = "WICK_IDLE_TIMEOUT"},
	{SETTING(worker_idle_ms, "worker_idle", SETTING_DURATION, "TIME", "60s",
		 "A worker that nobody uses ends after this."),
	 .min = 0, .max = 86400000, .flag = "--worker-idle", .env = "WICK_WORKER_IDLE"},
	{SETTING(init_limit_ms, "init_limit", SETTING_DURATION, "TIME", "10m",
		 "A worker that is still initialising after this is ended; before, never for being slow."),
	 .min = 1000, .max = 86400000, .flag = "--init-limit", .env = "WICK_INIT_LIMIT"},
	{SETTING(zygote_idle_ms, "zygote_idle", SETTING_DURATION, "TIME", "10m",
		 "A zygote (a loaded runtime that workers are forked from) that nobody needed for this long ends."),
	 .min = 0, .max = 86400000, .flag = "--zygote-idle", .env = "WICK_ZYGOTE_IDLE"},
	{SETTING(prestart, "prestart", SETTING_U32, "N", "2",
		 "Boxed Node.js processes that wait for code, once a Node.js function has been used; 0: none."),
	 .min = 0, .max = 64, .flag = "--prestart", .env = "WICK_PRESTART"},
	{SETTING(box_uid, "box_uid", SETTING_U32, "UID", "0",
		 "Started as root: the user and group number that boxes run as, which nothing else should use. 0: "
		 "64646."),
	 .max = 4294967293, .flag = "--box-uid", .env = "WICK_BOX_UID"},
	{SETTING(internet_allow, "internet_allow", SETTING_STRING, "CIDRS", NULL,
		 "Private networks, with commas between, that functions with the tag wick:network=internet may reach; "
		 "without it none."),
	 .flag = "--internet-allow", .env = "WICK_INTERNET_ALLOW"},
	{SETTING(park_limit_ms, "park_limit", SETTING_DURATION, "TIME", "60s",
		 "A worker whose device memory cannot be moved to the host's, or back, within this is ended."),
	 .min = 100, .max = 3600000, .flag = "--park-limit", .env = "WICK_PARK_LIMIT"},
	{SETTING(queue_wait_ms, "queue_wait", SETTING_DURATION, "TIME", "60s",
		 "A synchronous invocation waits this long for a worker, then it is refused."),
	 .min = 1, .max = 900000, .flag = "--queue-wait", .env = "WICK_QUEUE_WAIT"},
	{SETTING(drain_ms, "drain", SETTING_DURATION, "TIME", "30s",
		 "When Wick is stopped, invocations that run are given this long to end."),
	 .min = 0, .max = 900000, .flag = "--drain", .env = "WICK_DRAIN"},
	{SETTING(concurrency, "concurrency", SETTING_U32, "N", "1000",
		 "Invocations that run at once, of all functions together."),
	 .min = 1, .max = 1000000, .flag = "--concurrency", .env = "WICK_CONCURRENCY"},
	{SETTING(worker_memory, "worker_memory", SETTING_BYTES, "SIZE", "0",
		 "Memory for all workers together. 0: three quarters of the machine's."),
	 .flag = "--worker-memory", .env = "WICK_WORKER_MEMORY"},
	{SETTING(retry_delay_ms, "retry_delay", SETTING_DURATION, "TIME", "60s",
		 "A failed asynchronous event is tried again after this, the next time after twice this."),
	 .min = 1, .max = 86400000, .flag = "--retry-delay", .env = "WICK_RETRY_DELAY"},
	{SETTING(log_max_bytes, "log_max", SETTING_BYTES, "SIZE", "64m",
		 "Log kept of each function; the oldest goes first."),
	 .min = 65536, .flag = "--log-max", .env = "WICK_LOG_MAX"},
	{SETTING(code_cache_bytes, "code_cache", SETTING_BYTES, "SIZE", "10g", "Unpacked packages that a node keeps."),
	 .min = 1048576, .flag = "--code-cache", .env = "WICK_CODE_CACHE"},
	{SETTING(devices, "devices", SETTING_STRING, "LIST", NULL,
		 "Devices that cannot be found, declared: "
		 "KIND[:COUNT][:mem=MIB][:file=PATH][:lib=PATH][:env=NAME=VALUE], "
		 "several with ';' between, or @FILE with them as YAML. They replace found ones of their kind "
		 "(docs/devices.md)."),
	 .flag = "--devices", .env = "WICK_DEVICES"},
	{SETTING(node_cost, "node_cost", SETTING_MONEY, "USD", "0",
		 "What this machine costs an hour; placement prefers cheaper ones that fit."),
	 .flag = "--node-cost", .env = "WICK_NODE_COST"},
	{SETTING(node_labels, "node_labels", SETTING_STRING, "LIST", NULL,
		 "Labels of this machine, with commas between, that functions ask for with the tag wick:place."),
	 .flag = "--node-labels", .env = "WICK_NODE_LABELS"},
	{SETTING(share_devices, "share_devices", SETTING_BOOL, "BOOL", "false",
		 "Functions of different roles may hold slices of one device at the same time."),
	 .flag = "--share-devices", .env = "WICK_SHARE_DEVICES"},
	{SETTING(nvml, "nvml", SETTING_STRING, "PATH", NULL,
		 "NVIDIA's management library, where it is not found as libnvidia-ml.so.1; none: it is not asked."),
	 .flag = "--nvml", .env = "WICK_NVML"},
	{SETTING(opencl, "opencl", SETTING_STRING, "PATH", NULL,
		 "OpenCL's loader, where it is not found as libOpenCL.so.1; none: it is not asked."),
	 .flag = "--opencl", .env = "WICK_OPENCL"},
	{SETTING(mps_control, "mps_control", SETTING_STRING, "PATH", NULL,
		 "NVIDIA's nvidia-cuda-mps-control, where it is not in PATH; none: fractions of a card are only "
		 "watched."),
	 .flag = "--mps-control", .env = "WICK_MPS_CONTROL"},
	{SETTING(price_gb_second, "price_gb_second", SETTING_MONEY, "USD", "0.0000166667",
		 "Price of a GB-second. The default is AWS Lambda's for x86 in us-east-1 "
		 "(https://aws.amazon.com/lambda/pricing/)."),
	 .flag = "--price-gb-second", .env = "WICK_PRICE_GB_SECOND"},
	{SETTING(price_request, "price_request", SETTING_MONEY, "USD", "0.0000002",
		 "Price of a request. The default is AWS Lambda's (https://aws.amazon.com/lambda/pricing/)."),
	 .flag = "--price-request", .env = "WICK_PRICE_REQUEST"},
	{SETTING(price_slices, "price_slices", SETTING_STRING, "LIST", NULL,
		 "Prices of devices, in USD for a slot (an eighth of a device) over a second: MODEL=USD with commas "
		 "between, as in NVIDIA H200=0.0001,gpu=0.00005. A model that is not named costs what its kind does. "
		 "Without it devices are free."),
	 .flag = "--price-slices", .env = "WICK_PRICE_SLICES"},
	{SETTING(nodes, "nodes", SETTING_STRING, "ADDR:PORT", NULL,
		 "Address and port where nodes on other machines connect (wick token makes what they join with), as "
		 "0.0.0.0:9001. Without it none can."),
	 .flag = "--nodes", .env = "WICK_NODES"},
	{SETTING(nodes_url, "nodes_url", SETTING_STRING, "HOST:PORT", NULL,
		 "How nodes reach that address, where it is not the host of the public URL and the port of nodes."),
	 .flag = "--nodes-url", .env = "WICK_NODES_URL"},
	{SETTING(node_away_ms, "node_away", SETTING_DURATION, "TIME", "5m",
		 "Workers of a node whose connection is lost are kept this long for it to come back."),
	 .min = 0, .max = 86400000, .flag = "--node-away", .env = "WICK_NODE_AWAY"},
};

const size_t settings_count = sizeof(settings_table) / sizeof(settings_table[0]);
