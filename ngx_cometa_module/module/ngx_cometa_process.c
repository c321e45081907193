
/*
 * The life of a worker process: starts all parts of the module, says which
 * letter is read by whom, and lets devices and WebSockets go when it leaves.
 */

#include "ngx_cometa_process.h"
#include "ngx_cometa.h"
#include "ngx_cometa_drain.h"
#include "ngx_cometa_throttle.h"
#include "ngx_cometa_reader.h"
#include "ngx_cometa_turn.h"
#include "ngx_cometa_loc.h"
#include "ngx_cometa_async.h"
#include "ngx_cometa_ws_move.h"
#include "ngx_cometa_call.h"
#include "ngx_cometa_call_owner.h"
#include "ngx_cometa_kick.h"
#include "ngx_cometa_arrive.h"
#include "ngx_cometa_depart.h"
#include "ngx_cometa_device.h"
#include "ngx_cometa_device_table.h"
#include "ngx_cometa_notify.h"
#include "ngx_cometa_owner.h"
#include "ngx_cometa_queue.h"
#include "ngx_cometa_webhook.h"
#include "ngx_cometa_ws.h"
#include "ngx_cometa_ws_arrive.h"
#include "ngx_cometa_ws_call.h"
#include "ngx_cometa_ws_depart.h"
#include "ngx_cometa_ws_event.h"
#include "ngx_cometa_ws_group.h"
#include "ngx_cometa_ws_json.h"
#include "ngx_cometa_ws_late.h"
#include "ngx_cometa_ws_offer.h"
#include "ngx_cometa_fdpass.h"
#include "ngx_cometa_interest.h"
#include "ngx_cometa_mail.h"
#include "ngx_cometa_mailbox.h"
#include "ngx_cometa_app.h"
#include "ngx_cometa_slot.h"
#include "ngx_cometa_stats.h"
#include "ngx_cometa_zone.h"


#define NGX_COMETA_JOIN_WAIT    5000    /* ms, between tries for a slot */
#define NGX_COMETA_DRAIN_LOOK   100     /* ms, between looks for successors */
#define NGX_COMETA_DRAIN_EVENTS 5000    /* ms, for events of the webhook */

#define NGX_COMETA_HAND_OVER_TIME  3000 /* ms, for all that a worker has */
#define NGX_COMETA_HAND_OVER_STEP  10   /* ms, between two steps, at most */
#define NGX_COMETA_HAND_OVER_WAIT  2    /* ms, for doors and answers */
#define NGX_COMETA_HAND_OVER_LOOK  50   /* ms, for what could not move, ... */
#define NGX_COMETA_HAND_OVER_MOST  500  /* ... longer each time, up to this */


static ngx_int_t ngx_cometa_join(ngx_cycle_t *cycle);
static void ngx_cometa_rejoin(ngx_event_t *ev);
static void ngx_cometa_handlers(void);
static void ngx_cometa_online(ngx_cometa_mail_online_t *mail,
    ngx_cometa_key_t *key);
static void ngx_cometa_deaths(void);
static void ngx_cometa_exiting(ngx_event_t *ev);
static ngx_int_t ngx_cometa_arrived(ngx_connection_t *c, u_char *data,
    size_t len);
static void ngx_cometa_hand_over(void);
static void ngx_cometa_drain(ngx_event_t *ev);
static ngx_msec_t ngx_cometa_hand_over_pause(void);
static void ngx_cometa_drain_events(void);
static ngx_uint_t ngx_cometa_drained(void);


ngx_int_t
ngx_cometa_init_process(ngx_cycle_t *cycle)
{
    ngx_cometa_main_conf_t  *mcf;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    mcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_cometa_module);

    if (mcf == NULL || mcf->zone == NULL) {
        return NGX_OK;
    }

    return ngx_cometa_join(cycle);
}


/*
 * Without a slot the worker refuses requests to cometa, serves all others, and
 * tries again later.
 */

