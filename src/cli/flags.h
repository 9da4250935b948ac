/* Flags and prose of the commands, for the table in main.c alone: parser, --help, man page and completion come from
 * them. */
#pragma once

#include "cli/commands.h"

#define SERVE_MORE                                                                                                     \
	"Starts the gateway and a node, keeps them running, and stops them in order on SIGTERM or Ctrl-C. Settings "   \
	"come from flags, then the environment (WICK_...), then wick.yaml (--config FILE, DATA/wick.yaml, or "         \
	"/etc/wick/wick.yaml as root), then their defaults."
#define SERVE_EXAMPLES                                                                                                 \
	"wick serve\n"                                                                                                 \
	"wick serve --data ./data --listen 127.0.0.1:0\n"                                                              \
	"WICK_LOG_LEVEL=debug wick serve\n"

#define ENV_MORE                                                                                                       \
	"With these set, every AWS SDK, the AWS CLI and this command talk to the server that wick serve started on "   \
	"this data folder."
#define ENV_EXAMPLES                                                                                                   \
	"eval \"$(wick env)\"\n"                                                                                       \
	"eval \"$(wick env --data ./data)\" && aws s3 ls\n"

#define DEPLOY_MORE                                                                                                    \
	"Deploying again updates what changed. Runtime and handler are found by looking: handler or lambda_handler "   \
	"in "                                                                                                          \
	"lambda_function.py, handler.py, app.py or main.py; an exported handler in index.mjs, index.js or app.js; an " \
	"executable bootstrap; one shared object NAME.so; a line web: in Procfile or scripts.start in package.json. "  \
	"A "                                                                                                           \
	"template is a SAM template.yaml: functions, buckets, S3 events, permissions; what it "                        \
	"asks for and Wick does not have is an error, and then nothing is deployed."
#define DEPLOY_EXAMPLES                                                                                                \
	"wick deploy handler.py --name hello\n"                                                                        \
	"wick deploy thumbs/ --on s3:photos/uploads/ --memory 512 --env WIDTH=256\n"                                   \
	"wick deploy site/ --runtime web --command 'node server.js'\n"                                                 \
	"wick deploy template.yaml --parameter BucketName=photos\n"

static const struct flag deploy_flags[] = {
	{"name", 0, "NAME", "name of the function; of the stack, for a template"},
	{"handler", 0, "MODULE.FUNCTION", "what is called"},
	{"runtime", 0, "NAME", "python3.11, nodejs20.x, provided.al2023, native or web; found by looking unless said"},
	{"command", 0, "TEXT", "what a web function starts; it listens on the port in $PORT"},
	{"memory", 0, "MB", "128 to 10240"},
	{"timeout", 0, "SECONDS", "1 to 900"},
	{"env", 0, "K=V", "an environment variable; may be repeated, and then they replace all earlier ones"},
	{"layer", 0, "ARN", "a layer version, at /opt; may be repeated, the later on top"},
	{"url", 0, NULL, "a URL that everybody may call"},
	{"on", 0, "s3:BUCKET[/PREFIX]", "run for every object created there; the bucket is made if it is missing"},
	{"tag", 0, "K=V", "a tag; may be repeated"},
	{"role", 0, "ARN", "the role it runs as"},
	{"description", 0, "TEXT", "for people"},
	{"parameter", 0, "NAME=VALUE", "a parameter of the template; may be repeated"},
	{0},
};

#define DEV_MORE                                                                                                       \
	"Deploys the code, then again whenever a file is saved; shows the log as it comes and the stages of every "    \
	"invocation; says syntax errors with file and line instead of deploying them. Enter invokes the function, q "  \
	"or "                                                                                                          \
	"Ctrl-C ends. The function stays deployed, unless --rm is given. With --json all of it is a line of JSON "     \
	"each."
#define DEV_EXAMPLES                                                                                                   \
	"wick dev hello/\n"                                                                                            \
	"wick dev hello/ --event @event.json --env COLOUR=blue\n"                                                      \
	"wick dev site/ --runtime web --command 'node server.js' --rm\n"

