
/*
 * What calls end with, and what they are taken out of. All state is this
 * process's own.
 */

#include "ngx_cometa_call_end.h"
#include "ngx_cometa.h"
#include "ngx_cometa_probe.h"
#include "ngx_cometa_call_table.h"
#include "ngx_cometa_interest.h"
#include "ngx_cometa_app.h"
#include "ngx_cometa_error.h"
#include "ngx_cometa_stats.h"
#include "ngx_cometa_zone.h"


#define NGX_COMETA_CALL_LOOK   50       /* ms, between looks for dead owners */


static void ngx_cometa_call_count(ngx_cometa_call_t *call, ngx_uint_t error);


static ngx_event_t  ngx_cometa_look_event;


void
ngx_cometa_call_end_start(ngx_cycle_t *cycle, ngx_event_handler_pt look)
{
    ngx_cometa_look_event.handler = look;
    ngx_cometa_look_event.log = cycle->log;
    ngx_cometa_look_event.data = &ngx_cometa_look_event;
}


/* ngx_add_timer() alone leaves a timer that is set where it is, if near. */

void
ngx_cometa_call_arm(ngx_cometa_call_t *call, uint64_t due)
{
    if (call->timer.timer_set) {
        ngx_del_timer(&call->timer);
    }

    ngx_add_timer(&call->timer, due > ngx_current_msec
                                ? due - ngx_current_msec : 0);
}


void
ngx_cometa_call_hold(ngx_cometa_call_t *call)
{
    if (call->place.slot == ngx_cometa_zone.slot) {
        return;
    }

    ngx_cometa_call_held_add(call);
    ngx_cometa_call_hold_again();
}


void
ngx_cometa_call_hold_again(void)
{
    if (ngx_cometa_call_held_any() && !ngx_cometa_look_event.timer_set) {
        ngx_add_timer(&ngx_cometa_look_event, NGX_COMETA_CALL_LOOK);
    }
}


void
ngx_cometa_call_unlink(ngx_cometa_call_t *call)
{
    switch (call->state) {

    case NGX_COMETA_CALL_OFFLINE:
        ngx_queue_remove(&call->link);

        ngx_cometa_interest_remove(call->key.hash);

        /* from the wait for an attach back to the deadline */
        ngx_cometa_call_arm(call, call->deadline);

        break;

    case NGX_COMETA_CALL_SENT:
    case NGX_COMETA_CALL_WAITS_TURN:
    case NGX_COMETA_CALL_WRITTEN:

        if (call->link.next) {
            ngx_cometa_call_held_remove(call);
        }

        break;
    }

    call->link.next = NULL;
    call->state = NGX_COMETA_CALL_NEW;
}


void
ngx_cometa_call_end(ngx_cometa_call_t *call, ngx_uint_t error, u_char *data,
    size_t len)
{
    ngx_cometa_call_unlink(call);

    if (call->timer.timer_set) {
        ngx_del_timer(&call->timer);
    }

    ngx_cometa_call_count(call, error);

    ngx_log_debug6(NGX_LOG_DEBUG_HTTP, ngx_cometa_trace(call->debug), 0,
                   "cometa call: %uD:%uD:%uD ends with %V, \"%V/%V\"",
                   ngx_cometa_zone.slot, call->index, call->generation,
                   &ngx_cometa_errors[error].word, &call->key.app,
                   &call->key.device);

    ngx_cometa_probe_call_end(call->app, call->key.hash, ngx_cometa_zone.slot,
                              call->index, error);

    call->handler(call, error, data, len);

    ngx_cometa_call_table_free(call);
}


static void
ngx_cometa_call_count(ngx_cometa_call_t *call, ngx_uint_t error)
{
    /* at the last moment it may have become known */

    if (call->app == NGX_COMETA_NONE) {
        call->app = ngx_cometa_app_hold(&call->key.app, 0, calls);
    }

    if (call->app == NGX_COMETA_NONE) {
        return;
    }

    if (call->query) {
        /* void */

    } else if (error == NGX_COMETA_OK) {
        ngx_cometa_stats_add(call->app, messages, 1);
        ngx_cometa_stats_latency(call->app, call->latency);

    } else {
        ngx_cometa_stats_add(call->app, failed[error], 1);
    }

    /* last, for it keeps the place of the application */

    ngx_cometa_gauge_add(call->app, calls, -1);
}
