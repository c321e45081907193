/*
 * A device over a WebSocket: attaches, answers calls, and comes back when it is
 * lost.
 */

import { CometaError } from './errors.js';
import { connect } from './socket.js';
import { decoded, deferred, encoded, id, join, query } from './util.js';

const HEARTBEAT = 6, EVENT = 7, REQUEST = 5, LF = 10;
const STEADY_MS = 60000;                /* attached so long, waits begin anew */
const ATTACH_MS = 30000;
const LOST = [1001, 1006, 1012];        /* the server leaves, or broke off */


export class Device {

    sessions = 0;
    heartbeat = 0;

    #url;
    #headers = {};
    #handler;
    #options;
    #link = null;
    #tries = 0;
    #stopped = null;                    /* an AbortController while it runs */

    constructor(url, application, device, handler, options = {}) {
        const { secret, info, heartbeat, echo = true, pipeline = 1,
                requests = false, text = false, query: values = {},
                headers = {} } = options;

        this.#url = String(url).replace(/\/+$/, '').replace(/^http/, 'ws')
            + `/applications/${id(application)}/devices/${id(device)}`
            + query(values);
        this.#handler = handler;
        this.#options = options;

        Object.assign(this.#headers,
            secret && { Authorization: `Bearer ${secret}` },
            info && { 'Cometa-Info': info },
            (heartbeat || echo) && { 'Cometa-Heartbeat':
                `${heartbeat ?? 60}${echo ? ';echo' : ''}` },
            pipeline > 1 && { 'Cometa-Pipeline': String(pipeline) },
            requests && { 'Cometa-Requests': 'on' },
            text && { 'Cometa-Frames': 'text' },
            headers);
    }

    async run() {
        const { signal } = this.#stopped = new AbortController();

        while (!signal.aborted) {
            const [error, steady] = await this.#once(signal);

            if (signal.aborted) {
                break;
            }

            const wait = this.#backoff(error, steady);

            this.#options.ended?.(error, wait);
            await sleep(wait * 1000, signal);
        }
    }

    stop() {
        this.#stopped?.abort();
        this.#link?.leave();
    }

    event(data) {
        this.#alive().write(join(Uint8Array.of(EVENT), encoded(data)));
    }

    request(data, options) {
        return this.#alive().request(encoded(data), options);
    }

    #alive() {
        if (!this.#link) {
            throw new CometaError('closed', 0, { detail: 'not attached' });
        }

