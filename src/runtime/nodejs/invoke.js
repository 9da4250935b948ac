// Invocations: from an INVOKE frame to exactly one RESULT or ERROR of its id. As many run at once as READY said.

const EXIT_UNCAUGHT = 129; // as AWS's runtimes

const CONTEXT_ENV = {
	functionName: 'AWS_LAMBDA_FUNCTION_NAME',
	functionVersion: 'AWS_LAMBDA_FUNCTION_VERSION',
	memoryLimitInMB: 'AWS_LAMBDA_FUNCTION_MEMORY_SIZE',
	logGroupName: 'AWS_LAMBDA_LOG_GROUP_NAME',
	logStreamName: 'AWS_LAMBDA_LOG_STREAM_NAME',
};

function uuidOf(id) {
	return `${id.slice(0, 8)}-${id.slice(8, 12)}-${id.slice(12, 16)}-${id.slice(16, 20)}-${id.slice(20)}`;
}

class Invocation {
	constructor(worker, id, meta) {
		this.worker = worker;
		this.id = id;
		this.uuid = uuidOf(id);
		this.deadline = meta[KEY.DEADLINE_MS] ?? 0;
		this.arn = meta[KEY.ARN];
		this.clientContext = meta[KEY.CLIENT_CONTEXT];
		this.answered = false;
		this.waitsForEmptyLoop = true;
		this.atEmptyLoop = () => this.succeed(null); // the handler has nothing left that could answer
		this.stream = null;
		if (worker.streaming) {
			const streamed = meta[KEY.STREAM] === 1;
			this.stream = new ResponseStream(worker.lane, id, streamed, worker.handler[HIGH_WATER_MARK]);
			this.stream.on('error', (error) => this.fail(error));
		}
	}

	context() {
		const invocation = this;
		const clientContext = this.clientContext === undefined ? undefined : JSON.parse(this.clientContext);
		return {
			get callbackWaitsForEmptyEventLoop() {
				return invocation.waitsForEmptyLoop;
			},
			set callbackWaitsForEmptyEventLoop(value) {
				invocation.waitsForEmptyLoop = Boolean(value);
			},
			...this.worker.contextFields,
			clientContext,
			identity: undefined, // of Cognito
			invokedFunctionArn: this.arn,
			awsRequestId: this.uuid,
			getRemainingTimeInMillis: () => Math.max(0, this.deadline - Date.now()),
			succeed: (value) => this.succeed(value),
			fail: (error) => this.fail(error ?? new Error('handled')),
			done: (error, value) => (isError(error) ? this.fail(error) : this.succeed(value)),
		};
	}

	run(text) {
		let event, context;
		try {
			event = JSON.parse(text);
			context = this.context();
		} catch (e) {
			this.fail(new Fault('Runtime.UnmarshalError', `Unable to unmarshal input: ${e.message}`));
			return;
		}
		try {
			const handler = this.worker.handler;
			const value = this.stream ? handler(event, this.stream, context)
				: handler(event, context, (error, answer) => this.#callback(error, answer));
			if (typeof value?.then === 'function')
				value.then((answer) => this.#resolved(answer), (error) => this.fail(error));
		} catch (e) {
			this.fail(e);
		}
	}

	#callback(error, answer) {
		if (isError(error))
			this.fail(error);
		else if (this.waitsForEmptyLoop)
			this.atEmptyLoop = () => this.succeed(answer);
		else
			this.succeed(answer);
	}

	#resolved(answer) {
		if (!this.stream)
			this.succeed(answer);
		else
			this.#streamFinished();
	}

	// A stream is answered when its handler is done and the stream is: ended by the handler, or by us when nothing is left
	// that could end it.
	#streamFinished() {
		const stream = this.stream;
		if (stream.writableFinished) {
			this.succeed();
			return;
		}
		if (stream.destroyed)
			this.fail(stream.errored ?? new Error('the response stream was destroyed before it ended'));
		else
			stream.once('finish', () => this.succeed());
	}

	succeed(value) {
		if (this.answered)
			return;
		const stream = this.stream;
		if (stream && !stream.writableFinished) {
			stream.once('finish', () => this.succeed());
			stream.end();
			return;
		}
		let body;
		try {
			body = stream ? stream.whole() : JSON.stringify(value === undefined ? null : value) ?? 'null';
		} catch (e) {
			this.fail(new Fault('Runtime.MarshalError', `Unable to stringify response body: ${e.message}`));
			return;
		}
		if (body.length > ANSWER_MAX / 3 && Buffer.byteLength(body) > ANSWER_MAX)
			this.fail(tooLarge());
		else
			this.#answer(FRAME.RESULT, [KEY.MAX_RSS_KIB, maxRssKib()], body);
	}

	fail(error) {
		if (this.answered)
			return;
		const described = describeError(error);
		this.worker.within(this, () => logError('Invoke Error', error, described));
		this.failAs(described);
	}

	failAs(described) {
		if (this.answered)
			return;
		this.#answer(FRAME.ERROR, [KEY.ERROR_TYPE, described.errorType, KEY.MAX_RSS_KIB, maxRssKib()],
			JSON.stringify(described));
		this.stream?.destroy();
	}

	#answer(type, fields, body) {
		this.answered = true;
		this.worker.lane.send(type, this.id, fields, body);
		this.worker.answered(this);
	}
}

