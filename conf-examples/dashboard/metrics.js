/*
 * The text format of Prometheus, and what changes from one reading of counters
 * to the next.
 */

import { CometaError, unreachable } from '../pages/api.js';

const METRICS = '/metrics';
const TIMEOUT = 5000;           /* ms */
const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;


export class Metrics {
    constructor(samples) {
        this.samples = samples;
    }

    /* Those of a name that have these labels: [{ labels, value }] */

    all(name, labels = {}) {
        const wanted = Object.entries(labels);

        return this.samples.filter((sample) => sample.name === name
            && wanted.every(([key, value]) => sample.labels[key] === value));
    }

    /* The sum of them: 0 where there are none. */

    sum(name, labels) {
        return this.all(name, labels)
            .reduce((sum, sample) => sum + sample.value, 0);
    }
}


/* Those of the whole server, if we may see them. */

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


export function parse(text) {
    const samples = text.split('\n')
        .map((line) => SAMPLE.exec(line))
        .filter(Boolean)
        .map(([, name, labels = '', value]) =>
            ({ name, labels: parseLabels(labels), value: Number(value) }));

    return new Metrics(samples);
}


function parseLabels(text) {
    return Object.fromEntries([...text.matchAll(LABEL)]
        .map(([, key, value]) => [key, value.replace(/\\(.)/g,
            (_, char) => char === 'n' ? '\n' : char)]));
}


/*
 * Counters per second between two readings { time, ... }, time in seconds.
 * null where there is none: the first reading, or a server that began anew.
 */

export function rate(last, now, counter) {
    const change = now[counter] - last?.[counter];

    return change >= 0 ? change / (now.time - last.time) : null;
}


/* Columns of equal length for the charts; the oldest go. */

export class History {
    constructor(names, length) {
        this.names = names;
        this.length = length;
        this.clear();
    }

    clear() {
        this.columns = this.names.map(() => []);
    }

    /* What the row does not hold is a gap. */

    push(row) {
        this.names.forEach((name, i) => {
            this.columns[i].push(row[name] ?? null);

            if (this.columns[i].length > this.length) {
                this.columns[i].shift();
            }
        });
    }

    pick(names) {
        return names.map((name) => this.columns[this.names.indexOf(name)]);
    }
}
