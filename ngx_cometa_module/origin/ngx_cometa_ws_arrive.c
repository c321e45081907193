
/*
 * WebSockets that arrive. State of this process: those whose tail has not come
 * yet. They are among the sockets of their device already, but have no
 * connection, so that what they hear is kept. One whose tail is not waited for
 * any more is kept in mind until it comes or its old worker ends: another
 * parcel with the same connection may be on its way, and is not to be taken in.
 */

#include "ngx_cometa_ws_arrive.h"
#include "ngx_cometa.h"
#include "ngx_cometa_compat.h"
#include "ngx_cometa_bytes.h"
#include "ngx_cometa_debug.h"
#include "ngx_cometa_ws.h"
#include "ngx_cometa_ws_event.h"
#include "ngx_cometa_ws_group.h"
#include "ngx_cometa_ws_late.h"
#include "ngx_cometa_ws_parcel.h"
#include "ngx_cometa_ws_read.h"
#include "ngx_cometa_fdpass.h"
#include "ngx_cometa_mail.h"
#include "ngx_cometa_slot.h"
#include "ngx_cometa_zone.h"


#define NGX_COMETA_ARRIVALS  1024
#define NGX_COMETA_WS_TAIL   15000      /* ms that it is waited for */


typedef struct {
    ngx_uint_t           used;
    ngx_cometa_ws_t     *socket;        /* NULL: it is open */
    ngx_connection_t    *connection;
    ngx_cometa_bytes_t  *head;          /* output of before its own */
    uint64_t             serial;
    uint32_t             slot;          /* of its old worker */
    uint32_t             epoch;
    uint32_t             app;
    ngx_event_t          timer;
    ngx_sockaddr_t       addr;
} ngx_cometa_arrival_t;


static ngx_int_t ngx_cometa_ws_arrive_read(ngx_cometa_ws_parcel_t *parcel,
    u_char *data, size_t len);
static ngx_uint_t ngx_cometa_ws_arrive_take(ngx_connection_t *c,
    ngx_cometa_ws_parcel_t *parcel, u_char *data,
    ngx_cometa_arrival_t **arrival);
static ngx_cometa_ws_conf_t *ngx_cometa_ws_arrive_location(uint64_t id);
static void ngx_cometa_ws_arrive_wait(ngx_cometa_arrival_t *a,
    ngx_connection_t *c, socklen_t socklen);
static ngx_cometa_arrival_t *ngx_cometa_ws_arrival_get(void);
static ngx_cometa_arrival_t *ngx_cometa_ws_arrival_find(
    ngx_cometa_ws_parcel_t *parcel);
static void ngx_cometa_ws_arrival_free(ngx_cometa_arrival_t *a);
static ngx_cometa_ws_t *ngx_cometa_ws_arrive_socket(
    ngx_cometa_ws_conf_t *conf, ngx_cometa_ws_parcel_t *parcel, u_char *p,
    ngx_cometa_bytes_t **head);
static ngx_int_t ngx_cometa_ws_arrive_bytes(ngx_cometa_bytes_t **bytes,
    u_char **p, size_t len);
static void ngx_cometa_ws_arrive_open(ngx_cometa_arrival_t *a);
static void ngx_cometa_ws_arrive_late(ngx_event_t *ev);
static void ngx_cometa_ws_arrive_event(ngx_event_t *ev);


static ngx_cometa_ws_conf_t  **ngx_cometa_ws_locations;
static ngx_uint_t              ngx_cometa_ws_locations_n;

static ngx_cometa_arrival_t   *ngx_cometa_arrivals;
static ngx_uint_t              ngx_cometa_arrivals_n;


void
ngx_cometa_ws_arrive_start(ngx_cometa_ws_conf_t **confs, ngx_uint_t n)
{
    ngx_cometa_ws_locations = confs;
    ngx_cometa_ws_locations_n = n;
}


