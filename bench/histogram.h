/*
 * A log-linear histogram of durations: every value is kept to better than
 * 0.1 %, whatever its magnitude, in a table of fixed size.
 */

#ifndef COMETA_BENCH_HISTOGRAM_H
#define COMETA_BENCH_HISTOGRAM_H

#include <stdint.h>

/*
 * A power of two is cut into 2^10 equal parts. Values below 2^11 have a
 * bucket each; the largest that can be told apart is 2^42 - 1, in ns more
 * than an hour, and what is above is counted there.
 */

#define COMETA_HIST_BITS   10
#define COMETA_HIST_TOP    42
#define COMETA_HIST_PARTS  (1u << COMETA_HIST_BITS)
#define COMETA_HIST_SIZE                                                      \
    ((COMETA_HIST_TOP - COMETA_HIST_BITS + 1) * COMETA_HIST_PARTS)

typedef struct {
    uint64_t  count;
    uint64_t  min;
    uint64_t  max;
    double    sum;
    double    squares;
    uint64_t  buckets[COMETA_HIST_SIZE];
} cometa_hist_t;

void cometa_hist_add(cometa_hist_t *h, uint64_t value);
void cometa_hist_merge(cometa_hist_t *h, const cometa_hist_t *other);

/*
 * The highest value that is the same as far as the table can tell as the
 * one below or at which "percent" of all values are; 0 if there are none.
 */
uint64_t cometa_hist_percentile(const cometa_hist_t *h, double percent);

double cometa_hist_mean(const cometa_hist_t *h);
double cometa_hist_deviation(const cometa_hist_t *h);

#endif
