/*
 * The workers: what they do beside the files that are tested: attaches, their
 * start, turns of the event loop, and how they leave.
 */

#ifndef DEVICES_WORKER_H
#define DEVICES_WORKER_H


#include "devices_model.h"


static uint8_t  *world_parcel;          /* the last one, to be freed */


/* None of these devices asks. */

void
ngx_cometa_request(ngx_cometa_device_t *dev, u_char *data, size_t len)
{
    check(!"a request");
}


void
ngx_cometa_request_ready(ngx_cometa_device_t *dev)
{
    /* void */
}


void
ngx_cometa_request_closed(ngx_cometa_device_t *dev)
{
    /* void */
}


ngx_int_t
ngx_cometa_request_give_up(ngx_cometa_device_t *dev)
{
    return NGX_OK;
}


/* There is no TLS. */

#if (NGX_SSL)

ngx_int_t
ngx_ssl_shutdown(ngx_connection_t *c)
{
    return NGX_OK;
}


void
ngx_ssl_free_buffer(ngx_connection_t *c)
{
    /* void */
}


long
SSL_ctrl(SSL *ssl, int cmd, long larg, void *parg)
{
    return 0;
}

#endif


/* Devices: what the handlers of an attach do. */

static void
attach(unsigned how)
{
    static const uint16_t    depths[] = { 1, 1, 2, DEPTH };

    client_t                *client;
    ngx_str_t                info = ngx_string("info"), by = ngx_null_string;
    ngx_cometa_key_t         key;
    ngx_cometa_place_t       old;
    ngx_cometa_terms_t       terms;
    ngx_cometa_device_t     *dev;
    ngx_cometa_takeover_t    takeover = { .wanted = 1 };
    ngx_cometa_mail_head_t   from;

    if (nclients == CLIENTS || ngx_exiting) {
        return;
    }

    dev = ngx_cometa_device_create(&self->conf[how / 4 % 2]);
    if (dev == NULL) {
        return;
    }

    dev->state.sdk = how / 8 % 2;
    key_of(how % DEVICES, &key);

    memset(&terms, 0, sizeof(ngx_cometa_terms_t));
    terms.pipeline = depths[how / 16 % 4];
    terms.frames = how / 64 % 2;
    terms.heartbeat = how / 128 % 2 ? 2 : 0;

    if (ngx_cometa_device_info(dev, &info) != NGX_OK
        || ngx_cometa_asked_grant(dev, &terms) != NGX_OK
        || ngx_cometa_device_enter(dev, &key, &takeover, &old) != NGX_OK)
    {
        ngx_cometa_device_discard(dev);
        return;
    }

    client = &clients[nclients++];

    client->device = how % DEVICES;
    client->worker = self - workers;
    client->depth = depths[how / 16 % 4];
    client->frames = how / 64 % 2;
    client->opening = dev;
    client->socket.space = SIZE_MAX / 2;

    if (old.session) {
        ngx_cometa_queue_hold(dev);
        ngx_cometa_mail_evict(&old, 0, &by);
    }

    if (ngx_cometa_interest_any(key.hash)) {
        ngx_cometa_queue_hold(dev);
        ngx_cometa_owner_head(dev, &from);
        ngx_cometa_mail_online(&key, &from);
    }
}


/* Its answer was written, or could not be. */

static void
client_open(client_t *client, unsigned abandon)
{
    descriptor_t         *d;
    ngx_cometa_device_t  *dev;

    dev = client->opening;

    if (dev == NULL) {
        return;
    }

    world_enter(&workers[client->worker]);

    d = abandon ? NULL : world_descriptor(&client->socket);
    client->opening = NULL;

    if (d == NULL) {
        ngx_cometa_device_discard(dev);
        return;
    }

    client->socket.fds++;

    d->c.fd = client - clients;
    d->c.recv = world_recv;
    d->c.send = world_send;
    d->rev.active = 1;
    d->wev.active = 1;
    d->rev.ready = 1;
    d->wev.ready = 1;

    ngx_cometa_device_open(dev, &d->c, NULL, 0);
}


/* Workers */

static void
on_event(ngx_cometa_mail_event_t *mail, ngx_cometa_notice_t *notice)
{
    /* void */
}


