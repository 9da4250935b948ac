// A Node.js that waits to be told which function it is. wick-nodejs started it and tells it, by the channel that
// Node.js has for its parents, in one message: the environment, and with it the lane.

// What handlers use anyway is loaded while nobody waits.
for (const name of ['assert', 'child_process', 'crypto', 'dns', 'fs/promises', 'https', 'os', 'perf_hooks',
	'querystring', 'stream/promises', 'string_decoder', 'timers/promises', 'tls', 'tty', 'zlib'])
	require(name);

function setEnvironment(env) {
	for (const name of Object.keys(process.env)) {
		if (!(name in env))
			delete process.env[name];
	}
	for (const [name, value] of Object.entries(env)) {
		if (process.env[name] !== value)
			process.env[name] = value;
	}
	// Layers bring packages below /opt/nodejs.
	process.env.NODE_PATH ??= `/opt/nodejs/node${process.versions.node.split('.')[0]}/node_modules:`
		+ '/opt/nodejs/node_modules:/var/task';
	Module._initPaths(); // reads it
}

// How large the heap may become was settled when the process started. What can still be said is how soon to collect.
function limitHeap(memoryMb) {
	if (memoryMb > 0 && memoryMb <= 256)
		v8.setFlagsFromString('--heap-growing-percent=30');
	else if (memoryMb > 0 && memoryMb <= 1024)
		v8.setFlagsFromString('--heap-growing-percent=100');
}

// The channel has done its work, and handlers must not take this process for a child of another program's.
function closeChannel() {
	process.disconnect();
	for (const name of ['send', 'disconnect', 'connected', 'channel', '_channel', '_send', '_disconnect', '_handleQueue'])
		delete process[name];
}

function specialise(env, handle) {
	process.removeAllListeners('message');
	closeChannel();
	setEnvironment(env);
	limitHeap(Number(env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE));
	process.chdir(env.LAMBDA_TASK_ROOT ?? '/');
	process.argv = [process.argv[0], '/var/runtime/index.mjs'];
	process.execArgv = [];
	patchConsole(env);
	globalThis.awslambda = awslambda;
	new Worker(handle, env, () => process.exit(0)).start(env);
}

// What runs for the first time is slow in Node.js: code is compiled, parts of the system are set up. So the way of a
// function is gone once before there is one: a handler is found and loaded, as script and as module, a line is logged
// and an invocation answered, on a lane whose other end is wick-nodejs.
async function rehearse(handle) {
	const folder = fs.mkdtempSync('/tmp/.wick-');
	const over = new Promise((closed) => {
		const worker = new Worker(handle, { WICK_CONCURRENCY: '1' }, closed);
		fs.writeFileSync(path.join(folder, 'script.js'), 'exports.handler = async (event) => event;');
		fs.writeFileSync(path.join(folder, 'module.mjs'), 'export const handler = async (event) => event;');
		loadHandler(folder, 'module.handler').then(() => loadHandler(folder, 'script.handler'))
			.then((handler) => worker.ready(handler));
	});
	await over;
	delete require.cache[path.join(folder, 'script.js')];
	fs.rmSync(folder, { recursive: true });
	setEnvironment({ ...process.env });
	process.chdir(process.cwd());
	textLine('INFO', ['rehearsal', { of: 'a line' }]);
	logRequestId = () => undefined;
	process.send('rehearsed');
}

process.on('message', (message, handle) => (message.env ? specialise(message.env, handle) : rehearse(handle)));
process.send('ready');
