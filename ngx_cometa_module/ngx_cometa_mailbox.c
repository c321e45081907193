
/*
 * Mail between workers. Lock: `mail` of the addressee's slot, held by a
 * sender while it copies one message. The reader takes no lock.
 *
 * Going to sleep without losing a wake-up: the reader says `sleeping`, and
 * then looks once more; a sender posts, and then looks at `sleeping`. One of
 * the two sees the other, for both have a full fence in between. A reader
 * that got several messages at once stays awake for one more turn of the
 * event loop, so that under load nobody has to write to an eventfd; after a
 * single one that turn would be in vain.
 */

#include "ngx_cometa_mailbox.h"
#include "ngx_cometa_channel.h"
#include "ngx_cometa_turn.h"


#define NGX_COMETA_MAIL_BATCH    512             /* messages of one turn */
#define NGX_COMETA_BACKLOG_MAX   (16 * 1024 * 1024)
#define NGX_COMETA_BACKLOG_WAIT  2               /* ms until the next try */


/* One message that found the ring full; its body follows. */

typedef struct {
    ngx_queue_t                link;
    uint32_t                   epoch;
    size_t                     len;
    ngx_cometa_mail_t          mail;
} ngx_cometa_backlog_t;


static ngx_int_t ngx_cometa_mailbox_post(uint32_t slot, uint32_t epoch,
    ngx_cometa_mail_t *mail, u_char *body, size_t len, size_t reserve,
    uint64_t *pos);
static void ngx_cometa_mailbox_event(ngx_event_t *ev);
static void ngx_cometa_mailbox_turn(ngx_event_t *ev);
static ngx_uint_t ngx_cometa_mailbox_drain(ngx_uint_t max, ngx_uint_t work);
static void ngx_cometa_mailbox_deaths(void);
static void ngx_cometa_backlog_add(uint32_t slot, uint32_t epoch,
    ngx_cometa_mail_t *mail, ngx_str_t *body);
static void ngx_cometa_backlog_event_handler(ngx_event_t *ev);
static void ngx_cometa_backlog_flush(uint32_t slot);


static ngx_cometa_mail_pt     ngx_cometa_mailbox_deliver;
static ngx_cometa_deaths_pt   ngx_cometa_mailbox_on_deaths;
static ngx_event_handler_pt   ngx_cometa_mailbox_exiting;

static ngx_connection_t      *ngx_cometa_mailbox_connection;
static ngx_event_t            ngx_cometa_mailbox_next;
static uint32_t               ngx_cometa_mailbox_seen;    /* deaths */

static ngx_queue_t           *ngx_cometa_backlog;         /* one a slot */
static size_t                 ngx_cometa_backlog_size;
static ngx_uint_t             ngx_cometa_backlog_n;
static ngx_event_t            ngx_cometa_backlog_event;


ngx_int_t
ngx_cometa_mailbox_open(ngx_cycle_t *cycle, ngx_cometa_mail_pt deliver,
    ngx_cometa_deaths_pt deaths, ngx_event_handler_pt exiting)
{
    ngx_uint_t          i;
    ngx_connection_t   *c;
    ngx_cometa_slot_t  *slot;

    slot = &ngx_cometa_zone.slots[ngx_cometa_zone.slot];

    ngx_cometa_mailbox_deliver = deliver;
    ngx_cometa_mailbox_on_deaths = deaths;
    ngx_cometa_mailbox_exiting = exiting;
    ngx_cometa_mailbox_seen = ngx_cometa_zone.head->deaths;

    ngx_cometa_backlog = ngx_palloc(cycle->pool,
                                    ngx_cometa_zone.head->slots
                                    * sizeof(ngx_queue_t));
    if (ngx_cometa_backlog == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < ngx_cometa_zone.head->slots; i++) {
        ngx_queue_init(&ngx_cometa_backlog[i]);
    }

    ngx_cometa_backlog_event.handler = ngx_cometa_backlog_event_handler;
    ngx_cometa_backlog_event.log = cycle->log;
    ngx_cometa_backlog_event.data = ngx_cometa_backlog;

    c = ngx_cometa_channel_open(slot->eventfd, cycle,
                                ngx_cometa_mailbox_event);
    if (c == NULL) {
        return NGX_ERROR;
    }

    /* nginx calls the handler of what is idle when this worker exits */

    c->idle = 1;

    ngx_cometa_mailbox_connection = c;

    ngx_cometa_mailbox_next.handler = ngx_cometa_mailbox_turn;
    ngx_cometa_mailbox_next.log = cycle->log;
    ngx_cometa_mailbox_next.data = c;

    ngx_post_event(&ngx_cometa_mailbox_next, &ngx_posted_next_events);

    return NGX_OK;
}