static void
on_online(ngx_cometa_mail_online_t *mail, ngx_cometa_key_t *key)
{
    ngx_cometa_place_t  place;

    ngx_cometa_call_attached(key);

    /* as if there were WebSockets to it here */

    if (ngx_cometa_registry_find_in(0, key, &place) == NGX_OK) {
        ngx_cometa_mail_listeners(&place, 1);
    }
}


static void
on_deaths(void)
{
    ngx_cometa_depart_deaths();
    ngx_cometa_queue_deaths();
    ngx_cometa_call_deaths();
}


static void
on_exiting(ngx_event_t *ev)
{
    /* void */
}


static void
worker_handlers(void)
{
    ngx_cometa_mail_handlers_t  *to;

    to = &ngx_cometa_mail_handlers;

    to->call = ngx_cometa_queue_call;
    to->cancel = ngx_cometa_queue_cancel;
    to->query = ngx_cometa_owner_query;
    to->evict = ngx_cometa_owner_evict;
    to->listeners = ngx_cometa_owner_listeners;
    to->arrived = ngx_cometa_depart_arrived;
    to->reply = ngx_cometa_call_reply;
    to->fail = ngx_cometa_call_fail;
    to->queued = ngx_cometa_call_queued;
    to->written = ngx_cometa_call_written;
    to->event = on_event;
    to->follow = ngx_cometa_call_follow;
    to->online = on_online;
}


static void
worker_zone(uint32_t slot)
{
    ngx_cometa_zone.head = &world_head;
    ngx_cometa_zone.slots = world_slots;
    ngx_cometa_zone.interests = world_interests;
    ngx_cometa_zone.hearers = world_hearers;
    ngx_cometa_zone.apps = &world_app;
    ngx_cometa_zone.counters = &world_counters;
    ngx_cometa_zone.shards = world_shards;
    ngx_cometa_zone.buckets = world_buckets;
    ngx_cometa_zone.records = world_records;
    ngx_cometa_zone.rings = world_rings;
    ngx_cometa_zone.gauges = world_gauges;
    ngx_cometa_zone.slot = slot;
    ngx_cometa_zone.epoch = world_slots[slot].epoch;
    ngx_cometa_zone.claimed = 1;
}


static void
worker_conf(worker_t *w, ngx_uint_t locations)
{
    ngx_uint_t                 i;
    ngx_cometa_device_conf_t  *conf;

    for (i = 0; i < 2; i++) {
        conf = &w->conf[i];
        memset(conf, 0, sizeof(ngx_cometa_device_conf_t));

        conf->life.heartbeat = 1000;
        conf->life.timeout = TIMEOUT;
        conf->heartbeat_min = 1000;
        conf->heartbeat_max = 4000;
        conf->body_timeout = 500;
        conf->max_message = 64;
        conf->pipeline = DEPTH;
        conf->id = 100 + i;

        ngx_cometa_device_conf_init(conf, &w->log);
        w->confs[i] = conf;
    }

    ngx_cometa_arrive_start(w->confs, locations);
}


static void
worker_start(unsigned locations)
{
    int        i;
    worker_t  *w;

    world_death = 0;
    world_no_memory = 0;
    world_no_answer = 0;

    for (i = 0; i < WORLD_SLOTS; i++) {
        (void) ngx_cometa_slot_alive(i, world_slots[i].epoch);
    }

    for (i = 0; i < WORLD_SLOTS && workers[i].alive; i++) { /* void */ }

    if (i == WORLD_SLOTS) {
        return;
    }

    w = &workers[i];

    memcpy(w->memory, world_fresh, world_memory());
    world_enter(w);

    w->alive = 1;
    w->awake = 0;
    w->full = 0;
    w->posted = 1;
    w->pool = 0;
    w->log.log_level = NGX_LOG_INFO;

    memset(&world_gauges[i], 0, sizeof(ngx_cometa_gauges_t));
    cometa_ring_clear(&world_slots[i].ring);
    world_slots[i].pid = 1 + i;
    world_slots[i].draining = 0;
    world_slots[i].devices = 0;
    world_slots[i].generation = world_generation;

    worker_zone(i);
    ngx_queue_init(&ngx_posted_events);
    ngx_queue_init(&ngx_posted_next_events);
    ngx_cometa_turn_start(&world_cycle);
    worker_conf(w, locations);
    ngx_cometa_notify_start();
    ngx_cometa_queue_start();
    worker_handlers();

    check(ngx_cometa_reader_start(&world_cycle) == NGX_OK
          && ngx_cometa_interest_start(&world_cycle) == NGX_OK
          && ngx_cometa_call_start(&world_cycle) == NGX_OK
          && ngx_cometa_depart_start(&world_cycle) == NGX_OK
          && ngx_cometa_device_start(&world_cycle) == NGX_OK
          && ngx_cometa_mailbox_open(&world_cycle, ngx_cometa_mail_deliver,
                                     on_deaths, on_exiting)
             == NGX_OK);
}


