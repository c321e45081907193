/*
 * What every bench program needs: clock, random numbers, option values.
 */

#ifndef COMETA_BENCH_UTIL_H
#define COMETA_BENCH_UTIL_H

#include <stddef.h>
#include <stdint.h>

/* prints "PROGRAM: message" and exits with 3: the run itself went wrong */
void cometa_die(const char *fmt, ...)
    __attribute__((format(printf, 1, 2), noreturn));

void *cometa_alloc(size_t n);       /* zeroed; dies when there is none */

uint64_t cometa_now(void);          /* ns, monotonic */

void cometa_random_init(void);      /* once per process, after the fork */
uint64_t cometa_random(void);
uint32_t cometa_random_below(uint32_t n);   /* uniform in [0, n), n > 0 */
int cometa_chance(double p);        /* true with probability p */

/* the values of options; anything out of range ends the program */
uint64_t cometa_number(const char *option, const char *text, uint64_t min,
    uint64_t max);
double cometa_real(const char *option, const char *text, double min,
    double max);

#endif