static ngx_int_t
ngx_cometa_join(ngx_cycle_t *cycle)
{
    static ngx_event_t  retry;

    ngx_cometa_main_conf_t  *mcf;

    mcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_cometa_module);

    if (ngx_cometa_slot_claim(mcf->zone->data, cycle->log) != NGX_OK) {
        retry.handler = ngx_cometa_rejoin;
        retry.data = cycle;
        retry.log = cycle->log;
        retry.cancelable = 1;

        ngx_add_timer(&retry, NGX_COMETA_JOIN_WAIT);

        return NGX_OK;
    }

    ngx_cometa_turn_start(cycle);
    ngx_cometa_drain_init(mcf->drain_rate, ngx_cometa_drain, cycle->log);
    ngx_cometa_queue_start();
    ngx_cometa_notify_start();
    ngx_cometa_ws_start(cycle);
    ngx_cometa_ws_call_start();
    ngx_cometa_ws_event_start(cycle);
    ngx_cometa_ws_json_start();
    ngx_cometa_ws_late_start();
    ngx_cometa_kick_init(cycle);

    if (ngx_cometa_reader_start(cycle) != NGX_OK
        || ngx_cometa_stats_start(cycle, mcf->stats_window) != NGX_OK
        || ngx_cometa_app_start(cycle) != NGX_OK
        || ngx_cometa_device_start(cycle) != NGX_OK
        || ngx_cometa_depart_start(cycle) != NGX_OK
        || ngx_cometa_interest_start(cycle) != NGX_OK
        || ngx_cometa_call_start(cycle) != NGX_OK
        || ngx_cometa_async_start(cycle) != NGX_OK
        || ngx_cometa_webhook_start(cycle) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_cometa_arrive_start(mcf->devices.elts, mcf->devices.nelts);
    ngx_cometa_ws_arrive_start(mcf->ws.elts, mcf->ws.nelts);

    ngx_cometa_handlers();

    if (ngx_cometa_mailbox_open(cycle, ngx_cometa_mail_deliver,
                                ngx_cometa_deaths, ngx_cometa_exiting)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_cometa_fdpass_open(cycle, ngx_cometa_arrived) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_cometa_fdpass_begin(cycle, mcf->generation);

    return NGX_OK;
}


/*
 * nginx looks at the result of the first try only. When a later one fails, the
 * worker has to give its slot back here.
 */

static void
ngx_cometa_rejoin(ngx_event_t *ev)
{
    if (ngx_exiting || ngx_cometa_join(ev->data) == NGX_OK) {
        return;
    }

    ngx_log_error(NGX_LOG_ERR, ev->log, 0,
                  "this worker process has a slot of cometa_zone but could "
                  "not start, it gives the slot back and tries again in %d "
                  "seconds: until then requests to cometa get 503",
                  NGX_COMETA_JOIN_WAIT / 1000);

    ngx_cometa_exit_process(ev->data);

    ngx_add_timer(ev, NGX_COMETA_JOIN_WAIT);
}


void
ngx_cometa_exit_process(ngx_cycle_t *cycle)
{
    if (ngx_cometa_zone.claimed) {
        ngx_cometa_mailbox_close();
        ngx_cometa_fdpass_close();
        ngx_cometa_throttle_flush();
        ngx_cometa_slot_release();
    }
}


/* Who reads which letter. */

static void
ngx_cometa_handlers(void)
{
    ngx_cometa_mail_handlers_t  *to;

    to = &ngx_cometa_mail_handlers;

    /* the owner's side */

    to->call = ngx_cometa_queue_call;
    to->cancel = ngx_cometa_queue_cancel;
    to->query = ngx_cometa_owner_query;
    to->evict = ngx_cometa_owner_evict;
    to->listeners = ngx_cometa_owner_listeners;
    to->arrived = ngx_cometa_depart_arrived;

    /* the origin's side */

    to->reply = ngx_cometa_call_reply;
    to->fail = ngx_cometa_call_fail;
    to->queued = ngx_cometa_call_queued;
    to->written = ngx_cometa_call_written;
    to->event = ngx_cometa_ws_event;
    to->follow = ngx_cometa_call_follow;
    to->ws_arrived = ngx_cometa_ws_offer_arrived;
    to->ws_tail = ngx_cometa_ws_arrive_tail;
    to->ws_late = ngx_cometa_ws_late;
    to->online = ngx_cometa_online;
}


/*
 * A device has attached: the calls that wait for it go on, and its new owner is
 * told how many WebSockets are open to it here.
 */

static void
ngx_cometa_online(ngx_cometa_mail_online_t *mail, ngx_cometa_key_t *key)
{
    ngx_cometa_call_attached(key);
    ngx_cometa_ws_listeners(key);
}


static void
ngx_cometa_deaths(void)
{
    ngx_cometa_depart_deaths();
    ngx_cometa_queue_deaths();
    ngx_cometa_call_deaths();
    ngx_cometa_ws_offer_deaths();
    ngx_cometa_ws_arrive_deaths();
    ngx_cometa_ws_late_deaths();
}


/*
 * This worker leaves. After a reload its devices and WebSockets move to the new
 * workers; those that cannot, for their TLS is this process's own, stay,
 * callable from the new workers, until they leave themselves, or
 * worker_shutdown_timeout has passed. If there is nobody to succeed it, nginx
 * stops: then all are told to go, so that it does not wait for them.
 */

static void
ngx_cometa_exiting(ngx_event_t *ev)
{
    ngx_cometa_zone.slots[ngx_cometa_zone.slot].draining = 1;

    if (!ngx_cometa_drained()) {
        ngx_cometa_drain_look(0);
    }
}


/*
 * A connection has come through the door. If this worker leaves and had nothing
 * left, nobody looks any more whether something has to go: begin again.
 */

static ngx_int_t
ngx_cometa_arrived(ngx_connection_t *c, u_char *data, size_t len)
{
    uint32_t   kind;
    ngx_int_t  rc;

    kind = 0;
    ngx_memcpy(&kind, data, ngx_min(len, sizeof(uint32_t)));

    switch (kind) {

    case NGX_COMETA_PARCEL_DEVICE:
        rc = ngx_cometa_arrive(c, data, len);
        break;

    case NGX_COMETA_PARCEL_WS:
        rc = ngx_cometa_ws_arrive(c, data, len);
        break;

    default: /* NGX_COMETA_PARCEL_OPENING */
        rc = ngx_cometa_ws_move_arrived(c, data, len);
    }

    if (ngx_exiting) {
        ngx_cometa_drain_look(0);
    }

    return rc;
}


static void
ngx_cometa_drain(ngx_event_t *ev)
{
    ngx_uint_t  n;

    if (ngx_cometa_drained()) {
        return;
    }

    if (!ngx_cometa_drain_is_overdue() && ngx_cometa_slot_successor()) {
        ngx_cometa_hand_over();
        return;
    }

    ngx_cometa_ws_depart_halt();
    ngx_cometa_async_give_up(ngx_cometa_drain_is_overdue());

    if (ngx_cometa_drain_is_overdue()) {
        ngx_cometa_ws_json_give_up();
    }

    n = ngx_cometa_drain_quota();

    (void) ngx_cometa_ws_release(n);
    (void) ngx_cometa_device_release(n);

    ngx_cometa_drain_events();

    ngx_cometa_drain_step();
}


/*
 * At a pace that leaves room for calls, and faster the more there is. What is
 * left when nothing more moves is looked at again and again: it may be able to
 * move later.
 */

static void
ngx_cometa_hand_over(void)
{
    ngx_int_t   devices, sockets;
    ngx_uint_t  n;

    static ngx_msec_t  wait = NGX_COMETA_HAND_OVER_LOOK;

    if (!ngx_cometa_fdpass_inherited()) {
        ngx_cometa_ws_depart_halt();
        ngx_cometa_drain_look(NGX_COMETA_DRAIN_LOOK);
        return;
    }

    devices = ngx_cometa_depart_step();
    sockets = ngx_cometa_ws_depart_step();

    if (devices == NGX_OK || sockets == NGX_OK) {
        ngx_cometa_drain_look(ngx_cometa_hand_over_pause());
        return;
    }

    if (devices == NGX_AGAIN || sockets == NGX_AGAIN) {
        wait = NGX_COMETA_HAND_OVER_LOOK;
        ngx_cometa_drain_look(NGX_COMETA_HAND_OVER_WAIT);
        return;
    }

    /* the new configuration has no location for these */

    n = ngx_cometa_drain_quota();

    ngx_cometa_depart_release(n);
    ngx_cometa_ws_depart_release(n);

    ngx_cometa_drain_look(wait);

    wait = ngx_min(2 * wait, NGX_COMETA_HAND_OVER_MOST);
}


/*
 * Between two steps. All workers, the old ones and the new ones, share the
 * cores: if each went on at once, calls would wait for all of them.
 */

static ngx_msec_t
ngx_cometa_hand_over_pause(void)
{
    static ngx_msec_t  pause = NGX_CONF_UNSET_MSEC;

    ngx_uint_t         n;

    if (pause == NGX_CONF_UNSET_MSEC) {
        n = ngx_cometa_device_count() + ngx_cometa_ws_count() + 1;

        pause = ngx_min(NGX_COMETA_HAND_OVER_TIME * NGX_COMETA_DEPART_BATCH / n,
                        NGX_COMETA_HAND_OVER_STEP);
    }

    return pause;
}


/* The last events are those of devices that have just been let go. */

static void
ngx_cometa_drain_events(void)
{
    static ngx_msec_t  since;

    if (ngx_cometa_device_count() || since == 0) {
        since = ngx_current_msec;
        return;
    }

    if (ngx_current_msec - since >= NGX_COMETA_DRAIN_EVENTS) {
        ngx_cometa_webhook_abandon();
    }
}


static ngx_uint_t
ngx_cometa_drained(void)
{
    return ngx_cometa_device_count() == 0
           && ngx_cometa_ws_count() == 0
           && ngx_cometa_ws_json_left() == 0
           && ngx_cometa_async_count() == 0
           && ngx_cometa_webhook_count() == 0;
}
