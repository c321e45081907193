/*
 * What workers of devices_world.h see of nginx and of the rest of the module:
 * sockets, doors, timers, and functions that do nothing here.
 */

#ifndef DEVICES_STUBS_H
#define DEVICES_STUBS_H


#include "devices_world.h"


/* Sockets */

static descriptor_t *
world_descriptor(socket_t *s)
{
    descriptor_t  *d;

    d = ngx_calloc(sizeof(descriptor_t), NULL);
    if (d == NULL) {
        return NULL;
    }

    d->socket = s;
    d->addr.sa_family = AF_UNIX;
    d->c.sockaddr = &d->addr;
    d->c.read = &d->rev;
    d->c.write = &d->wev;
    d->c.log = &self->log;
    d->rev.data = &d->c;
    d->wev.data = &d->c;
    d->wev.write = 1;
    d->rev.log = &self->log;
    d->wev.log = &self->log;

    self->descriptors[self->ndescriptors++] = d;

    return d;
}


static descriptor_t *
world_of(ngx_connection_t *c)
{
    return (descriptor_t *) c;
}


/* Something has changed at the other end: epoll reports it once. */

static void
world_edge(socket_t *s)
{
    size_t         i, j;
    descriptor_t  *d;

    for (i = 0; i < WORLD_SLOTS; i++) {
        for (j = 0; j < workers[i].ndescriptors; j++) {
            d = workers[i].descriptors[j];

            if (d->socket == s) {
                d->in = 1;
                d->out = (s->space > 0 || s->broken);
            }
        }
    }
}


/* Who reads is the only one who would be told that there is more. */

static void
world_reads(socket_t *s)
{
    size_t         i, j;
    descriptor_t  *d;

    for (i = 0; i < WORLD_SLOTS; i++) {
        for (j = 0; workers[i].alive && j < workers[i].ndescriptors; j++) {
            d = workers[i].descriptors[j];
            check(d->socket != s || !d->rev.active || &workers[i] == self);
        }
    }
}


static ssize_t
world_recv(ngx_connection_t *c, u_char *data, size_t size)
{
    size_t     n;
    socket_t  *s;

    world_mortal();

    s = world_of(c)->socket;
    world_reads(s);
    n = ngx_min(size, s->there - s->read);

    if (n == 0) {
        if (s->there == s->len && s->fin) {
            return (s->fin > 1) ? NGX_ERROR : 0;
        }

        c->read->ready = 0;
        return NGX_AGAIN;
    }

    memcpy(data, s->in + s->read, n);
    s->read += n;

    if (n < size && !s->fin) {
        c->read->ready = 0;
    }

    return n;
}


/* Bytes that the other end gets; in fuzz_devices.c. */
static void world_received(descriptor_t *d, uint8_t *data, size_t len,
    int more);


static ssize_t
world_send(ngx_connection_t *c, u_char *data, size_t len)
{
    size_t     n;
    socket_t  *s;

    world_mortal();

    s = world_of(c)->socket;

    if (s->broken) {
        return NGX_ERROR;
    }

    n = ngx_min(len, s->space);

    if (n < len) {
        c->write->ready = 0;
    }

    s->space -= n;
    world_received(world_of(c), data, n, n < len);

    return n ? (ssize_t) n : NGX_AGAIN;
}


static int
world_shutdown(int fd, int how)
{
    size_t  i;

    for (i = 0; i < self->ndescriptors; i++) {
        if (self->descriptors[i]->c.fd == fd) {
            self->descriptors[i]->socket->broken = 1;
        }
    }

    return 0;
}


/* As ngx_handle_read_event() for edges: epoll reports what is there already. */

ngx_int_t
ngx_handle_read_event(ngx_event_t *rev, ngx_uint_t flags)
{
    if (!rev->active && !rev->ready) {
        rev->active = 1;
        world_of(rev->data)->in = 1;
    }

    return NGX_OK;
}


ngx_int_t
ngx_handle_write_event(ngx_event_t *wev, size_t lowat)
{
    if (!wev->active && !wev->ready) {
        wev->active = 1;
        world_of(wev->data)->out = (world_of(wev->data)->socket->space > 0);
    }

    return NGX_OK;
}


