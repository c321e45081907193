
/*
 * Connections that move to another worker. The sender keeps its copy of the
 * descriptor until the kernel has taken the parcel; from then on the connection
 * belongs to the addressee. Connections that lie in the door when the addressee
 * dies are closed.
 */

#include "ngx_cometa_fdpass.h"
#include "ngx_cometa_compat.h"
#include "ngx_cometa_throttle.h"
#include "ngx_cometa_channel.h"
#include "ngx_cometa_envelope.h"
#include "ngx_cometa_tls_pack.h"
#include "ngx_cometa_tls_state.h"
#include "ngx_cometa_zone.h"


#define NGX_COMETA_FDPASS_BATCH  32   /* parcels in one turn */
#define NGX_COMETA_FDPASS_UNDERWAY  64  /* from this worker to another one */
#define NGX_COMETA_FDPASS_CROWD  1000 /* ms, between looks at `crowded` */
#define NGX_COMETA_FDPASS_AGAIN  1000 /* ms, when the door could not be read */
#define NGX_COMETA_FDPASS_FREE   16   /* one of so many connections is free */


static ngx_uint_t ngx_cometa_fdpass_is_newer(ngx_cometa_slot_t *s);
static void ngx_cometa_fdpass_event(ngx_event_t *rev);
static void ngx_cometa_fdpass_retry(ngx_event_t *ev);
static ngx_int_t ngx_cometa_fdpass_receive(int door);
static void ngx_cometa_fdpass_take(ngx_cometa_envelope_t *e);
static ngx_connection_t *ngx_cometa_fdpass_connection(int fd, u_char *data,
    size_t len);
static void ngx_cometa_fdpass_none(u_char *data, size_t len, char *limit);
static void ngx_cometa_fdpass_report(ngx_cometa_throttle_t *throttle,
    ngx_log_t *log);
static ngx_uint_t ngx_cometa_fdpass_is_crowded(void);
static void ngx_cometa_fdpass_timer(ngx_event_t *ev);


static ngx_connection_t        *ngx_cometa_door;
static ngx_cometa_fdpass_pt   ngx_cometa_fdpass_handler;
static ngx_event_t              ngx_cometa_crowd;
static ngx_event_t              ngx_cometa_fdpass_again;
static char                    *ngx_cometa_fdpass_limit;    /* the last one */

static ngx_cometa_throttle_t    ngx_cometa_fdpass_throttle = {
    .handler = ngx_cometa_fdpass_report
};


ngx_int_t
ngx_cometa_fdpass_open(ngx_cycle_t *cycle, ngx_cometa_fdpass_pt handler)
{
    ngx_cometa_slot_t  *slot;

    slot = &ngx_cometa_zone.slots[ngx_cometa_zone.slot];

    ngx_cometa_fdpass_handler = handler;

    if (ngx_cometa_envelope_start(cycle, NGX_COMETA_PARCEL_MAX) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_cometa_door = ngx_cometa_channel_open(slot->door[0], cycle,
                                              ngx_cometa_fdpass_event);
    if (ngx_cometa_door == NULL) {
        return NGX_ERROR;
    }

    ngx_cometa_crowd.handler = ngx_cometa_fdpass_timer;
    ngx_cometa_crowd.data = ngx_cometa_door;
    ngx_cometa_crowd.log = cycle->log;
    ngx_cometa_crowd.cancelable = 1;

    ngx_cometa_fdpass_again.handler = ngx_cometa_fdpass_retry;
    ngx_cometa_fdpass_again.data = ngx_cometa_door;
    ngx_cometa_fdpass_again.log = cycle->log;
    ngx_cometa_fdpass_again.cancelable = 1;

    return NGX_OK;
}


void
ngx_cometa_fdpass_begin(ngx_cycle_t *cycle, uint32_t generation)
{
    ngx_core_conf_t    *ccf;
    ngx_cometa_slot_t  *slot;

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);
    slot = &ngx_cometa_zone.slots[ngx_cometa_zone.slot];

    slot->workers = ccf->worker_processes;
    slot->generation = generation;
}


