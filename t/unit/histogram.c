/*
 * The histogram: its buckets cover all values without a gap, and its quantiles
 * are those of the sorted values, to about 3 %.
 */

#include <string.h>

#include "cometa_histogram.h"
#include "tap.h"


#define SAMPLES   100000
#define BUCKETS   COMETA_HISTOGRAM_BUCKETS
#define MAX       COMETA_HISTOGRAM_MAX
#define PART      (2 * COMETA_HISTOGRAM_SUB)    /* of a value: 3.1 % */


static uint64_t  counts[BUCKETS];
static uint64_t  samples[SAMPLES];
static uint64_t  state;

static const double  quantiles[] = { 0, 0.001, 0.5, 0.9, 0.99, 0.999, 1 };


static void test_buckets(void);
static void test_edges(void);
static void test_few(void);
static void test_samples(const char *name, uint64_t (*make)(void));
static void test_merge(void);
static uint64_t uniform(void);
static uint64_t skewed(void);
static uint64_t two_peaks(void);
static uint64_t narrow(void);
static uint64_t small(void);
static void fill(size_t n, uint64_t (*make)(void));
static uint64_t exact(size_t n, double q);
static uint64_t quantile(double q);
static int near(uint64_t value, uint64_t wanted);
static uint64_t next(void);
static int compare(const void *one, const void *two);


int
main(void)
{
    test_buckets();
    test_edges();
    test_few();
    test_samples("uniform", uniform);
    test_samples("skewed", skewed);
    test_samples("two peaks", two_peaks);
    test_samples("narrow", narrow);
    test_samples("small", small);
    test_merge();

    return done_testing();
}


/* Every value up to 2^20, then in steps; each bucket is reached. */

static void
test_buckets(void)
{
    size_t    bucket, last;
    uint64_t  value, step, jumps, far, foreign;

    last = 0;
    jumps = 0;
    far = 0;
    foreign = 0;
    step = 1;

    for (value = 0; value <= MAX; value += step) {
        bucket = cometa_histogram_bucket(value);

        jumps += (bucket != last && bucket != last + 1);
        far += !near(cometa_histogram_value(bucket), value);
        foreign += (cometa_histogram_bucket(cometa_histogram_value(bucket))
                    != bucket);

        last = bucket;

        if (value == 1 << 20) {
            step = 1021;
        }
    }

    ok(jumps == 0, "buckets follow each other");
    ok(far == 0, "their value is near each of theirs");
    ok(foreign == 0, "and is in them");
    ok(last == BUCKETS - 1, "the last of %d is reached", BUCKETS);
}


static void
test_edges(void)
{
    size_t  i, wrong;

    wrong = 0;

    for (i = 0; i < 2 * COMETA_HISTOGRAM_SUB; i++) {
        wrong += (cometa_histogram_bucket(i) != i
                  || cometa_histogram_value(i) != i);
    }

    ok(wrong == 0, "small values are exact");

    ok(cometa_histogram_bucket(MAX) == BUCKETS - 1, "the largest value");
    ok(cometa_histogram_bucket((uint64_t) MAX + 1) == BUCKETS - 1,
       "larger ones are the largest");
    ok(cometa_histogram_bucket(UINT64_MAX) == BUCKETS - 1, "as is any");

    wrong = 0;

    for (i = 5; i < 30; i++) {
        wrong += (cometa_histogram_bucket(((uint64_t) 1 << i) - 1) + 1
                  != cometa_histogram_bucket((uint64_t) 1 << i));
    }

    ok(wrong == 0, "a bucket begins at each power of two");
}


