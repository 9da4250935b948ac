// Frames over the lane (src/wire/frame.h says what they are). The lane's owner gives a table of what to do with them;
// what is written here goes out in order. Garbage from the gate is treated as a closed lane.

const FRAME = { INVOKE: 1, READY: 2, RESULT: 3, ERROR: 4, CHUNK: 5, HEAD: 6, WINDOW_MORE: 9, CANCEL: 10 };
const KEY = {
	DEADLINE_MS: 1, ARN: 2, TRACE: 3, CLIENT_CONTEXT: 4, MAX_RSS_KIB: 5, ERROR_TYPE: 6, STREAM: 7, CONCURRENCY: 8,
	HEADER: 12, STATUS: 13, WINDOW: 15,
};
const HEADER_SIZE = 32;
const FIELD_SIZE = 8;
const NUMBER_SIZE = 8;
const META_MAX = 1 << 20;
const BODY_MAX = 256 << 20;
const CHUNK_MAX = 64 << 10;
const WINDOW = 256 << 10;
const READ_SIZE = 64 << 10;
const NO_ID = '00000000000000000000000000000000';

// Bytes in, calls of take(buffer, at, size) with one whole frame out. The buffers are used again: who wants to keep
// bytes of a frame copies them.
class FrameReader {
	constructor(take) {
		this.take = take;
		this.head = Buffer.alloc(HEADER_SIZE);
		this.rest = null; // a frame that is not all there yet; null while its header is not
		this.have = 0;    // bytes of it
	}

	static size(buffer, at) {
		const body = buffer.readUInt32LE(at), meta = buffer.readUInt32LE(at + 4);
		if (buffer[at + 9] !== 1 || body > BODY_MAX || meta > META_MAX)
			throw new Error('the lane speaks another protocol');
		return HEADER_SIZE + meta + body;
	}

	feed(buffer, n) {
		let at = this.have ? this.#complete(buffer, n) : 0;
		while (n - at >= HEADER_SIZE) {
			const size = FrameReader.size(buffer, at);
			if (n - at < size)
				break;
			this.take(buffer, at, size);
			at += size;
		}
		if (at < n)
			this.#complete(buffer.subarray(at), n - at);
	}

	// Adds what belongs to the frame that is not all there; returns how many bytes that were.
	#complete(buffer, n) {
		let at = 0;
		if (!this.rest) {
			at = buffer.copy(this.head, this.have, 0, Math.min(n, HEADER_SIZE - this.have));
			this.have += at;
			if (this.have < HEADER_SIZE)
				return at;
			this.rest = Buffer.allocUnsafeSlow(FrameReader.size(this.head, 0));
			this.head.copy(this.rest);
		}
		const more = buffer.copy(this.rest, this.have, at, Math.min(n, at + this.rest.length - this.have));
		this.have += more;
		if (this.have === this.rest.length) {
			const whole = this.rest;
			this.rest = null;
			this.have = 0;
			this.take(whole, 0, whole.length);
		}
		return at + more;
	}
}

// The fields of a frame's meta, numbers as numbers, others as text. Repeated keys do not occur in what a worker gets.
function frameMeta(buffer, at) {
	const end = at + HEADER_SIZE + buffer.readUInt32LE(at + 4);
	const meta = {};
	for (at += HEADER_SIZE; at + FIELD_SIZE <= end;) {
		const key = buffer.readUInt16LE(at), n = buffer.readUInt32LE(at + 4);
		at += FIELD_SIZE;
		if (at + n > end)
			throw new Error('the lane speaks another protocol');
		if (key === KEY.DEADLINE_MS || key === KEY.STREAM || key === KEY.WINDOW)
			meta[key] = buffer.readUInt32LE(at) + buffer.readUInt32LE(at + 4) * 4294967296;
		else
			meta[key] = buffer.utf8Slice(at, at + n);
		at += n;
	}
	return meta;
}

function fieldsSize(fields) {
	let size = 0;
	for (let i = 0; i < fields.length; i += 2)
		size += FIELD_SIZE + (typeof fields[i + 1] === 'number' ? NUMBER_SIZE : Buffer.byteLength(fields[i + 1]));
	return size;
}

// A frame with room for n bytes of body at its end. fields: key, value, key, value.
function frameOf(type, id, fields, n, room) {
	const meta = fieldsSize(fields);
	const frame = Buffer.allocUnsafe(HEADER_SIZE + meta + room);
	frame.fill(0, 0, 16);
	frame.writeUInt32LE(n, 0);
	frame.writeUInt32LE(meta, 4);
	frame[8] = type;
	frame[9] = 1;
	frame.hexWrite(id, 16, 16);
	let at = HEADER_SIZE;
	for (let i = 0; i < fields.length; i += 2) {
		const value = fields[i + 1];
		const size = typeof value === 'number' ? NUMBER_SIZE : Buffer.byteLength(value);
		frame.writeUInt32LE(fields[i], at);
		frame.writeUInt32LE(size, at + 4);
		at += FIELD_SIZE;
		if (typeof value === 'number') {
			frame.writeUInt32LE(value % 4294967296, at);
			frame.writeUInt32LE(Math.floor(value / 4294967296), at + 4);
		} else {
			frame.utf8Write(value, at, size);
		}
		at += size;
	}
	return frame;
}

class Lane {
	// handle: the socket as Node.js received it. handlers: {invoke, window, cancel, closed}.
	constructor(handle, handlers) {
		const reader = new FrameReader((buffer, at, size) => this.#take(buffer, at, size));
		const closed = () => handlers.closed();
		this.handlers = handlers;
		this.waits = 0; // why the process must not end for want of other work
		this.socket = new net.Socket({
			handle,
			onread: {
				buffer: Buffer.allocUnsafeSlow(READ_SIZE),
				callback: (n, buffer) => {
					try {
						reader.feed(buffer, n);
					} catch {
						closed();
					}
					return true;
				},
			},
		});
		this.socket.on('end', closed).on('error', closed).on('close', closed).resume();
		this.socket.unref();
	}

	#take(buffer, at, size) {
		const type = buffer[at + 8];
		if (type !== FRAME.INVOKE && type !== FRAME.WINDOW_MORE && type !== FRAME.CANCEL)
			return;
		const id = buffer.hexSlice(at + 16, at + 32), meta = frameMeta(buffer, at);
		if (type === FRAME.INVOKE) {
			const body = at + HEADER_SIZE + buffer.readUInt32LE(at + 4);
			this.handlers.invoke(id, meta, buffer.utf8Slice(body, at + size));
		} else if (type === FRAME.WINDOW_MORE) {
			this.handlers.window(id, meta[KEY.WINDOW] || 0);
		} else {
			this.handlers.cancel(id);
		}
	}

	// While somebody waits for a frame, the event loop is not empty. Every hold has its release.
	hold() {
		if (this.waits++ === 0)
			this.socket.ref();
	}

	release() {
		if (--this.waits === 0)
			this.socket.unref();
	}

	// body: text, or bytes that nobody changes any more.
	send(type, id, fields, body = '') {
		const n = Buffer.byteLength(body);
		if (typeof body === 'string') {
			const frame = frameOf(type, id, fields, n, n);
			if (n)
				frame.utf8Write(body, frame.length - n, n);
			this.socket.write(frame);
			return;
		}
		this.socket.cork();
		this.socket.write(frameOf(type, id, fields, n, 0));
		this.socket.write(body);
		this.socket.uncork();
	}

	// When all that was sent is out; or at once, if it cannot go out any more.
	flushed(then) {
		if (this.socket.destroyed)
			then();
		else
			this.socket.write('', then);
	}
}
