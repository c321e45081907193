/*
 * Text, bytes, addresses and time, with what both Node.js and browsers have.
 */

const encoder = new TextEncoder();
const decoder = new TextDecoder();


export function encoded(data) {
    return typeof data === 'string' ? encoder.encode(data)
        : data instanceof ArrayBuffer ? new Uint8Array(data)
        : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}


export function decoded(bytes) {
    return decoder.decode(bytes);
}


export function to_base64(bytes) {
    let text = '';

    for (let i = 0; i < bytes.length; i += 8192) {
        text += String.fromCharCode(...bytes.subarray(i, i + 8192));
    }

    return btoa(text);
}


export function from_base64(text) {
    return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}


export function join(...parts) {
    const all = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
    let at = 0;

    for (const part of parts) {
        all.set(part, at);
        at += part.length;
    }

    return all;
}


/*
 * A signal that is given when the caller's is, or when the time has passed.
 * The server counts whole seconds: where it is one, it is left to say so.
 */

export function time_limit(seconds, signal) {
    if (seconds === undefined) {
        return { signal, passed: () => false, clear() {} };
    }

    const controller = new AbortController();
    const abort = () => controller.abort(signal.reason);
    const grace = Number.isInteger(seconds) ? 5 : 0;
    let passed = false;

    const timer = setTimeout(() => {
        passed = true;
        controller.abort();
    }, (seconds + grace) * 1000);

    if (signal?.aborted) {
        abort();
    }

    signal?.addEventListener('abort', abort);

    return {
        signal: controller.signal,
        passed: () => passed,
        clear() {
            clearTimeout(timer);
            signal?.removeEventListener('abort', abort);
        }
    };
}


export function id(name) {
    return encodeURIComponent(name);
}


export function query(values) {
    const text = Object.entries(values)
        .filter(([, value]) => value !== undefined && value !== '')
        .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
        .join('&');

    return text && `?${text}`;
}


export function deferred() {
    const d = {};

    d.promise = new Promise((resolve, reject) => {
        Object.assign(d, { resolve, reject });
    });

    return d;
}