static void
test_few(void)
{
    memset(counts, 0, sizeof(counts));

    ok(quantile(0.5) == 0, "no value");
    ok(quantile(1) == 0, "nor a largest one");

    counts[cometa_histogram_bucket(20)]++;

    ok(quantile(0) == 20, "one value: 0");
    ok(quantile(0.5) == 20, "one value: 0.5");
    ok(quantile(0.999) == 20, "one value: 0.999");
    ok(quantile(1) == 20, "one value: 1");

    counts[cometa_histogram_bucket(10)]++;

    ok(quantile(0.5) == 10, "two values: 0.5");
    ok(quantile(0.51) == 20, "two values: 0.51");

    memset(counts, 0, sizeof(counts));
    counts[cometa_histogram_bucket(10)] = 99;
    counts[cometa_histogram_bucket(20)] = 1;

    ok(quantile(0.99) == 10, "one of a hundred is above 0.99");
    ok(quantile(0.991) == 20, "but not above 0.991");

    memset(counts, 0, sizeof(counts));
    counts[cometa_histogram_bucket(10)] = 1ull << 50;
    counts[cometa_histogram_bucket(20)] = 1ull << 50;

    ok(quantile(0.5) == 10, "counts of more than 32 bits");
    ok(quantile(0.9) == 20, "also above");
}


static void
test_samples(const char *name, uint64_t (*make)(void))
{
    size_t    i;
    double    q;
    uint64_t  have, wanted;

    fill(SAMPLES, make);

    for (i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
        q = quantiles[i];
        have = quantile(q);
        wanted = exact(SAMPLES, q);

        if (!ok(near(have, wanted), "%s: %g", name, q)) {
            diag("%llu, not %llu", (unsigned long long) have,
                 (unsigned long long) wanted);
        }
    }
}


/* The sum of two histograms is the histogram of all. */

static void
test_merge(void)
{
    size_t    i;
    uint64_t  one[BUCKETS], two[BUCKETS];

    fill(SAMPLES / 2, uniform);
    memcpy(one, counts, sizeof(counts));

    memset(counts, 0, sizeof(counts));

    for (i = SAMPLES / 2; i < SAMPLES; i++) {
        samples[i] = skewed();
        counts[cometa_histogram_bucket(samples[i])]++;
    }

    memcpy(two, counts, sizeof(counts));

    for (i = 0; i < BUCKETS; i++) {
        counts[i] = one[i] + two[i];
    }

    qsort(samples, SAMPLES, sizeof(samples[0]), compare);

    for (i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
        ok(near(quantile(quantiles[i]), exact(SAMPLES, quantiles[i])),
           "merged: %g", quantiles[i]);
    }
}


static uint64_t
uniform(void)
{
    return next() % 1000000;
}


static uint64_t
skewed(void)
{
    return 100 + (1000000 << (next() % 9)) / (1 + next() % 100000);
}


static uint64_t
two_peaks(void)
{
    return (next() % 100 < 95) ? 800 + next() % 100 : 30000000 + next() % 9;
}


static uint64_t
narrow(void)
{
    return 123456 + next() % 3;
}


static uint64_t
small(void)
{
    return next() % 20;
}


/* Makes n samples, in order, and their histogram. */

static void
fill(size_t n, uint64_t (*make)(void))
{
    size_t  i;

    state = 0x9e3779b97f4a7c15;
    memset(counts, 0, sizeof(counts));

    for (i = 0; i < n; i++) {
        samples[i] = make();
        counts[cometa_histogram_bucket(samples[i])]++;
    }

    qsort(samples, n, sizeof(samples[0]), compare);
}


/* The smallest sample that a part q of all is not above. */

static uint64_t
exact(size_t n, double q)
{
    size_t  i;

    for (i = 0; i < n - 1; i++) {
        if (i + 1 >= q * n) {
            break;
        }
    }

    return samples[i];
}


static uint64_t
quantile(double q)
{
    return cometa_histogram_quantile(counts, q);
}


static int
near(uint64_t value, uint64_t wanted)
{
    uint64_t  differ;

    differ = (value > wanted) ? value - wanted : wanted - value;

    return differ * PART <= wanted;
}


/* xorshift64: the same numbers in each run */

static uint64_t
next(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;

    return state;
}


static int
compare(const void *one, const void *two)
{
    uint64_t  a, b;

    a = *(const uint64_t *) one;
    b = *(const uint64_t *) two;

    return (a > b) - (a < b);
}
