/*
 * An application: calls devices, and asks about them, by fetch().
 */

import { Channel } from './channel.js';
import { CometaError, refused } from './errors.js';
import { decoded, encoded, id, query, time_limit } from './util.js';


export class Client {

    constructor(url, application, secret, { headers = {} } = {}) {
        this.url = String(url).replace(/\/+$/, '');
        this.application = application;
        this.headers = secret
            ? { Authorization: `Bearer ${secret}`, ...headers } : headers;
    }

    async call(device, message, { timeout, wait, signal } = {}) {
        const headers = {};

        if (timeout !== undefined) {
            headers.Prefer = `wait=${Math.ceil(timeout)}`;
        }

        if (wait !== undefined) {
            headers['Cometa-Wait'] = String(Math.ceil(wait));
        }

        const limit = time_limit(timeout, signal);

        try {
            return (await this.#post(device, message, headers, limit.signal))
                .body;
        } catch (error) {
            throw limit.passed() ? new CometaError('device_timeout', 504)
                : error;
        } finally {
            limit.clear();
        }
    }

    async callText(device, message, options) {
        return decoded(await this.call(device, message, options));
    }

    async send(device, message, { wait, signal } = {}) {
        const headers = { Prefer: 'respond-async' };

        if (wait !== undefined) {
            headers['Cometa-Wait'] = String(Math.ceil(wait));
        }

        const { body } = await this.#post(device, message, headers, signal);

        return json(body).call_id;
    }

    device(device, { signal } = {}) {
        return this.get(`/devices/${id(device)}`, signal);
    }

    async* devices({ prefix, detail = false, page = 1000, signal } = {}) {
        for (let after = ''; ; ) {
            const answer = await this.get('/devices' + query({
                limit: page, after, prefix, detail: detail ? 1 : undefined
            }), signal);

            yield* answer.devices;

            /* a server that says no "next" has more if the page is full */

            after = answer.next
                ?? (!detail && answer.devices.length >= page
                    ? answer.devices.at(-1) : undefined);

            if (after === undefined) {
                return;
            }
        }
    }

    async stats({ signal } = {}) {
        return (await this.get('', signal)).stats;
    }

    async detach(device, { session, signal } = {}) {
        const { body } = await this.#request('DELETE',
            `/devices/${id(device)}${query({ session })}`, { signal });

        return json(body).session;
    }

    async detachAll({ prefix, signal } = {}) {
        const { body } = await this.#request('DELETE',
            `/devices${query({ prefix })}`, { signal });

        return json(body);
    }

    channel(options) {
        return Channel.open(this, options);
    }

    async get(path, signal) {
        return json((await this.#request('GET', path, { signal })).body);
    }

    #post(device, message, headers, signal) {
        return this.#request('POST', `/devices/${id(device)}/send`,
            { headers, body: encoded(message), signal });
    }

    async #request(method, path, { headers, body, signal }) {
        const url = `${this.url}/applications/${id(this.application)}${path}`;
        let answer, data;

        try {
            answer = await fetch(url, {
                method, body, signal, headers: { ...this.headers, ...headers }
            });
            data = new Uint8Array(await answer.arrayBuffer());
        } catch (cause) {
            signal?.throwIfAborted();
            throw new CometaError(answer ? 'closed' : 'unreachable', 0,
                { detail: cause.cause?.message ?? cause.message, cause });
        }

        if (!answer.ok) {
            throw refused(answer.status, answer.headers.get('retry-after'),
                decoded(data));
        }

        return { status: answer.status, body: data };
    }
}


function json(bytes) {
    try {
        return JSON.parse(decoded(bytes));
    } catch (cause) {
        throw new CometaError('malformed', 0, { cause });
    }
}
