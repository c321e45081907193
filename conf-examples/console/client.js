/*
 * The Cometa API as a browser sees it: the requests of an application, and a
 * WebSocket to one device on which each reply finds its call.
 */

const API = '/v1';


/* "error" is the stable word of the API, or one of ours: unreachable. */

export class CometaError extends Error {
    constructor(error, message) {
        super(message ?? error);
        this.error = error;
    }
}


export class Application {
    constructor(id, secret) {
        this.id = id;
        this.secret = secret;
    }

    async devices() {
        return (await this.get('devices')).devices;
    }

    device(id) {
        return this.get(`devices/${encodeURIComponent(id)}`);
    }

    async key(id) {
        const path = `devices/${encodeURIComponent(id)}/websocket`;

        return (await this.get(path)).device_key;
    }

    async get(path) {
        const app = encodeURIComponent(this.id);
        const headers = { Authorization: `OAuth ${bytes(this.secret)}` };
        const response = await fetch(`${API}/applications/${app}/${path}`,
            { headers, cache: 'no-store' })
            .catch(() => { throw new CometaError('unreachable'); });
        const answer = await response.json().catch(() => null);

        if (!response.ok || !answer) {
            throw new CometaError(answer?.error ?? 'unexpected',
                answer?.msg ?? `${response.status} ${response.statusText}`);
        }

        return answer;
    }
}


/* A header holds bytes: each becomes the character of that number. */

function bytes(text) {
    return String.fromCharCode(...new TextEncoder().encode(text));
}


/*
 * The WebSocket.  Calls may be sent without waiting, and are answered in their
 * order.  Handlers:
 *
 *   reply(data, ms)    data is a string or an ArrayBuffer
 *   fail(error, ms)    a call that failed: a CometaError
 *   event(data)
 *   close(code, lost)  lost: the number of calls without a reply
 *
 * The protocol does not mark what is an event: what comes while a call is
 * outstanding is taken for its reply.
 */

export class Connection {
    static async open(application, id, handlers) {
        const key = await application.key(id);
        const uri = `${API}/websockets/${encodeURIComponent(id)}/${key}`;
        const server = location.origin.replace(/^http/, 'ws');
        const socket = new WebSocket(server + uri);

        if (await opened(socket)) {
            return new Connection(socket, handlers);
        }

        /* a browser does not tell why: ask in a way that it does */
        await application.device(id);

        throw new CometaError('refused');
    }

    constructor(socket, handlers) {
        this.socket = socket;
        this.handlers = handlers;
        this.calls = [];

        socket.binaryType = 'arraybuffer';
        socket.onmessage = (message) => this.receive(message.data);
        socket.onclose = (close) => {
            handlers.close(close.code, this.calls.length);
        };
    }

    get waiting() {
        return this.calls.length;
    }

    send(data) {
        this.calls.push(performance.now());
        this.socket.send(data);
    }

    close() {
        this.socket.close(1000);
    }

    receive(data) {
        if (this.calls.length === 0) {
            this.handlers.event(data);
            return;
        }

        const ms = performance.now() - this.calls.shift();
        const error = failure(data);

        if (error) {
            this.handlers.fail(error, ms);
        } else {
            this.handlers.reply(data, ms);
        }
    }
}


function opened(socket) {
    return new Promise((resolve) => {
        socket.onopen = () => resolve(true);
        socket.onclose = () => resolve(false);
    });
}


/* The message that stands in the place of a reply, or null. */

function failure(data) {
    if (typeof data !== 'string' || !/^\{"msg":"\d{3} /.test(data)) {
        return null;
    }

    try {
        const { error, msg } = JSON.parse(data);

        return error ? new CometaError(error, msg) : null;
    } catch {
        return null;
    }
}
