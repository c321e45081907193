/*
 * A WebSocket that is open: { send(data), close(code), onmessage, onclose,
 * headers }, with messages as strings or Uint8Array.  That of Node.js sends no
 * headers, so there it is one of our own, over the upgrade of node:http.
 */

import { CometaError } from './errors.js';

const is_node = typeof process === 'object' && Boolean(process.versions?.node);


export async function connect(url, protocol, { headers = {}, signal } = {}) {
    signal?.throwIfAborted();

    if (is_node) {
        const node = await import('./socket-node.js');
        return node.connect(url, protocol, headers, signal);
    }

    return browser(url, protocol, signal);
}


/* A browser tells nothing of a handshake that was refused. */

function browser(url, protocol, signal) {
    return new Promise((resolve, reject) => {
        const ws = new WebSocket(url, protocol);
        const socket = {
            headers: {},
            send: (data) => ws.send(data),
            close: (code) => ws.close(code),
            onmessage() {},
            onclose() {}
        };
        const abort = () => {
            ws.close();
            reject(signal.reason);
        };

        signal?.addEventListener('abort', abort, { once: true });

        ws.binaryType = 'arraybuffer';
        ws.onopen = () => {
            signal?.removeEventListener('abort', abort);
            resolve(socket);
        };
        ws.onmessage = ({ data }) => socket.onmessage(
            typeof data === 'string' ? data : new Uint8Array(data));
        ws.onclose = ({ code }) => {
            signal?.removeEventListener('abort', abort);
            reject(new CometaError('unreachable'));
            socket.onclose(code);
        };
    });
}
