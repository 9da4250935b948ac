// Answers that are written piece by piece: awslambda.streamifyResponse and the stream its handlers write to.

const STREAMING = Symbol.for('aws.lambda.runtime.handler.streaming');
const HIGH_WATER_MARK = Symbol.for('aws.lambda.runtime.handler.streaming.highWaterMark');
const ANSWER_MAX = 6 * 1024 * 1024 + 100; // AWS's limit of an answer that is no stream

function tooLarge() {
	return new Fault('Function.ResponseSizeTooLarge',
		'Response payload size exceeded maximum allowed payload size (6291556 bytes).');
}

// Writing is as fast as the reader: what the gate has not taken yet stays here, and write() says false. A caller that
// takes no stream gets all of it as one answer.
class ResponseStream extends Writable {
	constructor(lane, id, streamed, highWaterMark) {
		super({ highWaterMark: highWaterMark > 0 ? highWaterMark : CHUNK_MAX });
		this.lane = lane;
		this.id = id;
		this.streamed = streamed;
		this.credit = WINDOW;
		this.head = null;      // fields of HEAD, until it is sent
		this.prelude = '';     // of an answer that is no stream
		this.begun = false;
		this.cancelled = false; // nobody reads any more
		this.resume = null;    // goes on with the write that waits for the window
		this.gathered = [];
		this.gatheredSize = 0;
	}

	setContentType(type) {
		if (this.begun)
			throw new Error('the content type cannot be set after the first write');
		this.head = [KEY.STATUS, 200, KEY.HEADER, headerLine('Content-Type', type)];
	}

	setPrelude(prelude) {
		if (this.begun)
			throw new Error('status and headers cannot be set after the first write');
		this.head = headOf(prelude);
		this.prelude = JSON.stringify(prelude) + '\0\0\0\0\0\0\0\0';
	}

	begin() {
		if (this.begun)
			return;
		this.begun = true;
		if (!this.streamed)
			this.#gather(Buffer.from(this.prelude));
		else if (this.head && !this.cancelled)
			this.lane.send(FRAME.HEAD, this.id, this.head);
	}

	_write(chunk, encoding, done) {
		this.begin();
		if (this.cancelled) {
			done();
		} else if (!this.streamed) {
			this.#gather(chunk);
			done(this.gatheredSize > ANSWER_MAX ? tooLarge() : undefined);
		} else {
			this.#pass(chunk, done);
		}
	}

	_final(done) {
		this.begin();
		done();
	}

	_destroy(error, done) {
		if (this.resume) {
			this.resume = null;
			this.lane.release();
		}
		done(error);
	}

	#gather(chunk) {
		this.gathered.push(chunk);
		this.gatheredSize += chunk.length;
	}

	#pass(chunk, done) {
		let at = 0;
		const pass = () => {
			while (at < chunk.length) {
				if (this.cancelled)
					break;
				if (this.credit <= 0) {
					if (!this.resume)
						this.lane.hold();
					this.resume = pass;
					return;
				}
				const n = Math.min(chunk.length - at, this.credit, CHUNK_MAX);
				this.lane.send(FRAME.CHUNK, this.id, [], chunk.subarray(at, at + n));
				this.credit -= n;
				at += n;
			}
			if (this.resume) {
				this.resume = null;
				this.lane.release();
			}
			done();
		};
		pass();
	}

	more(n) {
		this.credit += n;
		this.resume?.();
	}

	cancel() {
		this.cancelled = true;
		this.resume?.();
	}

	whole() {
		return Buffer.concat(this.gathered);
	}
}

function headerLine(name, value) {
	http.validateHeaderName(name);
	http.validateHeaderValue(name, String(value));
	return `${name}: ${value}`;
}

// Fields of HEAD from {statusCode, headers, multiValueHeaders, cookies}.
function headOf(prelude) {
	const status = prelude?.statusCode ?? 200;
	if (!Number.isInteger(status) || status < 200 || status > 999)
		throw new TypeError(`statusCode ${status} is no HTTP status`);
	const fields = [KEY.STATUS, status];
	for (const [name, value] of Object.entries(prelude?.headers ?? {})) {
		for (const one of Array.isArray(value) ? value : [value])
			fields.push(KEY.HEADER, headerLine(name, one));
	}
	for (const [name, values] of Object.entries(prelude?.multiValueHeaders ?? {})) {
		for (const one of values)
			fields.push(KEY.HEADER, headerLine(name, one));
	}
	for (const cookie of prelude?.cookies ?? [])
		fields.push(KEY.HEADER, headerLine('Set-Cookie', cookie));
	return fields;
}

const awslambda = {
	streamifyResponse(handler, options) {
		handler[STREAMING] = 'response';
		handler[HIGH_WATER_MARK] = Number(options?.highWaterMark);
		return handler;
	},
	HttpResponseStream: {
		from(stream, prelude) {
			if (!(stream instanceof ResponseStream))
				throw new TypeError('HttpResponseStream.from takes the stream that the handler was given');
			stream.setPrelude(prelude);
			return stream;
		},
	},
};