static const struct flag dev_flags[] = {
	{"name", 0, "NAME", "name of the function; that of the folder unless said"},
	{"event", 0, "JSON|@FILE", "what Enter invokes it with; {} unless said. A file is read each time"},
	{"rm", 0, NULL, "delete the function at the end"},
	{"handler", 0, "MODULE.FUNCTION", "what is called"},
	{"runtime", 0, "NAME", "python3.11, nodejs20.x, provided.al2023, native or web; found by looking unless said"},
	{"command", 0, "TEXT", "what a web function starts; it listens on the port in $PORT"},
	{"memory", 0, "MB", "128 to 10240"},
	{"timeout", 0, "SECONDS", "1 to 900"},
	{"env", 0, "K=V", "an environment variable; may be repeated, and then they replace all earlier ones"},
	{"tag", 0, "K=V", "a tag; may be repeated"},
	{0},
};

#define INVOKE_MORE                                                                                                    \
	"The answer goes to standard output as the function gave it, the log (--log) to standard error. The exit "     \
	"status is 1 when the function failed. --record saves the event and the answer; --replay runs that event "     \
	"again, on the function that was recorded or on NAME, and shows what differs in the answer (request ids, "     \
	"times and stack traces do not count)."
#define INVOKE_EXAMPLES                                                                                                \
	"wick invoke hello --event '{\"name\": \"Ada\"}'\n"                                                            \
	"wick invoke hello --event @event.json --log\n"                                                                \
	"echo '{}' | wick invoke hello --event - --async\n"                                                            \
	"wick invoke hello --event @event.json --record hello.json\n"                                                  \
	"wick invoke --replay hello.json --check\n"                                                                    \
	"wick invoke story --stream\n"

static const struct flag invoke_flags[] = {
	{"event", 0, "JSON|@FILE|-", "the event: JSON, a file, or - for standard input; {} unless said"},
	{"async", 0, NULL, "queue it and do not wait"},
	{"log", 0, NULL, "show the end of its log, and the stages of the run"},
	{"qualifier", 0, "NAME", "a version or an alias"},
	{"client-context", 0, "JSON|@FILE", "what the function finds in its context"},
	{"stream", 0, NULL, "print the answer as the function writes it"},
	{"record", 0, "FILE", "save the event and the answer"},
	{"replay", 0, "FILE", "run a recorded event again, and compare"},
	{"check", 0, NULL, "with --replay: exit status 1 when the answer differs"},
	{0},
};

#define LOGS_MORE "Times are local, request ids are cut to their first eight digits; --json gives whole records."
#define LOGS_EXAMPLES                                                                                                  \
	"wick logs hello --since 10m\n"                                                                                \
	"wick logs hello -f\n"                                                                                         \
	"wick logs hello --json | jq -r .text\n"

static const struct flag logs_flags[] = {
	{"follow", 'f', NULL, "go on with what comes, until Ctrl-C"},
	{"since", 0, "TIME", "from 90s, 10m, 2h or 3d ago, or from a time as 2026-01-31T12:00"},
	{0},
};

#define LS_EXAMPLES                                                                                                    \
	"wick ls\n"                                                                                                    \
	"wick ls --json | jq -r '.[].FunctionName'\n"
#define SHOW_EXAMPLES                                                                                                  \
	"wick show hello\n"                                                                                            \
	"wick show hello --json\n"
#define RM_MORE                                                                                                        \
	"A function goes with its versions, aliases, URLs and triggers; buckets and what is in them stay. Also a "     \
	"version (hello:3), an alias (hello:live), a version of a layer (layer:tools:2) or all of them (layer:tools)."
#define RM_EXAMPLES                                                                                                    \
	"wick rm hello thumbnail\n"                                                                                    \
	"wick rm hello:3 hello:live layer:tools\n"

#define TOP_MORE                                                                                                       \
	"Functions with their queues and why those wait, workers by what they do, memory, rates and times; those "     \
	"that "                                                                                                        \
	"do something stand first. q or Ctrl-C ends it. Where standard output is no terminal it prints once; with "    \
	"--json one document, with --json and --interval one a line until it is ended."
#define TOP_EXAMPLES                                                                                                   \
	"wick top\n"                                                                                                   \
	"wick top --once\n"                                                                                            \
	"wick top --json | jq '.functions[] | select(.queued > 0) | {name, reason}'\n"

