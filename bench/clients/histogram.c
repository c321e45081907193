/*
 * Durations, in the module's own histogram.
 */

#include <math.h>

#include "histogram.h"

#define TICKS  5        /* lines printed for each halving of what is above */


uint64_t
cometa_hist_us(uint64_t ns)
{
    return (ns + 500) / 1000;
}


void
cometa_hist_add(cometa_hist_t *h, uint64_t ns)
{
    if (h->count == 0 || ns < h->min) {
        h->min = ns;
    }

    if (ns > h->max) {
        h->max = ns;
    }

    h->count++;
    h->sum += (double) ns;
    h->squares += (double) ns * (double) ns;
    h->buckets[cometa_histogram_bucket(cometa_hist_us(ns))]++;
}


/* the middle of a bucket may lie outside of what was ever added */

static uint64_t
within(const cometa_hist_t *h, uint64_t us)
{
    uint64_t  ns = us * 1000;

    if (ns < h->min) {
        return h->min;
    }

    return ns < h->max ? ns : h->max;
}


uint64_t
cometa_hist_percentile(const cometa_hist_t *h, double percent)
{
    return within(h, cometa_histogram_quantile(h->buckets, percent / 100));
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


static double
ms(double ns)
{
    return ns / 1e6;
}


/*
 * Levels are percentages, with TICKS steps from one to where half as many are
 * above. Counted so, and not in parts of one, the steps are exact.
 */

static double
next_level(double level)
{
    double  halvings = floor(log2(100 / (100 - level))) + 1;

    return level + 100 / (TICKS * exp2(halvings));
}


/*
 * A bucket is printed once for every level that it reaches, the last one only
 * for the first of them: 1 comes next.
 */

static void
print_levels(const cometa_hist_t *h, FILE *out)
{
    size_t    i;
    double    reached, level = 0;
    uint64_t  seen = 0;

    for (i = 0; seen < h->count; i++) {
        seen += h->buckets[i];
        reached = 100 * (double) seen / (double) h->count;

        while (h->buckets[i] && level <= reached) {
            fprintf(out, "%12.3f %.12f %10llu %14.2f\n",
                    ms((double) within(h, cometa_histogram_value(i))),
                    level / 100, (unsigned long long) seen,
                    100 / (100 - level));

            level = next_level(level);

            if (seen == h->count) {
                break;
            }
        }
    }
}


void
cometa_hist_print(const cometa_hist_t *h, FILE *out)
{
    fprintf(out, "%12s %14s %10s %14s\n\n", "Value", "Percentile",
            "TotalCount", "1/(1-Percentile)");

    if (h->count) {
        print_levels(h, out);
        fprintf(out, "%12.3f %.12f %10llu\n", ms((double) h->max), 1.0,
                (unsigned long long) h->count);
    }

    fprintf(out, "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n"
                 "#[Max     = %12.3f, Total count    = %12llu]\n"
                 "#[Buckets = %12d, SubBuckets     = %12d]\n",
            ms(cometa_hist_mean(h)), ms(cometa_hist_deviation(h)),
            ms((double) h->max), (unsigned long long) h->count,
            COMETA_HISTOGRAM_BUCKETS / COMETA_HISTOGRAM_SUB,
            COMETA_HISTOGRAM_SUB);
}