        return this.#link;
    }

    /* One connection, to its end: why it ended, and whether it was steady. */

    async #once(signal) {
        let start = Infinity, socket;

        try {
            socket = await connect(this.#url, 'cometa.device.v1',
                { headers: this.#headers, signal });

            const link = new Link(socket, this.#handler);

            this.heartbeat = await link.welcome();
            this.sessions++;
            this.#link = link;
            start = Date.now();
            this.#options.attached?.(this);

            await link.ended;

            return [new CometaError('detached'), steady()];
        } catch (error) {
            socket?.close();

            if (error instanceof CometaError) {
                return [error, steady()];
            }

            return [new CometaError('closed', 0, { cause: error }), steady()];
        } finally {
            this.#link = null;
        }

        function steady() {
            return Date.now() - start >= STEADY_MS;
        }
    }

    /*
     * Full jitter, so that a fleet does not come back at once; at least half of
     * the limit after an orderly end, which may be a takeover, and after a
     * refusal that will be repeated.
     */

    #backoff({ error, status, retryAfter = 0 }, steady) {
        const refusal = status >= 400 && status < 500 && status !== 408
            && status !== 429;
        const base = refusal ? 60 : error === 'detached' ? 10 : 1;
        const most = refusal ? 3600 : this.#options.retryMax ?? 300;

        this.#tries = steady ? 0 : this.#tries;

        const limit = Math.min(base * 2 ** Math.min(this.#tries++, 16), most);
        const least = base > 1 ? limit / 2 : 0;
        const wait = least + Math.random() * (limit - least);
        const after = Math.min(retryAfter, 86400);

        return wait < after ? after + Math.random() * (after / 4 + 1) : wait;
    }
}


/* A connection that is open: its calls, heartbeats and requests. */

class Link {

    #socket;
    #handler;
    #echo;
    #requests;
    #replies = Promise.resolve();       /* the one before must be written */
    #pending = 0;
    #leaving = false;
    #answers = new Map();
    #last = 0;
    #interval = 0;
    #beat;                              /* timers */
    #silent;
    #first = deferred();
    #end = deferred();

    constructor(socket, handler) {
        const { headers } = socket;

        this.#socket = socket;
        this.#handler = handler;
        this.#echo = (headers['cometa-heartbeat'] ?? '').includes('echo');
        this.#requests = headers['cometa-requests'] === 'on';
        this.ended = this.#end.promise;
        this.ended.catch(() => {});

        socket.onmessage = (data) => this.#read(data);
        socket.onclose = (code) => this.#closed(code);
    }

    async welcome() {
        const timer = setTimeout(() => this.#first.reject(
            new CometaError('closed', 0, { detail: 'no answer in time' })),
            ATTACH_MS);

        try {
            const { heartbeat } = JSON.parse(await this.#first.promise);

            if (!(heartbeat > 0)) {
                throw new CometaError('malformed');
            }

            this.#interval = heartbeat * 1000;
            this.write(null);

            return heartbeat;
        } catch (error) {
            throw error instanceof SyntaxError ? new CometaError('malformed')
                : error;
        } finally {
            clearTimeout(timer);
        }
    }

    /* A message, and then a heartbeat if nothing else follows in time. */

    write(data) {
        if (data) {
            this.#socket.send(data);
        }

        clearTimeout(this.#beat);
        this.#beat = setTimeout(() => this.#heartbeat(), this.#interval);
    }

    #heartbeat() {
        this.write(Uint8Array.of(HEARTBEAT));

        if (this.#echo && !this.#silent) {
            const limit = Math.min(Math.max(this.#interval / 2, 2000), 30000);

            this.#silent = setTimeout(() => {
                this.#fail(new CometaError('closed', 0,
                    { detail: 'the server is silent' }));
                this.#socket.close();
            }, limit);
        }
    }

    #read(message) {
        clearTimeout(this.#silent);
        this.#silent = undefined;

        if (this.#first) {
            this.#first.resolve(typeof message === 'string' ? message
                : decoded(message));
            this.#first = null;
            return;
        }

        const data = encoded(message);

        if (this.#echo && data.length === 1 && data[0] === HEARTBEAT) {
            return;
        }

        if (this.#requests && data[0] === REQUEST) {
            this.#answer(data);

        } else if (data.length) {
            this.#call(data, typeof message === 'string');
        }
    }

    /*
     * Handlers may run at the same time, replies keep the order of the calls. A
     * handler that fails is the device's own fault, but the protocol knows no
     * error: the caller gets this word.
     */

    #call(data, text) {
        this.#pending++;

        const reply = (async () => this.#handler(text ? decoded(data) : data))()
            .then((value) => this.#checked(value))
            .catch((error) => {
                console.error('cometa: a handler has failed:', error);
                return 'error';
            });

        this.#replies = this.#replies.then(async () => {
            this.write(await reply);
            this.#pending--;
            this.#leave();
        }).catch(() => {});
    }

    #checked(reply) {
        const [first, ...more] = encoded(reply).subarray(0, 2);

        if (first === EVENT || (first === HEARTBEAT && !more.length)
            || (first === REQUEST && this.#requests))
        {
            throw new CometaError('malformed', 0,
                { detail: 'a reply that would be no reply' });
        }

        return typeof reply === 'string' ? reply : encoded(reply);
    }

    #answer(data) {
        const end = data.indexOf(LF);
        const answer = this.#answers.get(decoded(data.subarray(1, end)));
        const body = data.slice(end + 1);

        if (body.length) {
            answer?.resolve(body);
        } else {
            answer?.reject(new CometaError('request_failed'));
        }
    }

    async request(data, { timeout = 15 } = {}) {
        if (!this.#requests) {
            throw new CometaError('request_failed', 0,
                { detail: 'not granted' });
        }

        const name = String(++this.#last);
        const answer = deferred();
        const timer = setTimeout(() => answer.reject(new CometaError(
            'request_failed', 0, { detail: 'no answer' })), timeout * 1000);

        this.#answers.set(name, answer);

        try {
            this.write(join(Uint8Array.of(REQUEST), encoded(`${name}\n`),
                data));
            return await answer.promise;
        } finally {
            clearTimeout(timer);
            this.#answers.delete(name);
        }
    }

    leave() {
        this.#leaving = true;
        this.#leave();
    }

    #leave() {
        if (this.#leaving && this.#pending === 0) {
            this.#socket.close();
        }
    }

    #closed(code) {
        if (code === 1002) {
            this.#fail(new CometaError('malformed'));

        } else if (LOST.includes(code)) {
            this.#fail(new CometaError('closed', 0,
                { detail: `code ${code}` }));

        } else {
            this.#fail(null);
        }
    }

    #fail(error) {
        const lost = error ?? new CometaError('closed');

        clearTimeout(this.#beat);
        clearTimeout(this.#silent);

        this.#first?.reject(lost);

        for (const answer of this.#answers.values()) {
            answer.reject(lost);
        }

        if (error) {
            this.#end.reject(error);
        } else {
            this.#end.resolve();
        }
    }
}


function sleep(ms, signal) {
    return new Promise((resolve) => {
        const timer = setTimeout(resolve, ms);

        signal.addEventListener('abort', () => {
            clearTimeout(timer);
            resolve();
        }, { once: true });
    });
}