static const struct flag top_flags[] = {
	{"once", 0, NULL, "print once and end"},
	{"interval", 0, "TIME", "how often it looks; 1s unless said"},
	{0},
};

#define WHY_MORE                                                                                                       \
	"ID is the request ID, as invoke --async prints it, an SDK's answer has it and a log begins with it. Says "    \
	"what "                                                                                                        \
	"the invocation waits for and what helps. The exit status is 1 when nobody knows it."
#define WHY_EXAMPLES                                                                                                   \
	"wick why 6b2e9a54-8c3e-4a63-9d3a-0f2f1f3f7a10\n"                                                              \
	"wick why 6b2e9a54-8c3e-4a63-9d3a-0f2f1f3f7a10 --json\n"

#define BILL_MORE "Times are 2h or 3d ago, or 2026-01-31 or 2026-01-31T12:00, local."
#define BILL_EXAMPLES                                                                                                  \
	"wick bill\n"                                                                                                  \
	"wick bill --from 1d\n"                                                                                        \
	"wick bill --invocations --function hello\n"

static const struct flag bill_flags[] = {
	{"invocations", 0, NULL, "single invocations with their stages, newest first"},
	{"function", 0, "NAME", "of this one only"},
	{"from", 0, "TIME", "not older"},
	{"to", 0, "TIME", "not newer"},
	{"max", 0, "N", "at most so many invocations; 50 unless said"},
	{0},
};

#define EVENTS_MORE                                                                                                    \
	"An event that failed three times is kept with the reason until it is redriven: --redrive ID for one, "        \
	"--redrive --function NAME for all of a function."
#define EVENTS_EXAMPLES                                                                                                \
	"wick events --failed\n"                                                                                       \
	"wick events --redrive 6b2e9a54-8c3e-4a63-9d3a-0f2f1f3f7a10\n"                                                 \
	"wick events --redrive --function hello\n"

static const struct flag events_flags[] = {
	{"failed", 0, NULL, "only those that were given up"},
	{"queued", 0, NULL, "only those that wait or are tried again"},
	{"function", 0, "NAME", "of this one only"},
	{"max", 0, "N", "at most so many; 100 unless said"},
	{"redrive", 0, NULL, "queue failed events again: the ID that follows, or all of --function"},
	{0},
};

#define NODES_MORE                                                                                                     \
	"A node is up, away (not connected), drained (gets no new work), failing or refused; why stands beside it. "   \
	"Slots are eighths of devices. Rung is how a share of a device is held: mig and whole by the hardware, mps "   \
	"by "                                                                                                          \
	"the driver, watched only by Wick."
#define NODES_EXAMPLES                                                                                                 \
	"wick nodes\n"                                                                                                 \
	"wick nodes --devices\n"                                                                                       \
	"wick nodes --json | jq -r '.nodes[] | select(.up | not) | .name'\n"

static const struct flag nodes_flags[] = {
	{"devices", 0, NULL, "a line for each device"},
	{0},
};

#define NODE_MORE                                                                                                      \
	"With --join, or alone where a gateway has taken this machine before: runs a node here, in the foreground; "   \
	"`wick token` on the gateway prints the line. drain: it gets no new work, and what runs there ends in its "    \
	"own time; resume takes that back. remove: it is "                                                             \
	"not known any more, its connection and its workers end. label: functions with the tag wick:place=LABEL run "  \
	"only on nodes that have the label."
#define NODE_EXAMPLES                                                                                                  \
	"wick node --join gate.example.org:9001 --token wickt_... --fingerprint SHA256:...\n"                          \
	"wick node drain gpu1\n"                                                                                       \
	"wick node resume gpu1\n"                                                                                      \
	"wick node label gpu1 +lab +zone=b -test\n"                                                                    \
	"wick node remove gpu1\n"