void
ngx_close_connection(ngx_connection_t *c)
{
    size_t         i;
    descriptor_t  *d;

    d = world_of(c);

    if (c->read->posted) {
        ngx_delete_posted_event(c->read);
    }

    if (c->write->posted) {
        ngx_delete_posted_event(c->write);
    }

    for (i = 0; self->descriptors[i] != d; i++) { /* void */ }

    self->descriptors[i] = self->descriptors[--self->ndescriptors];

    world_socket_leave(d->socket);
    world_free(d);
}


void
ngx_cometa_fdpass_back(ngx_connection_t *c)
{
    /* void */
}


void
ngx_cometa_fdpass_left(ngx_connection_t *c)
{
    ngx_close_connection(c);
}


/* Doors */

ngx_int_t
ngx_cometa_fdpass_offer(uint32_t slot, uint32_t epoch, ngx_connection_t *c,
    u_char *data, size_t len)
{
    worker_t        *w;
    world_parcel_t  *parcel;

    world_mortal();

    w = &workers[slot];

    if (!ngx_cometa_slot_alive(slot, epoch)) {
        return NGX_DECLINED;
    }

    if (w->parcels == WORLD_DOOR) {
        return NGX_AGAIN;
    }

    parcel = &w->door[w->parcels++];
    parcel->data = malloc(len);
    parcel->len = len;
    parcel->socket = world_of(c)->socket;
    parcel->socket->fds++;
    memcpy(parcel->data, data, len);

    if (c->read->posted) {
        ngx_delete_posted_event(c->read);
    }

    if (c->write->posted) {
        ngx_delete_posted_event(c->write);
    }

    c->read->active = 0;
    c->write->active = 0;

    world_mortal();

    return NGX_OK;
}


ngx_int_t
ngx_cometa_fdpass_heir(uint32_t *also, uint32_t *slot, uint32_t *epoch)
{
    uint32_t   i, n, least;
    ngx_int_t  rc;

    rc = NGX_DECLINED;
    least = 0;

    for (i = 0; i < WORLD_SLOTS; i++) {

        if (!workers[i].alive || workers[i].full || world_slots[i].draining
            || world_slots[i].generation != world_generation)
        {
            continue;
        }

        n = world_slots[i].devices + also[i];

        if (rc != NGX_OK || n < least) {
            rc = NGX_OK;
            least = n;
            *slot = i;
            *epoch = world_slots[i].epoch;
        }
    }

    return rc;
}


ngx_uint_t
ngx_cometa_fdpass_complete(void)
{
    return 1;
}


/* An answer to an offer, which may be lost. */

static void
world_mail_arrived(uint32_t slot, uint32_t epoch, uint32_t type,
    ngx_cometa_mail_arrived_t *mail)
{
    if (world_no_answer && --world_no_answer == 0) {
        return;
    }

    ngx_cometa_mail_arrived(slot, epoch, type, mail);
}


/* Timers */

static void
world_add_timer(ngx_event_t *ev, ngx_msec_t ms)
{
    ngx_msec_t      key;
    ngx_msec_int_t  diff;

    key = ngx_current_msec + ms;

    if (ev->timer_set) {

        /* as nginx does: near enough */

        diff = (ngx_msec_int_t) (key - ev->timer.key);

        if (ngx_abs(diff) < NGX_TIMER_LAZY_DELAY) {
            return;
        }

        world_del_timer(ev);
    }

    check(self->ntimers < WORLD_TIMERS);

    ev->timer.key = key;
    ev->timer_set = 1;
    self->timers[self->ntimers++] = ev;
}


static void
world_del_timer(ngx_event_t *ev)
{
    size_t  i;

    for (i = 0; self->timers[i] != ev; i++) {
        check(i < self->ntimers);
    }

    self->timers[i] = self->timers[--self->ntimers];
    ev->timer_set = 0;
}


/* The earliest one that is due. NULL: none is. */

static ngx_event_t *
world_due(worker_t *w)
{
    size_t        i;
    ngx_event_t  *ev;

    ev = NULL;

    for (i = 0; i < w->ntimers; i++) {
        if ((ngx_msec_int_t) (w->timers[i]->timer.key - ngx_current_msec) <= 0
            && (ev == NULL || (ngx_msec_int_t) (w->timers[i]->timer.key
                                                - ev->timer.key) < 0))
        {
            ev = w->timers[i];
        }
    }

    return ev;
}


