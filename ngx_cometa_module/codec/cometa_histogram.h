/*
 * A log-linear histogram of unsigned values, as counts in an array of the
 * caller's: 16 buckets for each power of two, so that a value is known to
 * about 3 %. Pure C; histograms are merged by adding their counts.
 *
 *     value     0  1 .. 15 | 16 17 .. 31 | 32 34 .. 62 | 64 68 ..
 *     bucket    0  1 .. 15 | 16 17 .. 31 | 32 33 .. 47 | 48 49 ..
 */

#ifndef COMETA_HISTOGRAM_H
#define COMETA_HISTOGRAM_H


#include <stddef.h>
#include <stdint.h>


#define COMETA_HISTOGRAM_BITS     4
#define COMETA_HISTOGRAM_SUB      (1 << COMETA_HISTOGRAM_BITS)
#define COMETA_HISTOGRAM_MAX      ((1u << 30) - 1)  /* larger ones count so */
#define COMETA_HISTOGRAM_BUCKETS                                              \
    ((30 - COMETA_HISTOGRAM_BITS + 1) * COMETA_HISTOGRAM_SUB)


/* The bucket of a value. */
size_t cometa_histogram_bucket(uint64_t value);

/* The value in the middle of a bucket. */
uint64_t cometa_histogram_value(size_t bucket);

/*
 * The value below which a part q of all lies, 0 <= q <= 1, as the middle of
 * its bucket; 0 if there are none.
 */
uint64_t cometa_histogram_quantile(const uint64_t *counts, double q);


#endif /* COMETA_HISTOGRAM_H */