static const struct flag node_flags[] = {
	{"join", 0, "HOST:PORT", "gateway to run functions for; needed once, the data folder keeps those that took it"},
	{"token", 0, "TOKEN", "what `wick token` printed there; needed once, and not kept"},
	{"fingerprint", 0, "SHA256:...",
	 "of the gateway's key, printed with the token; without it, its certificate must be one that this machine "
	 "trusts"},
	{"ca", 0, "FILE", "certificates that vouch for the gateway, instead of the machine's"},
	{"proxy", 0, "URL", "HTTP proxy on the way to the gateway; without it, https_proxy and no_proxy count"},
	{"name", 0, "NAME", "name of this node (a-z, 0-9 and -); without it, the host's"},
	{"label", 0, "LIST", "what functions may wish of a node (wick:place), with commas between"},
	{"worker-memory", 0, "SIZE", "memory for all workers together; three quarters of the machine's unless said"},
	{"code-cache", 0, "SIZE", "unpacked packages that are kept; 10g unless said"},
	{"zygote-idle", 0, "TIME", "a zygote that nobody needed for this long ends; 10m unless said"},
	{"prestart", 0, "N", "Node.js processes that wait for code; 2 unless said"},
	{"box-uid", 0, "UID", "started as root: user and group number of boxes; 64646 unless said"},
	{"internet-allow", 0, "CIDRS", "private networks that functions with wick:network=internet may reach"},
	{"gate-away", 0, "TIME", "idle workers of a gateway that is away for this long are ended; 5m unless said"},
	{"devices", 0, "LIST", "devices to declare, or @FILE"},
	{"node-cost", 0, "USD", "what this machine costs an hour"},
	{"share-devices", 0, "yes|no", "functions of different roles may share a device"},
	{"log-level", 0, "LEVEL", "least of debug, info, warn and error that is logged"},
	{0},
};

#define TOKEN_MORE                                                                                                     \
	"Prints the one line to run on a machine that shall become a node. Who has the token can join until it "       \
	"expires or is used up, and is known by its own key from then on: revoking a token ends no node."
#define TOKEN_EXAMPLES                                                                                                 \
	"wick token\n"                                                                                                 \
	"wick token --name gpu1 --label lab --ttl 15m\n"                                                               \
	"wick token --uses 0 --ttl 30d --label fleet\n"                                                                \
	"wick token --list\n"                                                                                          \
	"wick token --revoke 00c0ffee\n"

static const struct flag token_flags[] = {
	{"ttl", 0, "TIME", "how long it is good; 1h unless said"},
	{"uses", 0, "N", "how many nodes may join with it; 1 unless said, 0 is any number"},
	{"name", 0, "NAME", "only a node of this name may"},
	{"label", 0, "LABEL", "given to who joins with it; may be repeated"},
	{"list", 0, NULL, "the tokens that are good still"},
	{"revoke", 0, "ID", "nobody joins with it any more"},
	{0},
};

#define PLACE_MORE                                                                                                     \
	"Says which node and which devices a worker of the function would get now, and what speaks against the "       \
	"others."
#define PLACE_EXAMPLES                                                                                                 \
	"wick place train --dry-run\n"                                                                                 \
	"wick place train --dry-run --json\n"

static const struct flag place_flags[] = {
	{"dry-run", 0, NULL, "only look"},
	{0},
};
#define DEVICES_MORE                                                                                                   \
	"GPUs, accelerators and the CPU, as a node on this machine finds them, and those that WICK_DEVICES declares. " \
	"SLICES says how a fraction of the device is held: mig (by the card), mps (by NVIDIA's daemon), watched (its " \
	"worker is ended when it is over its memory), none (the worker's control group holds it). A device in "        \
	"trouble is given to nobody."
#define DEVICES_EXAMPLES                                                                                               \
	"wick devices\n"                                                                                               \
	"wick devices --json\n"

#define DOCTOR_MORE                                                                                                    \
	"Each line is ok, warn or fail, and says how to mend it. The exit status is 1 when something failed."
#define DOCTOR_EXAMPLES                                                                                                \
	"wick doctor\n"                                                                                                \
	"wick doctor --json\n"

#define COMPLETION_EXAMPLES                                                                                            \
	"source <(wick completion bash)\n"                                                                             \
	"wick completion zsh > ~/.zfunc/_wick\n"                                                                       \
	"wick completion fish > ~/.config/fish/completions/wick.fish\n"
#define VERSION_EXAMPLES "wick version\n"