void
ngx_cometa_mailbox_close(void)
{
    if (ngx_cometa_mailbox_connection) {
        ngx_cometa_channel_close(ngx_cometa_mailbox_connection);
        ngx_cometa_mailbox_connection = NULL;
    }
}


ngx_int_t
ngx_cometa_mailbox_ask(uint32_t slot, uint32_t epoch,
    ngx_cometa_mail_t *mail, ngx_str_t *body, uint64_t *pos)
{
    if (slot == ngx_cometa_zone.slot) {
        if (epoch != ngx_cometa_zone.epoch) {
            return NGX_DECLINED;
        }

        ngx_cometa_mailbox_deliver(mail, body->data, body->len);
        return NGX_OK;
    }

    /* not before what waits already */

    if (!ngx_queue_empty(&ngx_cometa_backlog[slot])) {
        return NGX_BUSY;
    }

    return ngx_cometa_mailbox_post(slot, epoch, mail, body->data, body->len,
                                   ngx_cometa_zone.head->ring_size / 4, pos);
}


void
ngx_cometa_mailbox_tell(uint32_t slot, uint32_t epoch,
    ngx_cometa_mail_t *mail, ngx_str_t *body)
{
    uint64_t  pos;

    if (slot == ngx_cometa_zone.slot) {
        if (epoch == ngx_cometa_zone.epoch) {
            ngx_cometa_mailbox_deliver(mail, body->data, body->len);
        }

        return;
    }

    /* behind what waits already, so that nothing overtakes */

    if (ngx_queue_empty(&ngx_cometa_backlog[slot])
        && ngx_cometa_mailbox_post(slot, epoch, mail, body->data, body->len,
                                   0, &pos)
           != NGX_BUSY)
    {
        return;
    }

    ngx_cometa_backlog_add(slot, epoch, mail, body);
}


static ngx_int_t
ngx_cometa_mailbox_post(uint32_t slot, uint32_t epoch,
    ngx_cometa_mail_t *mail, u_char *body, size_t len, size_t reserve,
    uint64_t *pos)
{
    int                 rc;
    size_t              size;
    ngx_cometa_slot_t  *s;

    s = &ngx_cometa_zone.slots[slot];
    size = ngx_cometa_zone.head->ring_size;

    /* a producer that died has published its message or has left nothing */

    (void) ngx_cometa_lock(&s->mail);

    if (s->epoch != epoch || s->pid == 0) {
        ngx_cometa_unlock(&s->mail);
        return NGX_DECLINED;
    }

    /* whether a large message fits into an empty ring is not to hang on where
     * the ring happens to stand */

    if (cometa_ring_used(&s->ring) == 0) {
        reserve = 0;
    }

    rc = cometa_ring_put(&s->ring, ngx_cometa_zone.rings + slot * size, size,
                         reserve, mail, sizeof(ngx_cometa_mail_t), body, len,
                         pos);
    if (rc != 0) {
        s->overflows++;
    }

    ngx_cometa_unlock(&s->mail);

    if (rc != 0) {
        return NGX_BUSY;
    }

    __atomic_thread_fence(__ATOMIC_SEQ_CST);

    if (__atomic_load_n(&s->sleeping, __ATOMIC_RELAXED)
        && __atomic_exchange_n(&s->sleeping, 0, __ATOMIC_SEQ_CST))
    {
        ngx_cometa_slot_wake(slot);
    }

    return NGX_OK;
}


static void
ngx_cometa_mailbox_event(ngx_event_t *ev)
{
    uint64_t           n;
    ngx_connection_t  *c;

    c = ev->data;

    if (c->close) {
        c->close = 0;
        c->idle = 0;
        ngx_cometa_mailbox_exiting(ev);
        return;
    }

    if (!(ngx_event_flags & NGX_USE_CLEAR_EVENT)) {
        (void) !read(c->fd, &n, sizeof(n));
    }

    ngx_cometa_mailbox_turn(ev);
}


static void
ngx_cometa_mailbox_turn(ngx_event_t *ev)
{
    ngx_cometa_slot_t  *slot;

    slot = &ngx_cometa_zone.slots[ngx_cometa_zone.slot];

    __atomic_store_n(&slot->sleeping, 0, __ATOMIC_RELAXED);

    ngx_cometa_mailbox_deaths();

    if (ngx_cometa_mailbox_drain(NGX_COMETA_MAIL_BATCH, NGX_COMETA_WORK_ALL)
        <= 1)
    {
        __atomic_store_n(&slot->sleeping, 1, __ATOMIC_SEQ_CST);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);

        if (cometa_ring_empty(&slot->ring)) {
            return;
        }

        __atomic_store_n(&slot->sleeping, 0, __ATOMIC_RELAXED);
    }

    /* awake for one more turn of the event loop */

    ngx_post_event(&ngx_cometa_mailbox_next, &ngx_posted_next_events);
}