void
ngx_cometa_fdpass_close(void)
{
    if (ngx_cometa_door) {
        ngx_cometa_channel_close(ngx_cometa_door);
        ngx_cometa_door = NULL;
    }
}


ngx_uint_t
ngx_cometa_fdpass_to(uint32_t slot, uint32_t epoch)
{
    ngx_cometa_slot_t  *own, *s;

    own = &ngx_cometa_zone.slots[ngx_cometa_zone.slot];
    s = &ngx_cometa_zone.slots[slot];

    return s != own
           && s->epoch == epoch
           && s->pid != 0
           && s->generation == own->generation
           && !s->draining
           && !s->crowded;
}


ngx_int_t
ngx_cometa_fdpass_heir(uint32_t *also, uint32_t *slot, uint32_t *epoch)
{
    uint32_t            i, load, least;
    ngx_int_t           rc;
    ngx_cometa_slot_t  *s;

    least = 0;
    rc = NGX_DECLINED;

    for (i = 0; i < ngx_cometa_zone.head->slots; i++) {
        s = &ngx_cometa_zone.slots[i];

        if (!ngx_cometa_fdpass_is_heir(i)) {
            continue;
        }

        /* one that stands still is not to keep the others waiting */

        if (also && also[i] >= NGX_COMETA_FDPASS_UNDERWAY) {
            continue;
        }

        load = s->devices + (also ? also[i] : 0);

        if (rc == NGX_OK && load >= least) {
            continue;
        }

        if (!ngx_cometa_slot_alive(i, s->epoch)) {
            continue;
        }

        rc = NGX_OK;
        least = load;
        *slot = i;
        *epoch = s->epoch;
    }

    return rc;
}


ngx_uint_t
ngx_cometa_fdpass_complete(void)
{
    uint32_t            i, n, newest, workers;
    ngx_cometa_slot_t  *s;

    newest = ngx_cometa_zone.slots[ngx_cometa_zone.slot].generation;
    workers = 0;
    n = 0;

    for (i = 0; i < ngx_cometa_zone.head->slots; i++) {
        s = &ngx_cometa_zone.slots[i];

        if (s->pid == 0 || (int32_t) (s->generation - newest) < 0) {
            continue;
        }

        if (s->generation != newest) {
            newest = s->generation;
            workers = s->workers;
            n = 0;
        }

        n++;
    }

    return n >= workers;
}


ngx_uint_t
ngx_cometa_fdpass_inherited(void)
{
    uint32_t            i;
    ngx_cometa_slot_t  *s;

    for (i = 0; i < ngx_cometa_zone.head->slots; i++) {
        s = &ngx_cometa_zone.slots[i];

        if (ngx_cometa_fdpass_is_newer(s)
            && ngx_cometa_slot_alive(i, s->epoch))
        {
            return 1;
        }
    }

    return 0;
}


ngx_uint_t
ngx_cometa_fdpass_is_heir(uint32_t slot)
{
    ngx_cometa_slot_t  *s;

    s = &ngx_cometa_zone.slots[slot];

    return ngx_cometa_fdpass_is_newer(s) && !s->crowded;
}


static ngx_uint_t
ngx_cometa_fdpass_is_newer(ngx_cometa_slot_t *s)
{
    return s->pid != 0
           && !s->draining
           && ngx_cometa_slot_newer(s->generation);
}


ngx_int_t
ngx_cometa_fdpass(uint32_t slot, uint32_t epoch, ngx_connection_t *c,
    u_char *data, size_t len)
{
    if (len > NGX_COMETA_PARCEL_MAX || !ngx_cometa_fdpass_to(slot, epoch)) {
        return NGX_DECLINED;
    }

    /* full, or no memory: the connection just stays */

    if (ngx_cometa_envelope_send(ngx_cometa_zone.slots[slot].door[1], c, data,
                                 len)
        != NGX_OK)
    {
        return NGX_DECLINED;
    }

    /*
     * The addressee left meanwhile, and its door was cleared too early for
     * ours. If it has a successor already, that one takes it in.
     */

    if (__atomic_load_n(&ngx_cometa_zone.slots[slot].epoch, __ATOMIC_ACQUIRE)
        != epoch)
    {
        ngx_cometa_slot_forsaken(slot);
    }

    ngx_cometa_fdpass_left(c);

    return NGX_OK;
}


