// The function's log: console.* in the form of AWS's Node.js runtimes. A message is one line of the output pipe; line
// ends within it become carriage returns, by which a log knows them as parts of one event.

const LEVELS = { TRACE: 0, DEBUG: 1, INFO: 2, WARN: 3, ERROR: 4, FATAL: 5 };
const STDOUT = 1;
const sleeper = new Int32Array(new SharedArrayBuffer(4));

let logRequestId = () => undefined; // of the invocation that speaks

// Straight to the pipe: what is logged is there when the process crashes in the next statement. The pipe may have been
// made non-blocking by whoever used process.stdout.
function writeOut(text) {
	let bytes = Buffer.from(text);
	while (bytes.length) {
		try {
			bytes = bytes.subarray(fs.writeSync(STDOUT, bytes));
		} catch (e) {
			if (e.code !== 'EAGAIN')
				return;
			Atomics.wait(sleeper, 0, 0, 1);
		}
	}
}

function textLine(level, args) {
	const message = util.format(...args).replace(/\n/g, '\r');
	return `${new Date().toISOString()}\t${logRequestId()}\t${level}\t${message}\n`;
}

function jsonLine(level, args) {
	const line = { timestamp: new Date().toISOString(), level, requestId: logRequestId() };
	const only = args.length === 1 ? args[0] : undefined;
	if (util.types.isNativeError(only)) {
		line.errorType = only.name;
		line.errorMessage = only.message;
		line.stackTrace = String(only.stack).split('\n');
	} else if (only !== null && typeof only === 'object') {
		line.message = only;
	} else {
		line.message = util.format(...args);
	}
	try {
		return JSON.stringify(line) + '\n';
	} catch {
		line.message = util.format(...args);
		return JSON.stringify(line) + '\n';
	}
}

function patchConsole(env) {
	const least = LEVELS[String(env.AWS_LAMBDA_LOG_LEVEL).toUpperCase()] ?? LEVELS.TRACE;
	const line = env.AWS_LAMBDA_LOG_FORMAT === 'JSON' ? jsonLine : textLine;
	const logger = (level) => (LEVELS[level] < least ? () => {} : (...args) => writeOut(line(level, args)));
	console.log = console.info = logger('INFO');
	console.debug = logger('DEBUG');
	console.warn = logger('WARN');
	console.error = logger('ERROR');
	console.trace = logger('TRACE');
	console.fatal = logger('FATAL');
}
