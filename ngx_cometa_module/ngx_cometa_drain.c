
/*
 * The pace of draining. What is drained is known to ngx_cometa_process.c only.
 * The timer is not cancelable, so that nginx does not end the worker before the
 * last device and WebSocket have gone.
 */

#include "ngx_cometa_drain.h"


#define NGX_COMETA_DRAIN_STEP   10      /* ms, the mean; more if rate < 100 */
#define NGX_COMETA_DRAIN_BATCH  500     /* in one step */
#define NGX_COMETA_DRAIN_LATE   250     /* ms of a stall that are made up for */


static ngx_event_t  ngx_cometa_drain_event;
static ngx_uint_t   ngx_cometa_drain_rate;
static ngx_uint_t   ngx_cometa_drain_late;

static ngx_cometa_pace_t  ngx_cometa_drain_own;


void
ngx_cometa_drain_init(ngx_uint_t rate, ngx_event_handler_pt handler,
    ngx_log_t *log)
{
    ngx_cometa_drain_rate = rate;

    ngx_cometa_drain_event.handler = handler;
    ngx_cometa_drain_event.data = &ngx_cometa_drain_event;
    ngx_cometa_drain_event.log = log;
}


void
ngx_cometa_drain_look(ngx_msec_t wait)
{
    if (!ngx_cometa_drain_event.timer_set) {
        ngx_add_timer(&ngx_cometa_drain_event, wait);
    }
}


void
ngx_cometa_drain_step(void)
{
    ngx_cometa_drain_look(ngx_cometa_drain_pause());
}


ngx_msec_t
ngx_cometa_drain_pause(void)
{
    ngx_msec_t  mean;

    mean = ngx_max(NGX_COMETA_DRAIN_STEP, 1000 / ngx_cometa_drain_rate);

    return mean / 2 + ngx_random() % (mean + 1);
}


ngx_uint_t
ngx_cometa_drain_quota(void)
{
    return ngx_cometa_drain_pace(&ngx_cometa_drain_own);
}


ngx_uint_t
ngx_cometa_drain_pace(ngx_cometa_pace_t *pace)
{
    ngx_uint_t  n;
    ngx_msec_t  elapsed, most;

    most = NGX_COMETA_DRAIN_LATE + 2000 / ngx_cometa_drain_rate;

    elapsed = ngx_current_msec - pace->last;
    pace->last = ngx_current_msec;

    /* at first, or after a pause: one step, not the quota of all the pause */

    if (elapsed > most) {
        elapsed = NGX_COMETA_DRAIN_STEP;
    }

    n = elapsed * ngx_cometa_drain_rate + pace->rest;

    pace->rest = n % 1000;

    return ngx_min(n / 1000, NGX_COMETA_DRAIN_BATCH);
}


void
ngx_cometa_drain_overdue(void)
{
    if (ngx_cometa_drain_late) {
        return;
    }

    ngx_cometa_drain_late = 1;

    /* the timer may be set for a later look whether there is a successor */

    if (ngx_cometa_drain_event.timer_set) {
        ngx_del_timer(&ngx_cometa_drain_event);
    }

    ngx_cometa_drain_step();
}


ngx_uint_t
ngx_cometa_drain_is_overdue(void)
{
    return ngx_cometa_drain_late;
}