function isError(error) {
	return error !== undefined && error !== null;
}

function maxRssKib() {
	return process.resourceUsage().maxRSS;
}

// What a process is once it is specialised: one function, and the invocations that run.
class Worker {
	constructor(handle, env, closed) {
		const concurrency = Number.parseInt(env.WICK_CONCURRENCY, 10);
		this.concurrency = concurrency > 1 ? concurrency : 1;
		this.running = new Map();
		this.current = undefined; // the last that was begun, where only one runs at a time
		this.context = this.concurrency > 1 ? new AsyncLocalStorage() : null;
		this.trace = undefined;
		this.contextFields = {};
		for (const [name, variable] of Object.entries(CONTEXT_ENV))
			this.contextFields[name] = env[variable];
		this.lane = new Lane(handle, {
			invoke: (id, meta, text) => this.#invoke(id, meta, text),
			window: (id, n) => this.running.get(id)?.stream?.more(n),
			cancel: (id) => this.running.get(id)?.stream?.cancel(),
			closed,
		});
		this.lane.hold();
		logRequestId = () => this.speaking()?.uuid;
	}

	// Loads the handler, says READY or what is wrong, and waits for invocations.
	async start(env) {
		process.on('unhandledRejection', (reason, promise) => this.#uncaught(rejection(reason)));
		process.on('uncaughtException', (error) => this.#uncaught(error));
		process.on('beforeExit', () => this.#emptyLoop());
		let handler;
		try {
			handler = await loadHandler(env.LAMBDA_TASK_ROOT ?? process.cwd(), env._HANDLER ?? '');
		} catch (e) {
			this.#initError(e);
			return;
		}
		// A rejection that the code left behind while it was loaded is noticed first.
		setImmediate(() => this.ready(handler));
	}

	ready(handler) {
		this.handler = handler;
		this.streaming = this.handler[STREAMING] === 'response';
		this.lane.send(FRAME.READY, NO_ID, [KEY.MAX_RSS_KIB, maxRssKib(), KEY.CONCURRENCY, this.concurrency]);
	}

	speaking() {
		return this.context ? this.context.getStore() : this.current;
	}

	within(invocation, call) {
		if (this.context)
			this.context.run(invocation, call);
		else
			call();
	}

	#invoke(id, meta, text) {
		const invocation = new Invocation(this, id, meta);
		if (this.trace !== meta[KEY.TRACE]) {
			this.trace = meta[KEY.TRACE];
			if (this.trace === undefined)
				delete process.env._X_AMZN_TRACE_ID;
			else
				process.env._X_AMZN_TRACE_ID = this.trace;
		}
		this.current = invocation;
		this.running.set(id, invocation);
		// The lane is what a worker with room waits for: what comes may go on with what is there already. One that
		// is full ends when its own work does.
		if (this.running.size === this.concurrency)
			this.lane.release();
		this.within(invocation, () => invocation.run(text));
	}

	answered(invocation) {
		const full = this.running.size === this.concurrency;
		this.running.delete(invocation.id);
		if (full)
			this.lane.hold();
	}

	#emptyLoop() {
		for (const invocation of [...this.running.values()])
			this.within(invocation, invocation.atEmptyLoop);
	}

	#initError(error) {
		const described = describeError(error);
		logError('Uncaught Exception', error, described);
		this.lane.send(FRAME.ERROR, NO_ID, [KEY.ERROR_TYPE, described.errorType, KEY.MAX_RSS_KIB, maxRssKib()],
			JSON.stringify(described));
		this.lane.flushed(() => process.exit(1));
	}

	// The process cannot be trusted any more. Of several invocations the one that is known to have thrown gets the
	// error; the others are told by the end of the process.
	#uncaught(error) {
		if (!this.handler) {
			this.#initError(error);
			return;
		}
		const described = describeError(error);
		const guilty = this.context?.getStore();
		logError(error instanceof Fault ? 'Unhandled Promise Rejection' : 'Uncaught Exception', error, described);
		for (const invocation of guilty ? [guilty] : [...this.running.values()])
			invocation.failAs(described);
		this.lane.flushed(() => process.exit(EXIT_UNCAUGHT));
	}
}

function rejection(reason) {
	const fault = new Fault('Runtime.UnhandledPromiseRejection', describeReason(reason), reason);
	fault.reason = util.types.isNativeError(reason) ? describeError(reason) : reason;
	return fault;
}

function describeReason(reason) {
	try {
		return String(reason);
	} catch {
		return describeError(reason).errorMessage;
	}
}