/* A reload: all that are there leave, and so many come. */

static void
reload(unsigned n, unsigned locations)
{
    int  i;

    world_generation++;

    for (i = 0; i < WORLD_SLOTS; i++) {
        if (workers[i].alive) {
            world_enter(&workers[i]);
            ngx_exiting = 1;
            world_slots[i].draining = 1;
        }
    }

    while (n--) {
        worker_start(locations);
    }
}


/* What process.c does for a worker that leaves. */

static void
worker_leaves(void)
{
    int  i;

    if (!ngx_exiting) {
        return;
    }

    for (i = 0; i < WORLD_SLOTS; i++) {
        if (workers[i].alive && !world_slots[i].draining) {

            if (ngx_cometa_depart_step() == NGX_DONE) {
                ngx_cometa_depart_release(1);
            }

            return;
        }
    }

    (void) ngx_cometa_device_release(1);
}


static void
worker_posted(void)
{
    int           n;
    ngx_queue_t   posted;
    ngx_event_t  *ev;

    ngx_queue_init(&posted);

    if (!ngx_queue_empty(&ngx_posted_next_events)) {
        ngx_queue_add(&posted, &ngx_posted_next_events);
        ngx_queue_init(&ngx_posted_next_events);
    }

    for (n = 0; !ngx_queue_empty(&posted); n++) {
        check(n < WORLD_TURNS);
        ev = ngx_queue_data(ngx_queue_head(&posted), ngx_event_t, queue);
        ngx_delete_posted_event(ev);
        ev->handler(ev);
    }
}


/* What nginx does at the end of each turn of the event loop. */

static void
worker_turn_ends(void)
{
    ngx_event_t  *ev;

    while (!ngx_queue_empty(&ngx_posted_events)) {
        ev = ngx_queue_data(ngx_queue_head(&ngx_posted_events), ngx_event_t,
                            queue);
        ngx_delete_posted_event(ev);
        ev->handler(ev);
    }
}


static void
worker_mail(void)
{
    if (self->awake) {
        self->awake = 0;
        world_eventfd_read.handler(&world_eventfd_read);
    }
}


static void
worker_door(unsigned refuse)
{
    descriptor_t    *d;
    world_parcel_t   parcel;

    if (self->parcels == 0) {
        return;
    }

    d = refuse ? NULL : world_descriptor(self->door[0].socket);

    parcel = self->door[0];
    self->parcels--;
    memmove(&self->door[0], &self->door[1],
            self->parcels * sizeof(world_parcel_t));

    if (d) {
        d->c.fd = (client_t *) parcel.socket - clients;
        d->c.recv = world_recv;
        d->c.send = world_send;
        d->rev.ready = 1;
        d->wev.ready = 1;

    } else {
        world_socket_leave(parcel.socket);
    }

    free(world_parcel);
    world_parcel = parcel.data;

    (void) ngx_cometa_arrive(d ? &d->c : NULL, parcel.data, parcel.len);
}


/* What epoll reports. */

static int
worker_events(void)
{
    size_t         i;
    descriptor_t  *d;

    for (i = 0; i < self->ndescriptors; i++) {
        d = self->descriptors[i];

        if (d->in && d->rev.active) {
            d->in = 0;
            d->rev.ready = 1;
            d->rev.handler(&d->rev);
            return 1;
        }

        if (d->out && d->wev.active) {
            d->out = 0;
            d->wev.ready = 1;
            d->wev.handler(&d->wev);
            return 1;
        }
    }

    return 0;
}


static int
worker_timer(void)
{
    ngx_event_t  *ev;

    ev = world_due(self);

    if (ev == NULL) {
        return 0;
    }

    world_del_timer(ev);
    ev->timedout = 1;
    ev->handler(ev);

    return 1;
}


#endif /* DEVICES_WORKER_H */
