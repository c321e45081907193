/*
 * The channel: one WebSocket to all devices of an application, or to one.
 */

import { CometaError } from './errors.js';
import { connect } from './socket.js';
import {
    decoded, encoded, from_base64, id, query, time_limit, to_base64
} from './util.js';

const EVENTS = ['data', 'attach', 'detach', 'reply'];

/* A channel has words only; the numbers are those of the same call by HTTP. */

const STATUS = {
    bad_request: 400, empty_message: 400, invalid_device_id: 400,
    device_offline: 404, message_too_large: 413, device_busy: 429,
    device_disconnected: 502, device_taken_over: 502, worker_lost: 502,
    overloaded: 503, device_timeout: 504
};


export class Channel {

    #socket;
    #calls = new Map();                 /* name -> { resolve, reject } */
    #events = [];
    #waiting = [];                      /* for an event: { resolve, reject } */
    #room;
    #last = 0;
    #error;
    #closed = false;

    static async open(client, { device, events = EVENTS, prefix, signal,
                                room = 100000 } = {})
    {
        const wrong = events.find((kind) => !EVENTS.includes(kind));

        if (wrong !== undefined) {
            throw new TypeError(`"${wrong}" is none of ${EVENTS.join(', ')}`);
        }

        const answer = await client.get(device === undefined ? '/channel'
            : `/devices/${id(device)}/websocket`, signal);
        const path = device === undefined ? `/channels/${answer.channel_key}`
            : `/websockets/${id(device)}/${answer.device_key}`;

        /* there is no word for none; replies come only to who sends */

        const url = client.url.replace(/^http/, 'ws') + path
            + query({ events: events.join(',') || 'reply', prefix });

        return new Channel(await connect(url, 'cometa.json.v1', { signal }),
            room);
    }

    constructor(socket, room) {
        this.#socket = socket;
        this.#room = room;

        socket.onmessage = (text) => {
            try {
                this.#take(JSON.parse(text));
            } catch (cause) {
                this.#end(cause instanceof CometaError ? cause
                    : new CometaError('malformed', 0, { cause }));
                socket.close();
            }
        };

        socket.onclose = (code) => this.#end(
            new CometaError('closed', 0, { detail: `code ${code}` }));
    }

    async call(device, message, { timeout, wait, signal } = {}) {
        signal?.throwIfAborted();

        if (this.#error) {
            throw this.#error;
        }

        const call = String(++this.#last);
        const text = { call, device };

        if (typeof message === 'string') {
            text.message = message;
        } else {
            text.base64 = to_base64(encoded(message));
        }

        if (timeout !== undefined) {
            text.timeout = timeout;
        }

        if (wait !== undefined) {
            text.wait = wait;
        }

        /* the server says it when the time has passed, unless it is dead */

        const limit = time_limit(timeout === undefined ? undefined
            : timeout + 5, signal);
        let abort;

        try {
            return await new Promise((resolve, reject) => {
                abort = () => reject(limit.passed()
                    ? new CometaError('device_timeout', 504) : signal.reason);
                limit.signal?.addEventListener('abort', abort);
                this.#calls.set(call, { resolve, reject });
                this.#socket.send(JSON.stringify(text));
            });
        } finally {
            limit.signal?.removeEventListener('abort', abort);
            limit.clear();
            this.#calls.delete(call);
        }
    }

    async callText(device, message, options) {
        return decoded(await this.call(device, message, options));
    }

    close() {
        this.#closed = true;
        this.#socket.close();
        this.#end(new CometaError('closed'));
    }

    /* Events, until close(); throws when the connection is lost. */

    [Symbol.asyncIterator]() {
        return this;
    }

    async next() {
        if (this.#events.length) {
            return { done: false, value: this.#events.shift() };
        }

        if (this.#closed) {
            return { done: true, value: undefined };
        }

        if (this.#error) {
            throw this.#error;
        }

        return new Promise((resolve, reject) => {
            this.#waiting.push({ resolve, reject });
        });
    }

    #take(message) {
        if (message.event === undefined) {
            this.#reply(message);
            return;
        }

        const event = event_of(message);
        const waiting = this.#waiting.shift();

        if (waiting) {
            waiting.resolve({ done: false, value: event });

        } else if (this.#events.length < this.#room) {
            this.#events.push(event);

        } else {
            throw new CometaError('overflow', 0,
                { detail: 'nobody takes the events' });
        }
    }

    #reply(message) {
        const call = this.#calls.get(String(message.call));

        if (message.error === undefined) {
            call?.resolve(data_of(message, 'reply'));

        } else {
            call?.reject(new CometaError(message.error,
                STATUS[message.error] ?? 0, { detail: message.detail }));
        }
    }

    #end(error) {
        this.#error ??= error;

        for (const { reject } of this.#calls.values()) {
            reject(this.#error);
        }

        for (const { resolve, reject } of this.#waiting.splice(0)) {
            if (this.#closed) {
                resolve({ done: true, value: undefined });
            } else {
                reject(this.#error);
            }
        }
    }
}


function event_of(message) {
    const { event: kind, device, session, seq, time, info, address, reason,
            call, error } = message;
    const event = { kind, device, session, seq, time, info, address, reason,
                    call, error };

    if (kind === 'data' || kind === 'reply') {
        event.data = data_of(message, kind);
        event.text = decoded(event.data);
    }

    return event;
}


function data_of(message, name) {
    return message.base64 === undefined ? encoded(message[name] ?? '')
        : from_base64(message.base64);
}
