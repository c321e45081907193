/*
 * The channel of an application: one WebSocket on which events of all devices
 * come, and on which calls go to any of them.  When it is lost it is opened
 * anew, after a time that grows and that differs from page to page.
 *
 * Handlers:
 *
 *   state(name, more)  connecting
 *                      open      more: { narrowed }, see narrow()
 *                      lost      more: { error, wait }, ms to the next try
 *                      refused   more: { error }; it is not tried again
 *                      none      the server has no location for channels
 *   event(message)     as docs/protocol.md has it
 *   fault(error)       what the server says of a message that is no call
 */

import { API, CometaError } from './api.js';
import { fromBase64, toBase64 } from './messages.js';

const PROTOCOL = 'cometa.json.v1';
const WAIT_MIN = 500;           /* ms */
const WAIT_MAX = 30000;
const STABLE = 5000;            /* ms open: a loss then is the first one */
const TOO_SLOW = 1013;          /* the code of the server for a slow reader */


export class Channel {
    constructor(application, handlers) {
        this.application = application;
        this.handlers = handlers;
        this.waiting = new Map();       /* calls, by their names */
        this.calls = 0;
        this.losses = 0;                /* one after the other */
        this.narrowed = false;
        this.stopped = false;

        this.open();
    }

    get isOpen() {
        return this.socket?.readyState === WebSocket.OPEN;
    }

    /* For good. */

    stop() {
        this.stopped = true;
        clearTimeout(this.timer);
        this.socket?.close(1000);
        this.giveUp(new CometaError('lost'));
    }

    async open() {
        this.tell('connecting');

        try {
            const key = await this.application.channelKey();

            if (!this.stopped) {
                this.connect(key);
            }
        } catch (error) {
            this.failed(error);
        }
    }

    failed(error) {
        if (!(error instanceof CometaError)) {
            throw error;
        }

        if (error.status === 404 || error.status === 405) {
            this.tell('none');

        } else if (error.status >= 400 && error.status < 500
                   && error.status !== 429)
        {
            this.tell('refused', { error });

        } else {
            this.again(error);
        }
    }

    connect(key) {
        const server = location.origin.replace(/^http/, 'ws');
        const events = this.narrowed ? '?events=attach,detach,reply' : '';
        const socket = new WebSocket(
            `${server}${API}/channels/${key}${events}`, PROTOCOL);
        let since;

        this.socket = socket;

        socket.onopen = () => {
            since = performance.now();
            this.tell('open', { narrowed: this.narrowed });
        };

        socket.onmessage = ({ data }) => this.receive(JSON.parse(data));

        socket.onclose = ({ code }) => {
            if (performance.now() - since >= STABLE) {
                this.losses = 0;
            }

            this.narrow(code);
            this.giveUp(new CometaError('lost'));
            this.again(new CometaError(
                since === undefined ? 'closed' : `closed_${code}`,
                `The server closed the channel with code ${code}.`));
        };
    }

    /* The page was too slow for all events: those of presence must do. */

    narrow(code) {
        this.narrowed ||= code === TOO_SLOW;
    }

    again(error) {
        if (this.stopped) {
            return;
        }

        const most = Math.min(WAIT_MAX, WAIT_MIN * 2 ** this.losses++);
        const wait = most * (1 + Math.random()) / 2;

        this.timer = setTimeout(() => this.open(), wait);
        this.tell('lost', { error, wait });
    }

    /*
     * Data is a string, or bytes. Resolves to { data, ms }, with data as it is
     * sent. What fails has "ms" as well, if it was sent.
     */

    call(device, data) {
        if (!this.isOpen) {
            return Promise.reject(new CometaError('not_sent'));
        }

        const call = String(++this.calls);
        const message = typeof data === 'string' ? { message: data }
            : { base64: toBase64(data) };

        return new Promise((resolve, reject) => {
            this.waiting.set(call,
                { resolve, reject, began: performance.now() });
            this.socket.send(JSON.stringify({ call, device, ...message }));
        });
    }

    receive(message) {
        if (this.stopped) {
            return;
        }

        if (message.event) {
            this.handlers.event(message);
            return;
        }

        const { call, error, detail } = message;
        const failure = error && new CometaError(error, detail,
            detail ? { hint: detail } : {});
        const asked = this.waiting.get(call);

        if (!asked) {
            this.handlers.fault?.(failure);
            return;
        }

        const ms = performance.now() - asked.began;

        this.waiting.delete(call);

        if (failure) {
            asked.reject(Object.assign(failure, { ms }));
        } else {
            asked.resolve({ data: content(message, 'reply'), ms });
        }
    }

    giveUp(error) {
        const now = performance.now();

        for (const { reject, began } of this.waiting.values()) {
            reject(Object.assign(new CometaError(error.error),
                { ms: now - began }));
        }

        this.waiting.clear();
    }

    tell(name, more = {}) {
        if (!this.stopped) {
            this.handlers.state(name, more);
        }
    }
}


/* The string, or the bytes, of a reply or an event. */

export function content(message, name) {
    return message.base64 === undefined ? message[name] ?? ''
        : fromBase64(message.base64);
}
