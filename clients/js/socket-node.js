/*
 * A WebSocket for Node.js over the upgrade of node:http: as much of RFC 6455 as
 * a client needs, without extensions.  See socket.js.
 */

import { createHash, randomBytes } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';

import { CometaError, refused } from './errors.js';
import { deferred } from './util.js';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10;
const LARGEST = 64 * 1024 * 1024;
const HANDSHAKE_MS = 30000;
const GONE = 1006;                      /* the connection broke */


export function connect(url, protocol, headers, signal) {
    const { promise, resolve, reject } = deferred();
    const key = randomBytes(16).toString('base64');
    const secure = /^(?:wss|https):/.test(url);
    const request = (secure ? https : http).get(
        url.replace(/^ws/, 'http'), {
            agent: false, signal, headers: {
                ...headers,
                'Connection': 'Upgrade',
                'Upgrade': 'websocket',
                'Sec-WebSocket-Version': '13',
                'Sec-WebSocket-Key': key,
                'Sec-WebSocket-Protocol': protocol
            }
        });

    request.setTimeout(HANDSHAKE_MS, () => request.destroy(
        new Error('no answer in time')));

    request.on('error', (cause) => reject(signal?.aborted ? signal.reason
        : new CometaError('unreachable', 0, { detail: cause.message, cause })));

    request.on('response', (answer) => {
        const parts = [];

        answer.on('data', (part) => parts.push(part));
        answer.on('error', reject);
        answer.on('end', () => reject(refused(answer.statusCode,
            answer.headers['retry-after'], Buffer.concat(parts).toString())));
    });

    request.on('upgrade', (answer, stream, head) => {
        const accept = createHash('sha1').update(key + GUID).digest('base64');

        if (answer.headers['sec-websocket-accept'] !== accept) {
            stream.destroy();
            reject(new CometaError('malformed', 101));
            return;
        }

        stream.setTimeout(0);
        resolve(new Socket(stream, head, answer.headers));
    });

    return promise;
}


class Socket {

    onmessage() {}
    onclose() {}

    #stream;
    #in;
    #parts = [];                        /* of a message in frames */
    #kind = 0;
    #size = 0;
    #code = GONE;
    #closing = false;

    constructor(stream, head, headers) {
        this.#stream = stream;
        this.#in = head;
        this.headers = headers;

        stream.setNoDelay(true);
        stream.on('error', () => {});
        stream.on('data', (data) => this.#read(data));
        stream.on('end', () => stream.end());
        stream.on('close', () => this.onclose(this.#code));

        /* what came with the head waits for the handlers to be set */

        if (head.length) {
            setImmediate(() => this.#read(Buffer.alloc(0)));
        }
    }

    send(data) {
        this.#write(typeof data === 'string' ? TEXT : BINARY,
            Buffer.from(data));
    }

    close(code = 1000) {
        if (!this.#closing) {
            this.#closing = true;
            this.#write(CLOSE, Buffer.from([code >> 8, code & 0xff]));
            setTimeout(() => this.#stream.destroy(), 5000).unref();
        }
    }

    #read(data) {
        this.#in = this.#in.length ? Buffer.concat([this.#in, data]) : data;

        try {
            while (this.#frame()) { /* void */ }
        } catch {
            this.#code = 1002;
            this.#stream.destroy();
        }
    }

    /* Takes a frame out of what has come; false if there is no whole one. */

    #frame() {
        const buf = this.#in;

        if (buf.length < 2) {
            return false;
        }

        const op = buf[0] & 15, fin = Boolean(buf[0] & 0x80);
        const short = buf[1];
        const head = short === 127 ? 10 : short === 126 ? 4 : 2;

        if (buf[0] & 0x70 || short & 0x80
            || (op >= CLOSE && (short > 125 || !fin)))
        {
            throw new Error('a frame that is not allowed');
        }

        if (buf.length < head) {
            return false;
        }

        const size = head === 10 ? Number(buf.readBigUInt64BE(2))
            : head === 4 ? buf.readUInt16BE(2) : short;

        if (size > LARGEST) {
            throw new Error('a frame that is too large');
        }

        if (buf.length < head + size) {
            return false;
        }

        this.#in = buf.subarray(head + size);
        this.#take(op, fin, buf.subarray(head, head + size));

        return true;
    }

    #take(op, fin, data) {
        if (op === PING) {
            this.#write(PONG, data);

        } else if (op === CLOSE) {
            this.#code = data.length >= 2 ? data.readUInt16BE(0) : 1005;
            this.close(data.length >= 2 ? this.#code : 1000);
            this.#stream.end();

        } else if (op !== PONG) {
            this.#message(op, fin, data);
        }
    }

    #message(op, fin, data) {
        if (op > BINARY || (op === 0) !== (this.#kind !== 0)) {
            throw new Error('a frame out of order');
        }

        this.#kind ||= op;
        this.#size += data.length;
        this.#parts.push(data);

        if (this.#size > LARGEST) {
            throw new Error('a message that is too large');
        }

        if (!fin) {
            return;
        }

        const all = this.#parts.length === 1 ? data
            : Buffer.concat(this.#parts);
        const text = this.#kind === TEXT;

        this.#parts = [];
        this.#kind = this.#size = 0;
        this.onmessage(text ? all.toString() : new Uint8Array(all));
    }

    #write(op, data) {
        if (!this.#stream.writable) {
            return;
        }

        const size = data.length;
        const head = Buffer.alloc(size < 126 ? 6 : size < 65536 ? 8 : 14);
        const mask = randomBytes(4);

        head[0] = 0x80 | op;

        if (size < 126) {
            head[1] = 0x80 | size;

        } else if (size < 65536) {
            head[1] = 0xfe;
            head.writeUInt16BE(size, 2);

        } else {
            head[1] = 0xff;
            head.writeBigUInt64BE(BigInt(size), 2);
        }

        mask.copy(head, head.length - 4);

        const masked = Buffer.allocUnsafe(size);

        for (let i = 0; i < size; i++) {
            masked[i] = data[i] ^ mask[i & 3];
        }

        this.#stream.write(Buffer.concat([head, masked]));
    }
}