ngx_int_t
ngx_cometa_fdpass_offer(uint32_t slot, uint32_t epoch, ngx_connection_t *c,
    u_char *data, size_t len)
{
    ngx_int_t           rc;
    ngx_cometa_slot_t  *s;

    s = &ngx_cometa_zone.slots[slot];

    if (len > NGX_COMETA_PARCEL_MAX || !ngx_cometa_slot_alive(slot, epoch)) {
        return NGX_DECLINED;
    }

    rc = ngx_cometa_envelope_send(s->door[1], c, data, len);

    if (rc != NGX_OK) {
        return rc;
    }

    /* its successor does not take what was not meant for it */

    if (__atomic_load_n(&s->epoch, __ATOMIC_ACQUIRE) != epoch) {
        ngx_cometa_slot_forsaken(slot);
    }

    ngx_cometa_tls_away(c, 1);

    if (c->read->posted) {
        ngx_delete_posted_event(c->read);
    }

    if (c->write->posted) {
        ngx_delete_posted_event(c->write);
    }

    if (ngx_del_conn && (c->read->active || c->write->active)) {
        (void) ngx_del_conn(c, 0);
    }

    return NGX_OK;
}


void
ngx_cometa_fdpass_back(ngx_connection_t *c)
{
    ngx_cometa_tls_away(c, 0);
}


void
ngx_cometa_fdpass_left(ngx_connection_t *c)
{
    ngx_cometa_tls_forget(c);

    /*
     * epoll knows the socket, not the descriptor: closing it would not do.
     * It does not know one that was accepted with its request.
     */

    if (ngx_del_conn && (c->read->active || c->write->active)) {
        (void) ngx_del_conn(c, 0);
    }

    ngx_close_connection(c);
}


static void
ngx_cometa_fdpass_event(ngx_event_t *rev)
{
    ngx_int_t          rc;
    ngx_uint_t         i;
    ngx_connection_t  *c;

    c = rev->data;
    rc = NGX_OK;

    for (i = 0; i < NGX_COMETA_FDPASS_BATCH && rc == NGX_OK; i++) {
        rc = ngx_cometa_fdpass_receive(c->fd);
    }

    ngx_cometa_fdpass_crowd();

    if (rc == NGX_OK) {
        ngx_post_event(rev, &ngx_posted_next_events);
    }

    if (rc == NGX_ERROR && !ngx_cometa_fdpass_again.timer_set) {
        ngx_add_timer(&ngx_cometa_fdpass_again, NGX_COMETA_FDPASS_AGAIN);
    }
}


/*
 * What lies in the door is announced once. If the kernel could not give it out,
 * its sender waits for an answer.
 */

static void
ngx_cometa_fdpass_retry(ngx_event_t *ev)
{
    if (ngx_cometa_door) {
        ngx_cometa_fdpass_event(ngx_cometa_door->read);
    }
}


/* NGX_AGAIN: there is no parcel. NGX_ERROR: there may be one. */

static ngx_int_t
ngx_cometa_fdpass_receive(int door)
{
    ngx_int_t              rc;
    ngx_cometa_envelope_t  e;

    rc = ngx_cometa_envelope_receive(door, &e);

    if (rc == NGX_OK) {
        ngx_cometa_fdpass_take(&e);
        ngx_cometa_envelope_wipe(&e);
    }

    return rc;
}


