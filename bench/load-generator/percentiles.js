#!/usr/bin/env node

/*
 * What hdr-histogram-js says of the values in a file, one integer a line: to
 * check other histograms with.
 */

'use strict';

const fs = require('node:fs');
const { new_histogram, summary } = require('./histogram');


function fail(message) {
    console.error(`percentiles.js: ${message}`);
    process.exit(2);
}


function values(name) {
    const text = fs.readFileSync(name, 'latin1');

    return text.split('\n').filter((line) => line !== '');
}


function main(names) {
    if (names.length !== 1) {
        fail('usage: percentiles.js FILE');
    }

    const histogram = new_histogram();

    for (const value of values(names[0])) {
        if (!/^\d{1,15}$/.test(value)) {
            fail(`not an integer: "${value}"`);
        }

        histogram.recordValue(Number(value));
    }

    console.log(JSON.stringify(summary(histogram)));
}


try {
    main(process.argv.slice(2));

} catch (error) {
    fail(error.message);
}
