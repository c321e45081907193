/*
 * Progress, and the report of what was counted.
 */

'use strict';

const { distribution, summary } = require('./histogram');

const KB = 1024;                /* bytes, as in 2015 */
const MS = 1000;                /* latencies are kept in microseconds */


function per_second(tally, n) {
    return tally.seconds ? Number((n / tally.seconds).toFixed(3)) : 0;
}


function as_json(tally, options) {
    return JSON.stringify({
        applications: options.applications,
        open: tally.open,
        seconds: Number(tally.seconds.toFixed(3)),
        sent: tally.sent,
        messages: tally.messages,
        errors: tally.errors,
        wrong: tally.wrong,
        stray: tally.stray,
        lost: tally.lost,
        lost_sockets: tally.lost_sockets,
        unanswered: tally.unanswered(),
        rate: per_second(tally, tally.messages),
        bytes_up: tally.bytes_up,
        bytes_down: tally.bytes_down,
        kb_up: per_second(tally, tally.bytes_up / KB),
        kb_down: per_second(tally, tally.bytes_down / KB),
        latency_us: summary(tally.latency),
        error_words: tally.kinds
    });
}


function row(name, facts) {
    return name.padEnd(14) + facts;
}


function named(facts) {
    return Object.entries(facts).map(([name, n]) => `${name} ${n}`).join(', ');
}


function latency(tally) {
    const { count, ...facts } = summary(tally.latency);

    for (const [name, us] of Object.entries(facts)) {
        facts[name] = (us / MS).toFixed(3);
    }

    const { min, mean, max, stddev, ...percentiles } = facts;

    return [
        row('latency, ms', named({ min, mean, max, stddev })),
        row(`  of ${count}`, named(percentiles))
    ];
}


function as_text(tally, options) {
    const { errors, wrong, stray, lost, lost_sockets } = tally;
    const rate = (n) => per_second(tally, n).toFixed(1);

    return [
        row('applications', `${options.applications}, ${tally.open} opened`),
        row('messages', `${tally.messages} in ${tally.seconds.toFixed(1)} s, `
            + `${rate(tally.messages)}/s`),
        row('kB/s', `up ${rate(tally.bytes_up / KB)}, `
            + `down ${rate(tally.bytes_down / KB)}`),
        ...latency(tally),
        row('failures', named({ errors, wrong, stray, lost, lost_sockets })),
        ...(errors ? [row('errors', named(tally.kinds))] : []),
        ...(tally.unanswered() ? [row('unanswered', tally.unanswered())] : [])
    ].join('\n');
}


function print_report(tally, options) {
    console.log(options.json ? as_json(tally, options)
        : as_text(tally, options));

    if (options.percentiles) {
        console.log(distribution(tally.latency, MS));
    }
}


/* Lines on standard error, until the function that it returns is called. */

function show_progress(tally, options) {
    if (options.quiet) {
        return () => {};
    }

    const timer = setInterval(() => {
        console.error(progress_line(tally, options));
    }, 1000 * options.progress);

    return () => clearInterval(timer);
}


function progress_line(tally, options) {
    if (tally.begun === undefined) {
        return `${tally.open} of ${options.applications} open`;
    }

    const { sent, messages, errors, wrong, stray, lost, lost_sockets } = tally;
    const elapsed = tally.elapsed();

    return `${elapsed.toFixed(0)} s: ${(messages / elapsed).toFixed(1)}/s, `
        + named({ sent, messages, errors, wrong, stray, lost, lost_sockets });
}


module.exports = { print_report, show_progress };
