
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
#include "ngx_cometa_zone.h"

#include <sys/socket.h>


#define NGX_COMETA_FDPASS_BATCH  32   /* parcels in one turn */
#define NGX_COMETA_FDPASS_UNDERWAY  64  /* from this worker to another one */
#define NGX_COMETA_FDPASS_CROWD  1000 /* ms, between looks at `crowded` */
#define NGX_COMETA_FDPASS_AGAIN  1000 /* ms, when the door could not be read */
#define NGX_COMETA_FDPASS_FREE   16   /* one of so many connections is free */


/* A message of the kernel's, with room for one descriptor. */

typedef struct {
    struct msghdr       msg;
    struct iovec        iov;

    union {
        struct cmsghdr  cm;
        char            space[CMSG_SPACE(sizeof(int))];
    } control;
} ngx_cometa_envelope_t;


static ngx_uint_t ngx_cometa_fdpass_is_newer(ngx_cometa_slot_t *s);
static void ngx_cometa_fdpass_envelope(ngx_cometa_envelope_t *e,
    u_char *data, size_t len);
static ngx_int_t ngx_cometa_fdpass_send(ngx_cometa_slot_t *s, int fd,
    u_char *data, size_t len);
static void ngx_cometa_fdpass_event(ngx_event_t *rev);
static void ngx_cometa_fdpass_retry(ngx_event_t *ev);
static ngx_int_t ngx_cometa_fdpass_receive(int door);
static void ngx_cometa_fdpass_take(int fd, u_char *data, size_t len);
static void ngx_cometa_fdpass_none(u_char *data, size_t len, char *limit);
static void ngx_cometa_fdpass_report(ngx_cometa_throttle_t *throttle,
    ngx_log_t *log);
static ngx_uint_t ngx_cometa_fdpass_is_crowded(void);
static void ngx_cometa_fdpass_timer(ngx_event_t *ev);


static ngx_connection_t        *ngx_cometa_door;
static ngx_cometa_fdpass_pt   ngx_cometa_fdpass_handler;
static u_char                  *ngx_cometa_parcel;
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

    ngx_cometa_parcel = ngx_palloc(cycle->pool, NGX_COMETA_PARCEL_MAX);
    if (ngx_cometa_parcel == NULL) {
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

    if (ngx_cometa_fdpass_send(&ngx_cometa_zone.slots[slot], c->fd, data, len)
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

    rc = ngx_cometa_fdpass_send(s, c->fd, data, len);

    if (rc != NGX_OK) {
        return rc;
    }

    /* its successor does not take what was not meant for it */

    if (__atomic_load_n(&s->epoch, __ATOMIC_ACQUIRE) != epoch) {
        ngx_cometa_slot_forsaken(slot);
    }

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
ngx_cometa_fdpass_left(ngx_connection_t *c)
{
    /*
     * epoll knows the socket, not the descriptor: closing it would not do.
     * It does not know one that was accepted with its request.
     */

    if (ngx_del_conn && (c->read->active || c->write->active)) {
        (void) ngx_del_conn(c, 0);
    }

    ngx_close_connection(c);
}


/* A message with these bytes, and room for one descriptor. */

static void
ngx_cometa_fdpass_envelope(ngx_cometa_envelope_t *e, u_char *data, size_t len)
{
    ngx_memzero(e, sizeof(ngx_cometa_envelope_t));

    e->iov.iov_base = data;
    e->iov.iov_len = len;

    e->msg.msg_iov = &e->iov;
    e->msg.msg_iovlen = 1;
    e->msg.msg_control = &e->control;
    e->msg.msg_controllen = sizeof(e->control.space);
}


/* NGX_AGAIN: the door is full. */

static ngx_int_t
ngx_cometa_fdpass_send(ngx_cometa_slot_t *s, int fd, u_char *data, size_t len)
{
    struct cmsghdr         *cmsg;
    ngx_cometa_envelope_t   e;

    ngx_cometa_fdpass_envelope(&e, data, len);

    cmsg = &e.control.cm;
    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(sizeof(int));
    ngx_memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));

    return (sendmsg(s->door[1], &e.msg, MSG_NOSIGNAL) == -1) ? NGX_AGAIN
                                                           : NGX_OK;
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
    int                     fd;
    ssize_t                 n;
    struct cmsghdr         *cmsg;
    ngx_cometa_envelope_t   e;

    ngx_cometa_fdpass_envelope(&e, ngx_cometa_parcel, NGX_COMETA_PARCEL_MAX);

    n = recvmsg(door, &e.msg, MSG_CMSG_CLOEXEC);

    if (n == -1 && ngx_errno != NGX_EAGAIN) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, ngx_errno,
                      "connections that other workers pass to this one wait, "
                      "recvmsg() failed");
        return NGX_ERROR;
    }

    if (n <= 0) {
        return NGX_AGAIN;
    }

    cmsg = CMSG_FIRSTHDR(&e.msg);

    if (cmsg == NULL
        || cmsg->cmsg_level != SOL_SOCKET
        || cmsg->cmsg_type != SCM_RIGHTS
        || cmsg->cmsg_len != CMSG_LEN(sizeof(int)))
    {
        /* this process had no descriptor left: the kernel has closed it */

        ngx_cometa_fdpass_none(ngx_cometa_parcel, n, "worker_rlimit_nofile");
        return NGX_OK;
    }

    ngx_memcpy(&fd, CMSG_DATA(cmsg), sizeof(int));

    ngx_cometa_fdpass_take(fd, ngx_cometa_parcel, n);

    return NGX_OK;
}


static void
ngx_cometa_fdpass_take(int fd, u_char *data, size_t len)
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
        (void) close(fd);
        ngx_cometa_fdpass_none(data, len, "worker_connections");
        return;
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

    (void) ngx_cometa_fdpass_handler(c, data, len);
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