ngx_int_t
ngx_cometa_ws_arrive(ngx_connection_t *c, u_char *data, size_t len)
{
    ngx_cometa_arrival_t       *a;
    ngx_cometa_ws_parcel_t      parcel;
    ngx_cometa_mail_arrived_t   answer;

    /* not for us, but for who had this slot before: the sender knows */

    if (ngx_cometa_ws_arrive_read(&parcel, data, len) != NGX_OK) {

        if (c) {
            ngx_cometa_fdpass_left(c);
        }

        return NGX_OK;
    }

    ngx_memzero(&answer, sizeof(ngx_cometa_mail_arrived_t));

    answer.head.session = parcel.serial;
    answer.index = parcel.index;
    answer.slot = ngx_cometa_zone.slot;
    answer.epoch = ngx_cometa_zone.epoch;

    a = parcel.again ? ngx_cometa_ws_arrival_find(&parcel) : NULL;

    if (a) {
        answer.rc = NGX_COMETA_ARRIVED;

    } else {
        data += sizeof(ngx_cometa_ws_parcel_t);
        answer.rc = ngx_cometa_ws_arrive_take(c, &parcel, data, &a);

        if (a) {
            c = NULL;
        }
    }

    if (a) {
        answer.handle = a - ngx_cometa_arrivals;
        answer.head.app = a->app;
    }

    if (c) {
        ngx_cometa_fdpass_left(c);
    }

    ngx_cometa_mail_arrived(parcel.from_slot, parcel.from_epoch,
                            NGX_COMETA_MAIL_WS_ARRIVED, &answer);

    return NGX_OK;
}


