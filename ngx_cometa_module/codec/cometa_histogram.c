/*
 * A log-linear histogram. See cometa_histogram.h.
 */

#include "cometa_histogram.h"


size_t
cometa_histogram_bucket(uint64_t value)
{
    unsigned  shift;

    if (value > COMETA_HISTOGRAM_MAX) {
        value = COMETA_HISTOGRAM_MAX;
    }

    if (value < COMETA_HISTOGRAM_SUB) {
        return value;
    }

    /* how far the leading bit stands above the bits that are kept */

    shift = 63 - __builtin_clzll(value) - COMETA_HISTOGRAM_BITS;

    return shift * COMETA_HISTOGRAM_SUB + (value >> shift);
}


uint64_t
cometa_histogram_value(size_t bucket)
{
    uint64_t  low;
    unsigned  shift;

    if (bucket < 2 * COMETA_HISTOGRAM_SUB) {
        return bucket;
    }

    shift = bucket / COMETA_HISTOGRAM_SUB - 1;
    low = (uint64_t) (COMETA_HISTOGRAM_SUB + bucket % COMETA_HISTOGRAM_SUB)
          << shift;

    return low + ((uint64_t) 1 << shift) / 2;
}


uint64_t
cometa_histogram_quantile(const uint64_t *counts, double q)
{
    size_t    i;
    double    rank;
    uint64_t  n;

    n = 0;

    for (i = 0; i < COMETA_HISTOGRAM_BUCKETS; i++) {
        n += counts[i];
    }

    if (n == 0) {
        return 0;
    }

    rank = q * n;
    n = 0;

    for (i = 0; i < COMETA_HISTOGRAM_BUCKETS; i++) {
        n += counts[i];

        if (n > 0 && n >= rank) {
            break;
        }
    }

    return cometa_histogram_value(i);
}
