/*
 * Devices and their callers, simulated over plain HTTP: a device is a POST
 * whose body never ends.
 */

'use strict';

const http = require('node:http');

const RETRY = 200;      /* ms until a device attaches anew */
const HEARTBEAT = 20000;        /* ms */


/*
 * A device that stays attached.  answer(message) is its reply, or a promise of
 * one; undefined: it says nothing.  Resolves when it is attached.
 */

class Device {
    static attach(server, id, info, answer, application = 'demo') {
        return new Promise((resolve) => {
            new Device(server, id, info, answer, application, resolve).open();
        });
    }

    constructor(server, id, info, answer, application, attached) {
        Object.assign(this,
            { server, id, info, answer, application, attached });
    }

    open() {
        const request = http.request(`http://${this.server}/v1/applications/${
            this.application}/devices/${this.id}`, {
                method: 'POST', agent: false, headers: {
                    'Transfer-Encoding': 'chunked', 'Cometa-Info': this.info
                }
            });

        request.on('response', (response) => this.serve(response));
        request.on('error', () => {});
        request.on('close', () => this.again());
        request.flushHeaders();

        this.request = request;
    }

    serve(response) {
        const { request } = this;
        const beat = setInterval(() => request.write('\x06'), HEARTBEAT);

        request.on('close', () => clearInterval(beat));

        response.once('data', () => {
            this.attached(this);
            response.on('data', (message) => this.reply(String(message)));
        });
        response.on('error', () => {});
        response.on('end', () => this.request.destroy());
    }

    async reply(message) {
        const request = this.request;
        const reply = await this.answer(message);

        if (reply !== undefined) {
            request.write(reply);
        }
    }

    event(data) {
        this.request.write(`\x07${data}`);
    }

    again() {
        if (!this.left) {
            setTimeout(() => this.left || this.open(), RETRY);
        }
    }

    leave() {
        this.left = true;
        this.request.end();
    }
}


/* One call: resolves to "200 reply" or "404 device_offline". */

async function call(server, id, body, headers = {}) {
    const response = await fetch(
        `http://${server}/v1/applications/demo/devices/${id}/send`, {
            method: 'POST', body,
            headers: { Authorization: 'OAuth demo-secret', ...headers }
        });
    const text = await response.text();

    return `${response.status} ${response.ok ? text
        : JSON.parse(text).error}`;
}


module.exports = { Device, call };