static ngx_int_t
ngx_cometa_ws_arrive_read(ngx_cometa_ws_parcel_t *parcel, u_char *data,
    size_t len)
{
    size_t  size;

    size = sizeof(ngx_cometa_ws_parcel_t);

    if (len < size) {
        return NGX_ERROR;
    }

    ngx_memcpy(parcel, data, size);

    if (parcel->epoch != ngx_cometa_zone.epoch
        || parcel->address > sizeof(struct sockaddr_in6)
        || parcel->app > NGX_COMETA_ID_MAX
        || parcel->device > NGX_COMETA_ID_MAX
        || parcel->mode.prefix_len > NGX_COMETA_ID_MAX
        || size + parcel->address + parcel->app + parcel->device
           + (size_t) parcel->message + parcel->control + parcel->rest
           + parcel->output != len)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_cometa_ws_arrive_take(ngx_connection_t *c, ngx_cometa_ws_parcel_t *parcel,
    u_char *data, ngx_cometa_arrival_t **arrival)
{
    ngx_cometa_bytes_t    *head;
    ngx_cometa_arrival_t  *a;
    ngx_cometa_ws_conf_t  *conf;

    if (c == NULL || ngx_exiting) {
        return NGX_COMETA_ARRIVE_LATER;
    }

    /* it may have been taken before, and have opened when its sender ended */

    if (parcel->again
        && !ngx_cometa_slot_alive(parcel->from_slot, parcel->from_epoch))
    {
        return NGX_COMETA_ARRIVE_LATER;
    }

    conf = ngx_cometa_ws_arrive_location(parcel->location);
    if (conf == NULL) {
        return NGX_COMETA_ARRIVE_NEVER;
    }

    a = ngx_cometa_ws_arrival_get();
    if (a == NULL) {
        return NGX_COMETA_ARRIVE_LATER;
    }

    head = NULL;

    a->socket = ngx_cometa_ws_arrive_socket(conf, parcel,
                                            data + parcel->address, &head);
    if (a->socket == NULL) {
        ngx_cometa_bytes_free(&head);
        return NGX_COMETA_ARRIVE_LATER;
    }

    ngx_cometa_arrivals_n++;

    a->used = 1;
    a->app = a->socket->group->app;
    a->head = head;
    a->serial = parcel->serial;
    a->slot = parcel->from_slot;
    a->epoch = parcel->from_epoch;

    if (parcel->debug) {
        a->socket->debug = 1;
    }

    ngx_memcpy(&a->addr, data, parcel->address);
    ngx_cometa_ws_arrive_wait(a, c, parcel->address);

    *arrival = a;

    return NGX_COMETA_ARRIVED;
}


/* The connection rests until the tail comes. */

static void
ngx_cometa_ws_arrive_wait(ngx_cometa_arrival_t *a, ngx_connection_t *c,
    socklen_t socklen)
{
    a->connection = c;
    c->sockaddr = &a->addr.sockaddr;
    c->socklen = socklen;

    /* epoll does not know it; worker_shutdown_timeout does */

    c->read->handler = ngx_cometa_ws_arrive_event;
    c->write->handler = ngx_cometa_ws_arrive_event;

    a->timer.handler = ngx_cometa_ws_arrive_late;
    a->timer.data = a;
    a->timer.log = ngx_cycle->log;

    ngx_add_timer(&a->timer, NGX_COMETA_WS_TAIL);
}


/* As a rule the one that was asked for last. */

static ngx_cometa_ws_conf_t *
ngx_cometa_ws_arrive_location(uint64_t id)
{
    static ngx_uint_t  last;

    ngx_uint_t         i, n;

    for (i = 0; i < ngx_cometa_ws_locations_n; i++) {
        n = (last + i) % ngx_cometa_ws_locations_n;

        if (ngx_cometa_ws_locations[n]->id == id) {
            last = n;
            return ngx_cometa_ws_locations[n];
        }
    }

    return NULL;
}


/* A free place; NULL: there is none, or no memory. */

static ngx_cometa_arrival_t *
ngx_cometa_ws_arrival_get(void)
{
    static ngx_uint_t  next;

    ngx_uint_t         i;

    if (ngx_cometa_arrivals == NULL) {
        ngx_cometa_arrivals = ngx_calloc(NGX_COMETA_ARRIVALS
                                         * sizeof(ngx_cometa_arrival_t),
                                         ngx_cycle->log);
        if (ngx_cometa_arrivals == NULL) {
            return NULL;
        }
    }

    for (i = 0; i < NGX_COMETA_ARRIVALS; i++) {
        next = (next + 1) % NGX_COMETA_ARRIVALS;

        if (!ngx_cometa_arrivals[next].used) {
            return &ngx_cometa_arrivals[next];
        }
    }

    return NULL;
}


/* The one that an earlier parcel of this offer has brought. */

static ngx_cometa_arrival_t *
ngx_cometa_ws_arrival_find(ngx_cometa_ws_parcel_t *parcel)
{
    ngx_uint_t             i;
    ngx_cometa_arrival_t  *a;

    for (i = 0; i < NGX_COMETA_ARRIVALS && ngx_cometa_arrivals_n; i++) {
        a = &ngx_cometa_arrivals[i];

        if (a->used
            && a->serial == parcel->serial
            && a->slot == parcel->from_slot
            && a->epoch == parcel->from_epoch)
        {
            return a;
        }
    }

    return NULL;
}


static void
ngx_cometa_ws_arrival_free(ngx_cometa_arrival_t *a)
{
    a->used = 0;
    ngx_cometa_arrivals_n--;
}


/* NULL: no memory. From now on it hears of its device. */

static ngx_cometa_ws_t *
ngx_cometa_ws_arrive_socket(ngx_cometa_ws_conf_t *conf,
    ngx_cometa_ws_parcel_t *parcel, u_char *p, ngx_cometa_bytes_t **head)
{
    ngx_cometa_ws_t   *s;
    ngx_cometa_key_t   key;

    key.app.data = p;
    key.app.len = parcel->app;
    p += parcel->app;

    key.device.data = p;
    key.device.len = parcel->device;
    p += parcel->device;

    ngx_cometa_key_init(&key);

    /* what was heard here before is told by the old worker */

    ngx_cometa_ws_event_flush();

    s = ngx_cometa_ws_create(conf, &key, &parcel->mode);
    if (s == NULL) {
        return NULL;
    }

    s->io.codec = parcel->codec;

    if (ngx_cometa_ws_arrive_bytes(&s->io.message, &p, parcel->message)
        != NGX_OK
        || ngx_cometa_ws_arrive_bytes(&s->io.control, &p, parcel->control)
           != NGX_OK
        || ngx_cometa_ws_arrive_bytes(&s->io.rest, &p, parcel->rest) != NGX_OK
        || ngx_cometa_ws_arrive_bytes(head, &p, parcel->output) != NGX_OK)
    {
        ngx_cometa_ws_discard(s);
        return NULL;
    }

    return s;
}


static ngx_int_t
ngx_cometa_ws_arrive_bytes(ngx_cometa_bytes_t **bytes, u_char **p, size_t len)
{
    if (len == 0) {
        return NGX_OK;
    }

    *p += len;

    return ngx_cometa_bytes_add(bytes, *p - len, len);
}


void
ngx_cometa_ws_arrive_tail(ngx_cometa_mail_ws_tail_t *mail, u_char *data,
    size_t len)
{
    ngx_cometa_arrival_t  *a;

    if (ngx_cometa_arrivals == NULL || mail->index >= NGX_COMETA_ARRIVALS) {
        return;
    }

    a = &ngx_cometa_arrivals[mail->index];

    if (!a->used || a->serial != mail->head.session) {
        return;
    }

    if (len && a->socket
        && ngx_cometa_bytes_add(&a->head, data, len) != NGX_OK)
    {
        a->connection->error = 1;
    }

    if (mail->end > 1 && a->socket) {
        ngx_cometa_ws_late_wait(a->socket, a->slot, a->epoch, a->serial,
                                mail->end - 1);
    }

    if (mail->end) {
        ngx_cometa_ws_arrive_open(a);
        ngx_cometa_ws_arrival_free(a);
    }
}


/*
 * What came before its own output is written before it. One that is open
 * already is left alone.
 */

static void
ngx_cometa_ws_arrive_open(ngx_cometa_arrival_t *a)
{
    ngx_cometa_ws_t     *s;
    ngx_connection_t    *c;
    ngx_cometa_bytes_t  *own;

    s = a->socket;
    c = a->connection;

    if (s == NULL) {
        return;
    }

    a->socket = NULL;

    if (a->timer.timer_set) {
        ngx_del_timer(&a->timer);
    }

    own = s->io.output;

    if (a->head) {

        if (own && ngx_cometa_bytes_add(&a->head, own->data + own->pos,
                                        own->len - own->pos)
                   != NGX_OK)
        {
            c->error = 1;
        }

        ngx_cometa_bytes_free(&s->io.output);
        s->io.output = a->head;
        a->head = NULL;
    }

    if (c->error) {
        ngx_cometa_ws_discard(s);
        ngx_cometa_connection_close(c, 1);
        return;
    }

    ngx_cometa_ws_open(s, c, NULL, 0);
}


void
ngx_cometa_ws_arrive_deaths(void)
{
    ngx_uint_t             i;
    ngx_cometa_arrival_t  *a;

    for (i = 0; i < NGX_COMETA_ARRIVALS && ngx_cometa_arrivals_n; i++) {
        a = &ngx_cometa_arrivals[i];

        if (a->used && !ngx_cometa_slot_alive(a->slot, a->epoch)) {
            ngx_cometa_ws_arrive_open(a);
            ngx_cometa_ws_arrival_free(a);
        }
    }
}


/* The tail was lost, for mailboxes were full. */

static void
ngx_cometa_ws_arrive_late(ngx_event_t *ev)
{
    ngx_cometa_ws_arrive_open(ev->data);
}


/* It goes when its turn comes. */

static void
ngx_cometa_ws_arrive_event(ngx_event_t *ev)
{
    ngx_connection_t  *c;

    c = ev->data;

    c->close = 0;
    c->error = 0;
}
