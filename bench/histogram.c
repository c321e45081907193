/*
 * A log-linear histogram of durations.
 */

#include <math.h>

#include "histogram.h"


static unsigned
bucket_of(uint64_t value)
{
    unsigned  shift;

    if (value >= 1ull << COMETA_HIST_TOP) {
        value = (1ull << COMETA_HIST_TOP) - 1;
    }

    if (value < COMETA_HIST_PARTS) {
        return (unsigned) value;
    }

    /* shift so that the leading one becomes bit COMETA_HIST_BITS */

    shift = 63 - (unsigned) __builtin_clzll(value) - COMETA_HIST_BITS;

    return shift * COMETA_HIST_PARTS + (unsigned) (value >> shift);
}


static uint64_t
highest_in(unsigned bucket)
{
    unsigned  shift;

    if (bucket < 2 * COMETA_HIST_PARTS) {
        return bucket;
    }

    shift = bucket / COMETA_HIST_PARTS - 1;

    return (((uint64_t) bucket - shift * COMETA_HIST_PARTS + 1) << shift) - 1;
}


void
cometa_hist_add(cometa_hist_t *h, uint64_t value)
{
    if (h->count == 0 || value < h->min) {
        h->min = value;
    }

    if (value > h->max) {
        h->max = value;
    }

    h->count++;
    h->sum += (double) value;
    h->squares += (double) value * (double) value;
    h->buckets[bucket_of(value)]++;
}


void
cometa_hist_merge(cometa_hist_t *h, const cometa_hist_t *other)
{
    unsigned  i;

    if (other->count == 0) {
        return;
    }

    if (h->count == 0 || other->min < h->min) {
        h->min = other->min;
    }

    if (other->max > h->max) {
        h->max = other->max;
    }

    h->count += other->count;
    h->sum += other->sum;
    h->squares += other->squares;

    for (i = 0; i < COMETA_HIST_SIZE; i++) {
        h->buckets[i] += other->buckets[i];
    }
}


uint64_t
cometa_hist_percentile(const cometa_hist_t *h, double percent)
{
    unsigned  i;
    uint64_t  wanted, seen, value;

    if (h->count == 0) {
        return 0;
    }

    wanted = (uint64_t) ceil(percent / 100 * (double) h->count);

    if (wanted < 1) {
        wanted = 1;
    }

    if (wanted > h->count) {
        wanted = h->count;
    }

    for (i = 0, seen = 0; i < COMETA_HIST_SIZE; i++) {
        seen += h->buckets[i];

        if (seen >= wanted) {
            value = highest_in(i);
            return value < h->max ? value : h->max;
        }
    }

    return h->max;
}


double
cometa_hist_mean(const cometa_hist_t *h)
{
    return h->count ? h->sum / (double) h->count : 0;
}


double
cometa_hist_deviation(const cometa_hist_t *h)
{
    double  mean, variance;

    if (h->count == 0) {
        return 0;
    }

    mean = cometa_hist_mean(h);
    variance = h->squares / (double) h->count - mean * mean;

    return variance > 0 ? sqrt(variance) : 0;
}
