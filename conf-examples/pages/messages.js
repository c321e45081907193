/*
 * Messages as people read and type them, text or bytes in hex, and as they are
 * in JSON.
 */

const SHOWN = 4096;


/* The bytes that hex digits mean, undefined if they mean none. */

export function parseHex(text) {
    const digits = text.replace(/0x|[\s:,]/gi, '');

    if (!/^([0-9a-f]{2})+$/i.test(digits)) {
        return undefined;
    }

    return Uint8Array.from(digits.match(/../g), (pair) => parseInt(pair, 16));
}


/* What a message shows of itself: a string as it is, bytes in hex. */

export function show(data) {
    if (typeof data === 'string') {
        return { text: cut(data, SHOWN), form: '' };
    }

    const bytes = new Uint8Array(data);
    const pairs = Array.from(bytes.subarray(0, SHOWN / 2),
        (byte) => byte.toString(16).padStart(2, '0'));
    const rest = bytes.length > pairs.length ? ' …' : '';

    return { text: pairs.join(' ') + rest, form: `${bytes.length} bytes, hex` };
}


/* A string where the bytes are text, else the bytes. */

export function decode(buffer) {
    try {
        return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
            .decode(buffer);
    } catch {
        return new Uint8Array(buffer);
    }
}


export function toBase64(bytes) {
    return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte))
        .join(''));
}


export function fromBase64(text) {
    return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
}


function cut(text, length) {
    return text.length > length
        ? `${text.slice(0, length)} … (${text.length} characters)` : text;
}
