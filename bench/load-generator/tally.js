/*
 * What is counted. Of all pings sent, each ends as one of: a message (its
 * reply was right), an error, wrong, lost, or unanswered at the end.
 */

'use strict';

const { new_histogram } = require('./histogram');


class Tally {
    constructor() {
        Object.assign(this, {
            open: 0, sent: 0, messages: 0, errors: 0, wrong: 0, lost: 0,
            stray: 0, lost_sockets: 0, bytes_up: 0, bytes_down: 0, kinds: {},
            latency: new_histogram(), seconds: 0
        });
    }

    /* The seconds are those between all open and no more pings. */

    begin() {
        this.begun = performance.now();
    }

    end() {
        if (this.begun !== undefined) {
            this.seconds = this.elapsed();
        }
    }

    elapsed() {
        return (performance.now() - this.begun) / 1000;
    }

    ping(size) {
        this.sent++;
        this.bytes_down += size;
    }

    message(ms) {
        this.messages++;
        this.latency.recordValue(Math.round(ms * 1000));
    }

    error(word) {
        this.errors++;
        this.kinds[word] = (this.kinds[word] || 0) + 1;
    }

    unanswered() {
        return this.sent - this.messages - this.errors - this.wrong - this.lost;
    }

    all_right() {
        return this.messages > 0 && this.errors + this.wrong + this.lost
            + this.lost_sockets + this.stray === 0;
    }
}


module.exports = { Tally };
