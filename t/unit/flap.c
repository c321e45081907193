/*
 * Takeovers: how many are let in, when the delay begins, how it grows, and
 * that it ends, at any time of a clock that wraps.
 */

#include <string.h>

#include "cometa_flap.h"
#include "tap.h"


#define LIMIT  5


static cometa_flap_t  flap;
static unsigned       first;
static uint16_t       base;


static void test_few(void);
static void test_delays(void);
static void test_early(void);
static void test_quiet(void);
static void test_limits(void);
static void test_reports(void);
static void test_storm(void);
static void start(uint16_t time);
static unsigned try(unsigned time);


int
main(void)
{
    ok(sizeof(cometa_flap_t) == 3, "3 bytes a device");

    test_few();
    test_delays();
    test_early();
    test_quiet();
    test_limits();
    test_reports();
    test_storm();

    return done_testing();
}


static void
test_few(void)
{
    unsigned  i, refused;

    start(0);
    refused = 0;

    for (i = 0; i < LIMIT; i++) {
        refused += (try(i) != 0);
    }

    ok(refused == 0, "%d takeovers are let in", LIMIT);
    ok(try(9) == 2, "one more is not");
    ok(first, "which is reported");

    /* as often, but not within a window */

    start(0);
    refused = 0;

    for (i = 0; i < 100; i++) {
        refused += (try(3 * i) != 0);
    }

    ok(refused == 0, "a takeover every 3 s is no flapping");
}


/* Whoever comes as soon as the delay is over is let in, the next one not. */

static void
test_delays(void)
{
    unsigned  i, time, wait;

    static const unsigned  delays[] = { 2, 4, 8, 16, 32, 60, 60, 60 };

    for (base = 0, i = 0; i < 2; i++, base = 65530) {
        start(base);

        for (time = 0; time < LIMIT; time++) {
            (void) try(0);
        }

        time = 0;

        for (wait = 0; wait < sizeof(delays) / sizeof(delays[0]); wait++) {
            ok(try(time) == delays[wait], "delay %u: %u s", wait,
               delays[wait]);
            time += delays[wait];
            ok(try(time - 1) == 1, "delay %u: to its last second", wait);
            ok(try(time) == 0, "delay %u: it ends", wait);
        }
    }
}


static void
test_early(void)
{
    unsigned  i, wrong;

    start(0);

    for (i = 0; i < LIMIT; i++) {
        (void) try(0);
    }

    wrong = 0;

    for (i = 0; i < 100000; i++) {
        wrong += (try(1) == 0 || try(1) > 2);
    }

    ok(wrong == 0, "refused as long as the delay lasts");
    ok(try(3) == 0, "who comes too early does not prolong it");
}


static void
test_quiet(void)
{
    unsigned  i, refused;

    start(0);

    for (i = 0; i < LIMIT + 1; i++) {
        (void) try(0);
    }

    ok(try(2) == 0, "let in");
    ok(try(2) == 4, "delayed for 4 s");

    /* let in at the last moment that counts, and too late to count */

    ok(try(2 + 17) == 0, "let in again");
    ok(try(2 + 17) == 8, "and not forgotten");

    refused = 0;

    for (i = 0; i < LIMIT; i++) {
        refused += (try(19 + 26) != 0);
    }

    ok(refused == 0, "after twice the delay and a window all is forgotten");
    ok(try(19 + 26) == 2, "and begins with the shortest delay");
}


static void
test_limits(void)
{
    unsigned  i, refused;

    start(7);
    ok(cometa_flap(&flap, 1, 7, &first) == 0, "limit 1: one");
    ok(cometa_flap(&flap, 1, 7, &first) == 2, "limit 1: not two");

    start(7);
    refused = 0;

    for (i = 0; i < COMETA_FLAP_LIMIT; i++) {
        refused += (cometa_flap(&flap, COMETA_FLAP_LIMIT, 7, &first) != 0);
    }

    ok(refused == 0, "limit %d: so many", COMETA_FLAP_LIMIT);
    ok(cometa_flap(&flap, COMETA_FLAP_LIMIT, 7, &first) == 2,
       "limit %d: no more", COMETA_FLAP_LIMIT);
}


/* Two clients that never give up, for an hour. */

static void
test_reports(void)
{
    unsigned  i, time, reports, last, close;

    start(65000);
    reports = 0;
    close = 0;
    last = 0;

    for (time = 0; time < 3600; time++) {
        for (i = 0; i < 100; i++) {
            (void) try(time);

            if (first) {
                close += (reports && time - last < COMETA_FLAP_WINDOW);
                last = time;
                reports++;
            }
        }
    }

    ok(close == 0, "reports are %d s apart", COMETA_FLAP_WINDOW);
    ok(reports >= 3600 / COMETA_FLAP_DELAY, "%u in an hour", reports);
}


static void
test_storm(void)
{
    unsigned  i, time, in, seconds;

    start(0);
    in = 0;
    seconds = 0;

    for (time = 0; time < 600; time++) {
        unsigned  before = in;

        for (i = 0; i < 50; i++) {
            in += (try(time) == 0);
        }

        seconds += (in != before);
    }

    ok(in < LIMIT + 16, "%u of 30000 attempts are let in", in);
    ok(seconds >= 10, "but there are some in %u of 600 seconds", seconds);
}


static void
start(uint16_t time)
{
    memset(&flap, 0, sizeof(flap));
    base = time;
    first = 0;
}


static unsigned
try(unsigned time)
{
    return cometa_flap(&flap, LIMIT, (uint16_t) (base + time), &first);
}
