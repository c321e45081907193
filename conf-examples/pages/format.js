/*
 * Numbers and times as people read them.
 */

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

/* A time in ms: what is below one is shown in microseconds. */

export const duration = known((ms) => ms < 0.9995
    ? ms < 0.001 ? '< 1 µs' : `${Math.round(1000 * ms)} µs`
    : `${ms.toFixed(ms < 10 ? 2 : ms < 100 ? 1 : 0)} ms`);


/* One that this page has measured: clocks of browsers have steps of 0.1 ms. */

export const measured = known((ms) => ms < 0.1 ? '< 100 µs'
    : ms < 0.95 ? `${100 * Math.round(10 * ms)} µs`
    : `${ms.toFixed(ms < 10 ? 1 : 0)} ms`);


/* The latency of a device's last reply: the API has whole ms of it. */

export function lastLatency({ latency, net }) {
    return !Number(net.received.messages) ? '–'
        : Number(latency) ? `${latency} ms` : '< 1 ms';
}


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
