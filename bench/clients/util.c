/*
 * What every bench program needs: clock, random numbers, option values.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "util.h"


static uint64_t  state = 88172645463325252ull;


void
cometa_die(const char *fmt, ...)
{
    va_list  args;

    fprintf(stderr, "%s: ", program_invocation_short_name);

    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);

    fputc('\n', stderr);
    exit(3);
}


void *
cometa_alloc(size_t n)
{
    void  *p = calloc(1, n);

    if (p == NULL) {
        cometa_die("no memory for %zu bytes", n);
    }

    return p;
}


uint64_t
cometa_now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000000u + (uint64_t) ts.tv_nsec;
}


void
cometa_random_init(void)
{
    uint64_t  seed;

    if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed)) {
        cometa_die("getrandom: %s", strerror(errno));
    }

    state = seed | 1;       /* xorshift never leaves zero */
}


uint64_t
cometa_random(void)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;

    return state * 2685821657736338717ull;
}


uint32_t
cometa_random_below(uint32_t n)
{
    return (uint32_t) (((cometa_random() >> 32) * n) >> 32);
}


int
cometa_chance(double p)
{
    return (double) (cometa_random() >> 11) * 0x1p-53 < p;
}


uint64_t
cometa_number(const char *option, const char *text, uint64_t min, uint64_t max)
{
    char                *end;
    unsigned long long   n;

    errno = 0;
    n = strtoull(text, &end, 10);

    if (errno || end == text || *end || *text == '-' || n < min || n > max) {
        cometa_die("--%s takes a whole number from %llu to %llu, not \"%s\"",
                   option, (unsigned long long) min, (unsigned long long) max,
                   text);
    }

    return n;
}


double
cometa_real(const char *option, const char *text, double min, double max)
{
    char    *end;
    double   n;

    errno = 0;
    n = strtod(text, &end);

    if (errno || end == text || *end || !(n >= min && n <= max)) {
        cometa_die("--%s takes a number from %g to %g, not \"%s\"",
                   option, min, max, text);
    }

    return n;
}
