/*
 * TAP for the unit tests: one line a check, the plan at the end. A check made
 * millions of times is collected by the test and reported once.
 */

#ifndef TAP_H
#define TAP_H


#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>


static int  tap_count;
static int  tap_failed;


static inline void
tap_printf(const char *prefix, const char *fmt, va_list args)
{
    fputs(prefix, stdout);
    vprintf(fmt, args);
    putchar('\n');
    fflush(stdout);         /* a fork must not inherit what is buffered */
}


__attribute__((format(printf, 1, 2)))
static inline void
diag(const char *fmt, ...)
{
    va_list  args;

    va_start(args, fmt);
    tap_printf("# ", fmt, args);
    va_end(args);
}


__attribute__((format(printf, 2, 3)))
static inline int
ok(int pass, const char *fmt, ...)
{
    char     prefix[32];
    va_list  args;

    tap_count++;
    tap_failed += !pass;

    snprintf(prefix, sizeof(prefix), "%sok %d - ", pass ? "" : "not ",
             tap_count);

    va_start(args, fmt);
    tap_printf(prefix, fmt, args);
    va_end(args);

    return pass;
}


/* The return value of main(). */

static inline int
done_testing(void)
{
    printf("1..%d\n", tap_count);

    return (tap_failed || tap_count == 0) ? EXIT_FAILURE : EXIT_SUCCESS;
}


#endif /* TAP_H */
