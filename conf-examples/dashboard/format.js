/*
 * Numbers, times and messages as people read them.
 */

const MESSAGE_SHOWN = 4096;

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
const short = new Intl.NumberFormat(undefined, {
    notation: 'compact', maximumSignificantDigits: 3
});


/* null, of which nothing is known, is a dash. */

function known(format) {
    return (value) => value === null || value === undefined
        || Number.isNaN(value) ? '–' : format(value);
}


export const count = known((value) => whole.format(value));

export const compact = known((value) => short.format(value));

export const perSecond = known((value) =>
    (value < 100 ? tenths : whole).format(value));

export const milliseconds = known((value) =>
    `${value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} ms`);

export const bytesPerSecond = known((value) => `${short.format(value)}B/s`);


/* Seconds since 1970. */

export function clock(time) {
    return new Date(time * 1000).toLocaleTimeString([], { hour12: false });
}


export function moment(time) {
    return new Date(time * 1000).toLocaleString([], { hour12: false });
}


/* How long ago: one unit is enough. */

export function ago(time) {
    const seconds = Math.max(0, Math.round(Date.now() / 1000 - time));
    const [unit, size] = [['d', 86400], ['h', 3600], ['min', 60], ['s', 1]]
        .find(([, size]) => seconds >= size) ?? ['s', 1];

    return `${Math.floor(seconds / size)} ${unit} ago`;
}


/* Text where the bytes are that, else hex. */

export function message(buffer) {
    try {
        return cut(new TextDecoder('utf-8', { fatal: true }).decode(buffer));
    } catch {
        return cut(Array.from(new Uint8Array(buffer),
            (byte) => byte.toString(16).padStart(2, '0')).join(' '));
    }
}


function cut(text) {
    return text.length > MESSAGE_SHOWN
        ? `${text.slice(0, MESSAGE_SHOWN)} …` : text;
}