void
ngx_cometa_mailbox_collect(void)
{
    /* more than a ring can hold: all that was posted before this */

    (void) ngx_cometa_mailbox_drain(ngx_cometa_zone.head->ring_size
                                    / sizeof(ngx_cometa_mail_t),
                                    NGX_MAX_INT32_VALUE);
}


static ngx_uint_t
ngx_cometa_mailbox_drain(ngx_uint_t max, ngx_uint_t work)
{
    size_t              len, size;
    u_char             *p;
    ngx_uint_t          n, begun;
    ngx_cometa_slot_t  *slot;

    slot = &ngx_cometa_zone.slots[ngx_cometa_zone.slot];
    size = ngx_cometa_zone.head->ring_size;
    begun = ngx_cometa_work;

    for (n = 0; n < max && ngx_cometa_work - begun < work; n++) {
        p = cometa_ring_get(&slot->ring,
                            ngx_cometa_zone.rings
                            + ngx_cometa_zone.slot * size,
                            size, &len);
        if (p == NULL) {
            break;
        }

        if (len >= sizeof(ngx_cometa_mail_t)) {
            ngx_cometa_mailbox_deliver((ngx_cometa_mail_t *) p,
                                       p + sizeof(ngx_cometa_mail_t),
                                       len - sizeof(ngx_cometa_mail_t));
        }

        cometa_ring_done(&slot->ring);

        ngx_cometa_work += NGX_COMETA_WORK_LETTER;
    }

    return n;
}


static void
ngx_cometa_mailbox_deaths(void)
{
    uint32_t  deaths;

    deaths = __atomic_load_n(&ngx_cometa_zone.head->deaths, __ATOMIC_ACQUIRE);

    if (deaths != ngx_cometa_mailbox_seen) {
        ngx_cometa_mailbox_seen = deaths;
        ngx_cometa_mailbox_on_deaths();
    }
}


static void
ngx_cometa_backlog_add(uint32_t slot, uint32_t epoch,
    ngx_cometa_mail_t *mail, ngx_str_t *body)
{
    size_t                 size;
    ngx_cometa_backlog_t  *b;

    size = sizeof(ngx_cometa_backlog_t) + body->len;

    /* what carries no body is bounded by the calls it belongs to */

    if (body->len && ngx_cometa_backlog_size + size > NGX_COMETA_BACKLOG_MAX) {
        goto lost;
    }

    b = ngx_alloc(size, ngx_cycle->log);
    if (b == NULL) {
        goto lost;
    }

    b->epoch = epoch;
    b->len = body->len;
    b->mail = *mail;

    if (body->len) {
        ngx_memcpy(b + 1, body->data, body->len);
    }

    ngx_queue_insert_tail(&ngx_cometa_backlog[slot], &b->link);
    ngx_cometa_backlog_size += size;
    ngx_cometa_backlog_n++;

    if (!ngx_cometa_backlog_event.timer_set) {
        ngx_add_timer(&ngx_cometa_backlog_event, NGX_COMETA_BACKLOG_WAIT);
    }

    return;

lost:

    __atomic_fetch_add(&ngx_cometa_zone.slots[slot].overflows, 1,
                       __ATOMIC_RELAXED);
}


static void
ngx_cometa_backlog_event_handler(ngx_event_t *ev)
{
    uint32_t  slot;

    for (slot = 0; slot < ngx_cometa_zone.head->slots; slot++) {
        ngx_cometa_backlog_flush(slot);
    }

    if (ngx_cometa_backlog_n) {
        ngx_add_timer(ev, NGX_COMETA_BACKLOG_WAIT);
    }
}


static void
ngx_cometa_backlog_flush(uint32_t slot)
{
    uint64_t               pos;
    ngx_int_t              rc;
    ngx_queue_t           *q;
    ngx_cometa_backlog_t  *b;

    while (!ngx_queue_empty(&ngx_cometa_backlog[slot])) {
        q = ngx_queue_head(&ngx_cometa_backlog[slot]);
        b = ngx_queue_data(q, ngx_cometa_backlog_t, link);

        rc = ngx_cometa_mailbox_post(slot, b->epoch, &b->mail,
                                     (u_char *) (b + 1), b->len, 0, &pos);
        if (rc == NGX_BUSY) {
            return;
        }

        ngx_queue_remove(q);
        ngx_cometa_backlog_size -= sizeof(ngx_cometa_backlog_t) + b->len;
        ngx_cometa_backlog_n--;
        ngx_free(b);
    }
}
