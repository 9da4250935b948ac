// What goes wrong, as AWS's Node.js runtimes say it.

// An error of the runtime rather than of the handler: its name is the errorType.
class Fault extends Error {
	constructor(name, message, cause) {
		super(message);
		this.name = name;
		if (cause?.stack)
			this.stack = `${name}: ${message}\n${String(cause.stack)}`;
	}
}

// {errorType, errorMessage, trace} of whatever was thrown. Its getters are user code and may throw as well.
function describeError(error) {
	try {
		if (util.types.isNativeError(error) || (error?.name && error?.message && error?.stack)) {
			return {
				errorType: String(error.name),
				errorMessage: String(error.message),
				trace: String(error.stack).split('\n'),
			};
		}
		return { errorType: typeof error, errorMessage: String(error), trace: [] };
	} catch {
		return { errorType: 'Error', errorMessage: 'the error that was thrown cannot be read', trace: [] };
	}
}

// For the log: its own properties too (code, statusCode ...).
function errorForLog(error, described) {
	const { errorType, errorMessage, trace } = described;
	let own = {};
	try {
		if (util.types.isNativeError(error)) {
			own = { ...error };
			delete own.name;
		}
		return JSON.stringify({ errorType, errorMessage, ...own, stack: trace });
	} catch {
		return JSON.stringify({ errorType, errorMessage, stack: trace });
	}
}

function logError(what, error, described) {
	console.error(`${what} \t${errorForLog(error, described)}`);
}
