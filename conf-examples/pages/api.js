/*
 * The requests of an application: the Cometa API as a browser sees it.
 */

export const API = '/v1';

const TIMEOUT = 10000;          /* ms, for what the server answers at once */


/*
 * "error" is the stable word of the API, or one of ours: unreachable,
 * unexpected, and those of channel.js.  "answer" is what else the server said,
 * "status" the number of its answer.
 */

export class CometaError extends Error {
    constructor(error, message, { status, ...answer } = {}) {
        super(message ?? error);
        this.error = error;
        this.status = status;
        this.answer = answer;
    }
}


export class Application {
    constructor(id, secret) {
        this.base = `${API}/applications/${encodeURIComponent(id)}`;
        this.id = id;
        this.secret = secret;
    }

    /* { name, ... } with the figures as numbers */

    async stats() {
        const { app_name: name, stats } = await this.ask('');
        const numbers = Object.entries(stats)
            .map(([key, value]) => [key, Number(value)]);

        return { name, ...Object.fromEntries(numbers) };
    }

    device(id) {
        return this.ask(place(id));
    }

    /*
     * A page of devices with their figures, in the order of their ids, those
     * that begin with `prefix`, behind `after`: { num_devices, next, devices }.
     * Never the whole list: it may hold a million.
     */

    page(limit, prefix, after) {
        const query = new URLSearchParams({ detail: 1, limit });

        if (prefix) {
            query.set('prefix', prefix);
        }

        if (after) {
            query.set('after', after);
        }

        return this.ask(`/devices?${query}`);
    }

    /* Opens one channel. */

    async channelKey() {
        return (await this.ask('/channel')).channel_key;
    }

    /* Ends the connection of a device, if it is still this session. */

    kick(id, session) {
        return this.ask(`${place(id)}?session=${session}`,
            { method: 'DELETE' });
    }

    /*
     * Whether the server has cometa_detach: a method that no location serves is
     * answered with those that it does.  A recipe for pages of other sites may
     * answer it, too, and says nothing of that: then a try shows it.
     */

    async kicks() {
        const response = await this.fetch(place('any'),
            { method: 'OPTIONS', signal: AbortSignal.timeout(TIMEOUT) });
        const allowed = response.headers.get('Allow');

        return response.status !== 404
            && (allowed === null || /\bDELETE\b/.test(allowed));
    }

    /* Resolves to the bytes of the reply.  The server has the deadline. */

    async send(id, message) {
        const response = await this.fetch(`${place(id)}/send`,
            { method: 'POST', body: message });

        if (!response.ok) {
            throw await failure(response);
        }

        return response.arrayBuffer().catch(unreachable);
    }

    async ask(path, options = {}) {
        const response = await this.fetch(path,
            { signal: AbortSignal.timeout(TIMEOUT), ...options });

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


function place(id) {
    return `/devices/${encodeURIComponent(id)}`;
}


/* A header holds bytes: each becomes the character of that number. */

function bytes(text) {
    return String.fromCharCode(...new TextEncoder().encode(text));
}


export function unreachable() {
    throw new CometaError('unreachable');
}


async function failure(response) {
    const { error, msg, ...answer }
        = await response.json().catch(() => null) ?? {};

    return new CometaError(error ?? 'unexpected',
        msg ?? `${response.status} ${response.statusText}`,
        { status: response.status, ...answer });
}