/* Whether a turn of its event loop would do anything. */

static int
world_busy(worker_t *w)
{
    size_t         i;
    descriptor_t  *d;

    for (i = 0; i < w->ndescriptors; i++) {
        d = w->descriptors[i];

        if ((d->in && d->rev.active) || (d->out && d->wev.active)) {
            return 1;
        }
    }

    return w->awake || w->posted || w->parcels || world_due(w);
}


/* The rest of nginx and of the module */

static uint8_t  world_said[256];

void
ngx_log_error_core(ngx_uint_t level, ngx_log_t *log, ngx_err_t err,
    const char *fmt, ...)
{
    if (level <= NGX_LOG_ALERT) {
        fprintf(stderr, "%s\n", fmt);
    }

    if (log->handler) {
        (void) log->handler(log, world_said, sizeof(world_said));
    }
}


u_char * ngx_cdecl
ngx_snprintf(u_char *buf, size_t max, const char *fmt, ...)
{
    return buf;
}


u_char * ngx_cdecl
ngx_sprintf(u_char *buf, const char *fmt, ...)
{
    return buf;
}


ngx_log_t *
ngx_cometa_trace_log(void)
{
    return &self->log;
}


void
ngx_cometa_address_set(ngx_cometa_address_t *addr, struct sockaddr *sa)
{
    memset(addr, 0, sizeof(ngx_cometa_address_t));
}


size_t
ngx_cometa_address_text(ngx_cometa_address_t *addr, u_char *text,
    ngx_uint_t port)
{
    return 0;
}


/* All devices are of one application. */

uint32_t
ngx_cometa_app_keep(ngx_str_t *name, ngx_uint_t create, size_t gauge)
{
    ngx_cometa_gauge_move((uint64_t *) ((u_char *) ngx_cometa_gauges(
                                            ngx_cometa_zone.slot, 0) + gauge),
                          1);

    return 0;
}


uint32_t
ngx_cometa_app(ngx_str_t *name, ngx_uint_t create)
{
    return 0;
}


ngx_cometa_counters_t *
ngx_cometa_stats(uint32_t app)
{
    check(app == 0);

    return &world_counters;
}


/* This world has no room for devices that have left. */

void
ngx_cometa_key_init(ngx_cometa_key_t *key)
{
    check(!"nobody has left");
}


/* No application of this world has a bound. */

void
ngx_cometa_stats_lock(void)
{
    check(!"no bound");
}


/* As in ngx_cometa_stats.c; here nobody else is between two steps of it. */

ngx_int_t
ngx_cometa_stats_taken(uint32_t app, uint32_t slot, uint32_t epoch, int n)
{
    check(app == 0);

    if (world_slots[slot].epoch != epoch
        || (n < 0 && world_gauges[slot].taken == 0))
    {
        return NGX_DECLINED;
    }

    world_gauges[slot].taken += n;

    return NGX_OK;
}


void
ngx_cometa_stats_latency(uint32_t app, uint64_t us)
{
    /* void */
}


ngx_connection_t *
ngx_cometa_channel_open(int fd, ngx_cycle_t *cycle,
    ngx_event_handler_pt handler)
{
    world_eventfd.read = &world_eventfd_read;
    world_eventfd_read.data = &world_eventfd;
    world_eventfd_read.handler = handler;

    return &world_eventfd;
}


void
ngx_cometa_channel_close(ngx_connection_t *c)
{
    /* void */
}


void
ngx_cometa_drain_overdue(void)
{
    /* void */
}


void
ngx_cometa_webhook_push(struct ngx_cometa_webhook_conf_s *conf,
    ngx_cometa_device_t *dev, ngx_cometa_news_t *news)
{
    /* void */
}


ngx_uint_t
ngx_cometa_lane_exists(struct ngx_cometa_webhook_conf_s *conf, uint64_t hash)
{
    return 0;
}


void
ngx_http_close_connection(ngx_connection_t *c)
{
    check(!"no connection has a pool");
}


#endif /* DEVICES_STUBS_H */
