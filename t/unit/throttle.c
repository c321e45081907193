/*
 * The throttle of log lines: one at once, one a second with the count, and the
 * last burst when the process ends.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

/* A timer is only noted; the test lets it expire. */

#undef ngx_add_timer
#undef ngx_del_timer

#define ngx_add_timer(ev, ms)  ((ev)->timer.key = (ms), (ev)->timer_set = 1)
#define ngx_del_timer(ev)      ((ev)->timer_set = 0)

#include "ngx_cometa_throttle.c"
#include "tap.h"


static ngx_log_t         own, process;
static ngx_cycle_t       cycle = { .log = &process };
volatile ngx_cycle_t    *ngx_cycle = &cycle;

static ngx_uint_t        lines, last, others;
static ngx_log_t        *where;


static void
report(ngx_cometa_throttle_t *throttle, ngx_log_t *log)
{
    lines++;
    last = throttle->n;
    where = log;
}


static void
report_other(ngx_cometa_throttle_t *throttle, ngx_log_t *log)
{
    (void) log;
    others += throttle->n;
}


static void
expire(ngx_cometa_throttle_t *throttle)
{
    throttle->timer.timer_set = 0;
    throttle->timer.handler(&throttle->timer);
}


static void
happen(ngx_cometa_throttle_t *throttle, int n)
{
    while (n--) {
        ngx_cometa_throttle(throttle, &own);
    }
}


int
main(void)
{
    ngx_cometa_throttle_t  a = { .handler = report };
    ngx_cometa_throttle_t  b = { .handler = report_other };

    ngx_cometa_throttle_flush();
    ok(lines == 0, "nothing has happened, nothing is reported");

    happen(&a, 1);
    ok(lines == 1 && last == 1 && where == &own,
       "the first is reported at once, in the log it belongs to");
    ok(a.timer.timer_set && a.timer.timer.key == 1000 && a.timer.cancelable,
       "and for a second no other, nor does that keep a worker from leaving");

    happen(&a, 999);
    ok(lines == 1, "a flood within the second is silent");

    expire(&a);
    ok(lines == 2 && last == 999 && where == &process,
       "its end reports all of them in one line");
    ok(a.timer.timer_set, "and the next second begins");

    expire(&a);
    ok(lines == 2 && !a.timer.timer_set, "a second of silence is not reported");

    happen(&a, 1);
    ok(lines == 3 && last == 1, "what comes after it is reported at once");

    happen(&a, 7);
    happen(&b, 5);
    ok(lines == 3 && others == 1, "each throttle has a second of its own");

    ngx_cometa_throttle_flush();
    ok(lines == 4 && last == 7 && others == 5,
       "at the end of the process the last burst of each is reported");
    ok(!a.timer.timer_set && !b.timer.timer_set, "and no timer is left");

    ngx_cometa_throttle_flush();
    ok(lines == 4 && others == 5, "once");

    happen(&a, 1);
    ok(lines == 5, "it goes on to work");

    return done_testing();
}
