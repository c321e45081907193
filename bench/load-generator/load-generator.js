#!/usr/bin/env node

/*
 * The load of the benchmark of 2015: applications that ping devices at
 * leisure. This file is the course of a run.
 */

'use strict';

const { once } = require('node:events');
const { setTimeout: sleep } = require('node:timers/promises');
const { Application } = require('./application');
const { read_or_exit } = require('./options');
const { print_report, show_progress } = require('./report');
const { Server } = require('./server');
const { Tally } = require('./tally');

const LAST_REPLIES = 1000;      /* ms for them after a signal */


/* A second signal ends it at once. */

function signals() {
    const stop = new AbortController();

    process.once('SIGINT', () => stop.abort());
    process.once('SIGTERM', () => stop.abort());

    return stop.signal;
}


function random_device({ device_id, devices }) {
    return device_id + Math.floor(Math.random() * devices);
}


/* So many at a time as there are lanes. */

async function open_all(applications, options, tally, stop) {
    const server = new Server(options);
    let begun = 0;

    async function lane() {
        while (begun < options.applications && !stop.aborted) {
            const number = ++begun;
            const socket = await server.open(random_device(options));

            applications.push(
                new Application(number, socket, options, tally));
            tally.open++;
        }
    }

    await Promise.all(Array.from({ length: options.concurrency }, lane));
    server.all_open();
}


async function load(applications, options, tally, stop) {
    await Promise.race([
        open_all(applications, options, tally, stop), once(stop, 'abort')
    ]);

    if (stop.aborted) {
        return;
    }

    console.log(`open ${tally.open}`);
    tally.begin();
    applications.forEach((application) => application.start());

    await Promise.race([
        sleep(1000 * options.duration), once(stop, 'abort')
    ]);
}


/* The last replies are waited for; only in part after a signal. */

async function last_replies(applications, stop) {
    const hurry = stop.aborted ? Promise.resolve() : once(stop, 'abort');

    await Promise.race([
        Promise.all(applications.map((application) => application.stop())),
        hurry.then(() => sleep(LAST_REPLIES))
    ]);
}


async function main() {
    const options = read_or_exit(process.argv.slice(2));
    const stop = signals();
    const tally = new Tally();
    const applications = [];
    const end_progress = show_progress(tally, options);

    await load(applications, options, tally, stop);
    tally.end();
    await last_replies(applications, stop);
    end_progress();

    print_report(tally, options);

    const all_right = tally.all_right()
        && tally.open === options.applications;

    await Promise.all(applications.map((application) => application.close()));

    return all_right ? 0 : 1;
}


main().then((status) => process.exit(status), (error) => {
    console.error(`load-generator.js: ${error.message}`);
    process.exit(3);
});
