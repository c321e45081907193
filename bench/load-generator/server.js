/*
 * The server as an application sees it: a key by GET, then the WebSocket that
 * the key is for.
 */

'use strict';

const http = require('node:http');
const https = require('node:https');
const { isIPv4 } = require('node:net');
const WebSocket = require('./modules')('ws');

const PATIENCE = 10000;         /* ms, for a key and for a handshake */
const GOODBYE = 2000;           /* ms, for the closing handshake */


class Server {
    constructor(options) {
        const { server_name, server_port, use_ssl } = options;
        const tls = use_ssl ? 's' : '';

        this.http = use_ssl ? https : http;
        this.address = `${tls}://${server_name}:${server_port}/v1`;
        this.app_id = options.app_id;
        this.headers = options.app_secret
            ? { Authorization: `OAuth ${options.app_secret}` } : {};
        this.transport = {
            rejectUnauthorized: false, localAddress: own_address(server_name)
        };
        this.agent = new this.http.Agent({
            keepAlive: true, maxSockets: options.concurrency, ...this.transport
        });
    }

    /* Resolves to a WebSocket that is open. */

    async open(device) {
        const key = await this.key(device);
        const socket = new WebSocket(
            `ws${this.address}/websockets/${device}/${key}`, {
                ...this.transport, perMessageDeflate: false,
                handshakeTimeout: PATIENCE, closeTimeout: GOODBYE
            });

        return new Promise((resolve, reject) => {
            socket.on('open', () => resolve(socket));
            socket.on('error', (error) => {
                reject(new Error(`WebSocket to device ${device}: `
                    + error.message));
            });
        });
    }

    async key(device) {
        const answer = await this.get(
            `/applications/${this.app_id}/devices/${device}/websocket`);
        const key = answer.status === 200 && json(answer.body).device_key;

        if (!key) {
            throw new Error(`key for device ${device}: `
                + `${answer.status} ${answer.body}`);
        }

        return key;
    }

    get(path) {
        return new Promise((resolve, reject) => {
            const request = this.http.get(`http${this.address}${path}`,
                { agent: this.agent, headers: this.headers });

            request.setTimeout(PATIENCE, () => {
                request.destroy(new Error(`no answer from ${path}`));
            });
            request.on('error', reject);
            request.on('response', (response) => {
                read_all(response).then((body) => {
                    resolve({ status: response.statusCode, body });
                }, reject);
            });
        });
    }

    /* No more keys are wanted. */

    all_open() {
        this.agent.destroy();
    }
}


/*
 * A million devices on the same machine have named every source port there is,
 * and then the kernel finds none for a connection that names neither port nor
 * address.  An address of this process leaves it all of them.
 */

function own_address(server_name) {
    if (!isIPv4(server_name) || !server_name.startsWith('127.')) {
        return undefined;
    }

    const pid = process.pid;

    return `127.${128 + (pid >> 16 & 63)}.${pid >> 8 & 255}.${pid & 255}`;
}


async function read_all(stream) {
    return String(Buffer.concat(await stream.toArray()));
}


/* An empty object for what is no JSON. */

function json(text) {
    try {
        return JSON.parse(text);

    } catch {
        return {};
    }
}


module.exports = { Server };
