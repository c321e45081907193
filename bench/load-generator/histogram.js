/*
 * The histogram of latencies, and what is said of it: all values by
 * hdr-histogram-js, to better than 0.1 %.  It names the highest value that
 * counts as the same, which must not be above the maximum.
 */

'use strict';

const hdr = require('./modules')('hdr-histogram-js');

const PERCENTILES = {
    p50: 50, p75: 75, p90: 90, p99: 99, p999: 99.9, p9999: 99.99
};
const TICKS = 5;            /* lines for each halving of what is left */


function new_histogram() {
    return hdr.build({ numberOfSignificantValueDigits: 3 });
}


function summary(histogram) {
    const facts = {
        count: histogram.totalCount,
        min: histogram.getValueAtPercentile(0),
        max: histogram.maxValue,
        mean: Number(histogram.mean.toFixed(3)),
        stddev: Number(histogram.stdDeviation.toFixed(3))
    };

    for (const [name, percentile] of Object.entries(PERCENTILES)) {
        facts[name] = Math.min(facts.max,
            histogram.getValueAtPercentile(percentile));
    }

    return facts;
}


/* As HdrHistogram prints it, values divided by the unit. */

function distribution(histogram, unit) {
    return histogram.outputPercentileDistribution(TICKS, unit);
}


module.exports = { new_histogram, summary, distribution };