static void
ngx_cometa_fdpass_take(ngx_cometa_envelope_t *e)
{
    ngx_connection_t  *c;

    if (e->fd == -1) {
        ngx_cometa_fdpass_none(e->data, e->len, "worker_rlimit_nofile");
        return;
    }

    c = ngx_cometa_fdpass_connection(e->fd, e->data, e->len);

    if (c == NULL) {
        (void) close(e->fd);
        ngx_cometa_fdpass_none(e->data, e->len, "worker_connections");
        return;
    }

    if (e->tls && ngx_cometa_tls_unpack(c, e->tls, e->tls_len) != NGX_OK) {
        ngx_close_connection(c);
        ngx_cometa_fdpass_none(e->data, e->len, "worker_connections");
        return;
    }

    (void) ngx_cometa_fdpass_handler(c, e->data, e->len);
}


/* NULL: there is none for it. */

static ngx_connection_t *
ngx_cometa_fdpass_connection(int fd, u_char *data, size_t len)
{
    uint32_t           kind;
    ngx_connection_t  *c;

    c = NULL;
    kind = 0;
    ngx_memcpy(&kind, data, ngx_min(len, sizeof(uint32_t)));

    /* many may be under way to us before they hear that we are crowded */

    if (ngx_cycle->free_connection_n
        && (kind == NGX_COMETA_PARCEL_OPENING
            || !ngx_cometa_fdpass_is_crowded()))
    {
        c = ngx_get_connection(fd, ngx_cycle->log);
    }

    if (c == NULL) {
        return NULL;
    }

    c->type = SOCK_STREAM;
    c->recv = ngx_recv;
    c->send = ngx_send;
    c->recv_chain = ngx_recv_chain;
    c->send_chain = ngx_send_chain;
    c->log_error = NGX_ERROR_INFO;
    c->number = ngx_atomic_fetch_add(ngx_connection_counter, 1);
    c->start_time = ngx_current_msec;

    c->log = ngx_cycle->log;
    c->read->log = ngx_cycle->log;
    c->write->log = ngx_cycle->log;

    /* epoll does not watch it yet, but does when all has been read */

    c->read->ready = 1;
    c->write->ready = 1;

    return c;
}


/* This worker cannot take it; if its sender has kept nothing, it is lost. */

static void
ngx_cometa_fdpass_none(u_char *data, size_t len, char *limit)
{
    if (ngx_cometa_fdpass_handler(NULL, data, len) == NGX_OK) {
        return;
    }

#if (NGX_STAT_STUB)
    (void) ngx_atomic_fetch_add(ngx_stat_active, -1);
#endif

    ngx_cometa_fdpass_limit = limit;

    ngx_cometa_throttle(&ngx_cometa_fdpass_throttle, ngx_cycle->log);
}


static void
ngx_cometa_fdpass_report(ngx_cometa_throttle_t *throttle, ngx_log_t *log)
{
    ngx_log_error(NGX_LOG_ERR, log, 0,
                  "%ui websockets that other workers passed to this one were "
                  "closed, raise \"%s\"", throttle->n,
                  ngx_cometa_fdpass_limit);
}


/*
 * This worker is crowded when as few connections are free as make nginx close
 * idle ones: the rest is for connections that it accepts.
 */

static ngx_uint_t
ngx_cometa_fdpass_is_crowded(void)
{
    return ngx_cycle->free_connection_n
           < ngx_cycle->connection_n / NGX_COMETA_FDPASS_FREE;
}


void
ngx_cometa_fdpass_crowd(void)
{
    ngx_cometa_slot_t  *slot;

    slot = &ngx_cometa_zone.slots[ngx_cometa_zone.slot];

    slot->crowded = ngx_cometa_fdpass_is_crowded();

    if (slot->crowded && !ngx_cometa_crowd.timer_set) {
        ngx_add_timer(&ngx_cometa_crowd, NGX_COMETA_FDPASS_CROWD);
    }
}


static void
ngx_cometa_fdpass_timer(ngx_event_t *ev)
{
    ngx_cometa_fdpass_crowd();
}
