/*
 * Durations: the module's own histogram of them in us, and beside it what is
 * kept exactly, in ns: minimum, maximum, mean and deviation.
 */

#ifndef COMETA_BENCH_HISTOGRAM_H
#define COMETA_BENCH_HISTOGRAM_H

#include <stdint.h>
#include <stdio.h>

#include "../../ngx_cometa_module/codec/cometa_histogram.h"

typedef struct {
    uint64_t  count;
    uint64_t  min;
    uint64_t  max;
    double    sum;
    double    squares;
    uint64_t  buckets[COMETA_HISTOGRAM_BUCKETS];    /* of us */
} cometa_hist_t;

void cometa_hist_add(cometa_hist_t *h, uint64_t ns);

/* all in ns, 0 if there are none; a percentile is known to about 3 % */

uint64_t cometa_hist_percentile(const cometa_hist_t *h, double percent);
double cometa_hist_mean(const cometa_hist_t *h);
double cometa_hist_deviation(const cometa_hist_t *h);

/* a duration in whole us, to the nearest: what the histogram counts */
uint64_t cometa_hist_us(uint64_t ns);

/* the distribution in ms, in the format of HdrHistogram */
void cometa_hist_print(const cometa_hist_t *h, FILE *out);

#endif
