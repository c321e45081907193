/*
 * One application: pings over its WebSocket, and the check of every reply.
 */

'use strict';

const { randomUUID } = require('node:crypto');

const SIZE = 32;                /* bytes of a ping */

/* Pings of two processes differ, too. */

const RUN = randomUUID().replaceAll('-', '');


class Application {
    constructor(number, socket, options, tally) {
        Object.assign(this, { number, socket, options, tally });

        this.pings = 0;
        this.message = null;    /* the one without a reply */
        this.ended = false;
        this.settled = () => {};

        socket.on('message', (data, binary) => this.heard(data, binary));
        socket.on('close', () => this.closed());
    }

    /* The first pings of all applications must be no burst. */

    start() {
        this.pause(Math.random());
    }

    pause(part) {
        const { pause_min, pause_max } = this.options;
        const s = pause_min + Math.random() * (pause_max - pause_min);

        this.timer = setTimeout(() => this.ping(), 1000 * s * part);
    }

    ping() {
        this.pings++;
        this.message = `ping ${this.number}.${this.pings} ${RUN}`
            .slice(0, SIZE);
        this.timer = setTimeout(() => this.expired(),
            1000 * this.options.reply_timeout);

        this.tally.ping(SIZE);
        this.sent = performance.now();
        this.socket.send(this.message);
    }

    heard(data, binary) {
        const ms = performance.now() - this.sent;

        this.tally.bytes_up += data.length;

        if (this.message === null) {
            this.tally.stray++;
            return;
        }

        this.judge(ms, data.toString(), binary);
        this.over();

        if (!this.ended) {
            this.pause(1);
        }
    }

    judge(ms, reply, binary) {
        if (!binary && reply === this.expected()) {
            this.tally.message(ms);
            return;
        }

        const word = error_word(reply);

        if (word) {
            this.tally.error(word);
        } else {
            this.tally.wrong++;
        }
    }

    /* A device answers with the message, repeated up to the size. */

    expected() {
        const size = this.options.response_size || SIZE;

        return this.message.repeat(Math.ceil(size / SIZE)).slice(0, size);
    }

    /* What came later could not be told from the next reply: no next one. */

    expired() {
        this.ended = true;
        this.tally.lost++;
        this.over();
        this.socket.terminate();
    }

    closed() {
        if (this.ended && this.message === null) {
            return;
        }

        this.ended = true;
        this.tally.lost_sockets++;

        if (this.message !== null) {
            this.tally.lost++;
        }

        this.over();
    }

    over() {
        clearTimeout(this.timer);
        this.message = null;
        this.settled();
    }

    /* No more pings. Resolves when none is without its reply. */

    async stop() {
        this.ended = true;

        if (this.message === null) {
            clearTimeout(this.timer);
            return;
        }

        await new Promise((resolve) => {
            this.settled = resolve;
        });
    }

    /* Resolves when the WebSocket is closed, in order if the server helps. */

    async close() {
        this.ended = true;
        this.message = null;
        clearTimeout(this.timer);

        if (this.socket.readyState === this.socket.CLOSED) {
            return;
        }

        await new Promise((resolve) => {
            this.socket.once('close', resolve);
            this.socket.close(1000);
        });
    }
}


/* The word of a call that failed, undefined for anything else. */

function error_word(reply) {
    if (!reply.startsWith('{"msg":"')) {
        return undefined;
    }

    try {
        return JSON.parse(reply).error;

    } catch {
        return undefined;
    }
}


module.exports = { Application };
