/*
 * The requests of the dashboard: the Cometa API of one application, and the
 * figures of the whole server in the text format of Prometheus.
 */

import { parse } from './metrics.js';

const API = '/v1/applications';
const METRICS = '/metrics';
const TIMEOUT = 5000;           /* ms, for what the server answers at once */


/* "error" is the stable word of the API, or one of ours: unreachable. */

export class CometaError extends Error {
    constructor(error, message) {
        super(message ?? error);
        this.error = error;
    }
}


export class Application {
    constructor(id, secret) {
        this.base = `${API}/${encodeURIComponent(id)}`;
        this.id = id;
        this.secret = secret;
    }

    /* { app_name, stats }, where stats are numbers */

    async stats() {
        const { app_name: name, stats } = await this.get('');
        const numbers = Object.entries(stats)
            .map(([key, value]) => [key, Number(value)]);

        return { name, ...Object.fromEntries(numbers) };
    }

    device(id) {
        return this.get(`/devices/${encodeURIComponent(id)}`);
    }

    /*
     * A page of ids in their order, those that begin with `prefix`, behind
     * `after`.  Never the whole list: it may hold a million.
     */

    async page(limit, prefix, after) {
        const query = new URLSearchParams({
            limit: limit + 1, after: after || before(prefix)
        });
        const { devices } = await this.get(`/devices?${query}`);
        const found = devices.filter((id) => id.startsWith(prefix));

        return { ids: found.slice(0, limit), more: found.length > limit };
    }

    /* Resolves to the bytes of the reply.  The server has the deadline. */

    async send(id, message) {
        const path = `/devices/${encodeURIComponent(id)}/send`;
        const response = await this.fetch(path,
            { method: 'POST', body: message });

        if (!response.ok) {
            throw await failure(response);
        }

        return response.arrayBuffer().catch(unreachable);
    }

    async get(path) {
        const response = await this.fetch(path,
            { signal: AbortSignal.timeout(TIMEOUT) });

        if (!response.ok) {
            throw await failure(response);
        }

        return response.json().catch(unreachable);
    }

    fetch(path, options) {
        const headers = { Authorization: `OAuth ${bytes(this.secret)}` };

        return fetch(this.base + path, { ...options, headers,
            cache: 'no-store' }).catch(unreachable);
    }
}


/* The samples of the whole server: Metrics. */

export async function metrics() {
    const response = await fetch(METRICS, {
        cache: 'no-store', signal: AbortSignal.timeout(TIMEOUT)
    }).catch(unreachable);

    if (!response.ok) {
        throw new CometaError('unavailable',
            `${METRICS} answers ${response.status} ${response.statusText}`);
    }

    return parse(await response.text().catch(unreachable));
}


/*
 * What stands in the order of all ids right before those with the prefix: no
 * id holds a byte above "~".
 */

function before(prefix) {
    const last = prefix.charCodeAt(prefix.length - 1);

    return prefix && prefix.slice(0, -1)
        + String.fromCharCode(last - 1) + '\x7f';
}


/* A header holds bytes: each becomes the character of that number. */

function bytes(text) {
    return String.fromCharCode(...new TextEncoder().encode(text));
}


function unreachable() {
    throw new CometaError('unreachable');
}


async function failure(response) {
    const answer = await response.json().catch(() => null);

    return new CometaError(answer?.error ?? 'unexpected',
        answer?.msg ?? `${response.status} ${response.statusText}`);
}
