
/*
 * Mailboxes. Lock: `mail` of the addressee's slot, held by a sender while it
 * copies one letter. The reader takes no lock.
 *
 * No wake-up is lost: the reader sets `sleeping` and then looks at the ring
 * once more; a sender posts and then looks at `sleeping`. One of the two sees
 * the other, because both have a full fence in between. A reader that got
 * several letters at once stays awake for one more turn of the event loop, so
 * that under load nobody has to write to an eventfd. After a single letter that
 * turn would be useless.
 */

#include "ngx_cometa_mailbox.h"
#include "ngx_cometa_turn.h"
#include "ngx_cometa_backlog.h"
#include "ngx_cometa_channel.h"
#include "ngx_cometa_post.h"
#include "ngx_cometa_slot.h"
#include "ngx_cometa_zone.h"
#include "cometa_ring.h"


#define NGX_COMETA_MAIL_BATCH      512          /* letters in one turn */
#define NGX_COMETA_MAIL_WAIT       2            /* ms until the next try, */
#define NGX_COMETA_MAIL_WAIT_MAX   50           /* longer each time, to this */
#define NGX_COMETA_MAIL_LOOK       1000         /* ms, between looks for
                                                   processes that have died */

/*
 * How much of a ring has to stay free, in eighths: requests leave a quarter to
 * answers, and events leave more, so that they alone never fill the ring so far
 * that requests are refused.
 */

#define NGX_COMETA_RESERVE_REQUEST  2
#define NGX_COMETA_RESERVE_EVENT    3


static ngx_int_t ngx_cometa_mailbox_post(uint32_t slot, uint32_t epoch,
    ngx_cometa_post_t *post, ngx_uint_t reserve, uint64_t *pos);
static int ngx_cometa_mailbox_put(ngx_cometa_slot_t *s,
    ngx_cometa_post_t *post, ngx_uint_t reserve, uint64_t *pos);
static ngx_uint_t ngx_cometa_mailbox_reserve(ngx_cometa_class_e class);
static void ngx_cometa_mailbox_event(ngx_event_t *ev);
static void ngx_cometa_mailbox_turn(ngx_event_t *ev);
static ngx_uint_t ngx_cometa_mailbox_drain(ngx_uint_t max, ngx_uint_t work);
static void ngx_cometa_mailbox_deaths(ngx_cometa_slot_t *slot);
static void ngx_cometa_mailbox_retry(ngx_event_t *ev);
static ngx_uint_t ngx_cometa_mailbox_flush(uint32_t slot);
static void ngx_cometa_mailbox_look(ngx_event_t *ev);


static ngx_cometa_deliver_pt  ngx_cometa_mailbox_deliver;
static ngx_cometa_deaths_pt   ngx_cometa_mailbox_on_deaths;
static ngx_event_handler_pt   ngx_cometa_mailbox_exiting;

static ngx_connection_t      *ngx_cometa_mailbox_connection;
static ngx_event_t            ngx_cometa_mailbox_next;

static uint32_t               ngx_cometa_mailbox_seen;    /* deaths */
static ngx_uint_t             ngx_cometa_mailbox_mourns;  /* not told yet */
static uint64_t               ngx_cometa_mailbox_last;    /* words of them */


static ngx_event_t            ngx_cometa_mailbox_retry_event;
static ngx_msec_t             ngx_cometa_mailbox_wait;
static ngx_event_t            ngx_cometa_mailbox_look_event;


ngx_int_t
ngx_cometa_mailbox_open(ngx_cycle_t *cycle, ngx_cometa_deliver_pt deliver,
    ngx_cometa_deaths_pt deaths, ngx_event_handler_pt exiting)
{
    ngx_connection_t   *c;
    ngx_cometa_slot_t  *slot;

    slot = &ngx_cometa_zone.slots[ngx_cometa_zone.slot];

    ngx_cometa_mailbox_deliver = deliver;
    ngx_cometa_mailbox_on_deaths = deaths;
    ngx_cometa_mailbox_exiting = exiting;
    ngx_cometa_mailbox_seen = ngx_cometa_zone.head->deaths;

    if (ngx_cometa_backlog_start(cycle) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_cometa_mailbox_retry_event.handler = ngx_cometa_mailbox_retry;
    ngx_cometa_mailbox_retry_event.log = cycle->log;
    ngx_cometa_mailbox_retry_event.data = &ngx_cometa_mailbox_retry_event;

    ngx_cometa_mailbox_look_event.handler = ngx_cometa_mailbox_look;
    ngx_cometa_mailbox_look_event.log = cycle->log;
    ngx_cometa_mailbox_look_event.data = &ngx_cometa_mailbox_look_event;
    ngx_cometa_mailbox_look_event.cancelable = 1;

    c = ngx_cometa_channel_open(slot->eventfd, cycle,
                                ngx_cometa_mailbox_event);
    if (c == NULL) {
        return NGX_ERROR;
    }

    /* nginx calls the handler of an idle connection when it begins to exit */

    c->idle = 1;

    ngx_cometa_mailbox_connection = c;

    ngx_cometa_mailbox_next.handler = ngx_cometa_mailbox_turn;
    ngx_cometa_mailbox_next.log = cycle->log;
    ngx_cometa_mailbox_next.data = c;

    ngx_post_event(&ngx_cometa_mailbox_next, &ngx_posted_next_events);

    ngx_add_timer(&ngx_cometa_mailbox_look_event, NGX_COMETA_MAIL_LOOK);

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
    ngx_cometa_post_t *post, uint64_t *pos)
{
    ngx_int_t  rc;

    rc = NGX_BUSY;

    if (!ngx_cometa_backlog_before(slot, post)) {
        rc = ngx_cometa_mailbox_post(slot, epoch, post,
                                     NGX_COMETA_RESERVE_REQUEST, pos);
    }

    if (rc == NGX_BUSY) {
        ngx_cometa_backlog_refused(slot);
    }

    return rc;
}


void
ngx_cometa_mailbox_tell(uint32_t slot, uint32_t epoch,
    ngx_cometa_post_t *post)
{
    uint64_t  pos;

    if (!ngx_cometa_backlog_before(slot, post)
        && ngx_cometa_mailbox_post(slot, epoch, post,
                                   ngx_cometa_mailbox_reserve(post->class),
                                   &pos)
           != NGX_BUSY)
    {
        return;
    }

    if (ngx_cometa_backlog_add(slot, epoch, post) == NGX_OK
        && !ngx_cometa_mailbox_retry_event.timer_set)
    {
        ngx_cometa_mailbox_wait = NGX_COMETA_MAIL_WAIT;
        ngx_add_timer(&ngx_cometa_mailbox_retry_event,
                      ngx_cometa_mailbox_wait);
    }
}


static ngx_uint_t
ngx_cometa_mailbox_reserve(ngx_cometa_class_e class)
{
    return (class == NGX_COMETA_CLASS_EVENT)
           ? NGX_COMETA_RESERVE_EVENT : 0;
}


/*
 * NGX_BUSY: the ring is full, and its process lives. If the process is dead and
 * nobody has noticed that, its slot is vacated here.
 */

static ngx_int_t
ngx_cometa_mailbox_post(uint32_t slot, uint32_t epoch,
    ngx_cometa_post_t *post, ngx_uint_t reserve, uint64_t *pos)
{
    int                 rc;
    ngx_cometa_slot_t  *s;

    s = &ngx_cometa_zone.slots[slot];

    /* a producer that died has published its letter, or left nothing */

    (void) ngx_cometa_lock(&s->mail);

    if (s->epoch != epoch || s->pid == 0) {
        ngx_cometa_unlock(&s->mail);
        return NGX_DECLINED;
    }

    rc = ngx_cometa_mailbox_put(s, post, reserve, pos);

    ngx_cometa_unlock(&s->mail);

    if (rc != 0) {
        return ngx_cometa_slot_alive(slot, epoch) ? NGX_BUSY : NGX_DECLINED;
    }

    __atomic_thread_fence(__ATOMIC_SEQ_CST);

    if (__atomic_load_n(&s->sleeping, __ATOMIC_RELAXED)
        && __atomic_exchange_n(&s->sleeping, 0, __ATOMIC_SEQ_CST))
    {
        ngx_cometa_slot_wake(slot);
    }

    return NGX_OK;
}


static int
ngx_cometa_mailbox_put(ngx_cometa_slot_t *s, ngx_cometa_post_t *post,
    ngx_uint_t reserve, uint64_t *pos)
{
    size_t  size;

    size = ngx_cometa_zone.head->ring_size;

    /* an empty ring takes the longest letter, wherever its head stands */

    if (cometa_ring_used(&s->ring) == 0) {
        reserve = 0;
    }

    return cometa_ring_put(&s->ring, ngx_cometa_zone.rings
                                     + (s - ngx_cometa_zone.slots) * size,
                           size, size / 8 * reserve, post->head,
                           post->head_len, post->body, post->body_len, pos);
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
    ngx_uint_t          n;
    ngx_cometa_slot_t  *slot;

    slot = &ngx_cometa_zone.slots[ngx_cometa_zone.slot];

    __atomic_store_n(&slot->sleeping, 0, __ATOMIC_RELAXED);

    ngx_cometa_mailbox_deaths(slot);

    n = ngx_cometa_mailbox_drain(NGX_COMETA_MAIL_BATCH, NGX_COMETA_WORK_ALL);

    ngx_cometa_mailbox_deaths(slot);

    if (n <= 1) {
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
                                    / NGX_COMETA_LETTER_MIN,
                                    NGX_MAX_INT32_VALUE);
}


static ngx_uint_t
ngx_cometa_mailbox_drain(ngx_uint_t max, ngx_uint_t work)
{
    size_t              len, size;
    u_char             *p, *ring;
    ngx_uint_t          n, begun;
    ngx_cometa_slot_t  *slot;

    slot = &ngx_cometa_zone.slots[ngx_cometa_zone.slot];
    size = ngx_cometa_zone.head->ring_size;
    ring = ngx_cometa_zone.rings + ngx_cometa_zone.slot * size;
    begun = ngx_cometa_work;

    for (n = 0; n < max && ngx_cometa_work - begun < work; n++) {
        p = cometa_ring_get(&slot->ring, ring, size, &len);
        if (p == NULL) {
            break;
        }

        ngx_cometa_mailbox_deliver(p, len);

        cometa_ring_done(&slot->ring);

        ngx_cometa_work += NGX_COMETA_WORK_LETTER;
    }

    return n;
}


/* When all is read that they have posted: an answer may be among it. */

static void
ngx_cometa_mailbox_deaths(ngx_cometa_slot_t *slot)
{
    uint32_t  deaths;

    deaths = __atomic_load_n(&ngx_cometa_zone.head->deaths, __ATOMIC_ACQUIRE);

    if (deaths != ngx_cometa_mailbox_seen) {
        ngx_cometa_mailbox_seen = deaths;
        ngx_cometa_mailbox_mourns = 1;
        ngx_cometa_mailbox_last = cometa_ring_end(&slot->ring);
    }

    if (ngx_cometa_mailbox_mourns
        && cometa_ring_begun(&slot->ring) >= ngx_cometa_mailbox_last)
    {
        ngx_cometa_mailbox_mourns = 0;
        ngx_cometa_mailbox_on_deaths();
    }
}


/* While nothing can be posted, the tries become rarer. */

static void
ngx_cometa_mailbox_retry(ngx_event_t *ev)
{
    uint32_t    slot;
    ngx_uint_t  n;

    n = 0;

    for (slot = 0; slot < ngx_cometa_zone.head->slots; slot++) {
        n += ngx_cometa_mailbox_flush(slot);
    }

    ngx_cometa_mailbox_wait = n ? NGX_COMETA_MAIL_WAIT
                                : ngx_min(2 * ngx_cometa_mailbox_wait,
                                          NGX_COMETA_MAIL_WAIT_MAX);

    if (ngx_cometa_backlog_size()) {
        ngx_add_timer(ev, ngx_cometa_mailbox_wait);
    }
}


static ngx_uint_t
ngx_cometa_mailbox_flush(uint32_t slot)
{
    uint64_t              pos;
    ngx_int_t             rc;
    ngx_uint_t            n;
    ngx_cometa_post_t     post;
    ngx_cometa_letter_t  *letter;

    for (n = 0; /* void */; n++) {

        letter = ngx_cometa_backlog_next(slot);
        if (letter == NULL) {
            break;
        }

        post.class = letter->class;
        post.app = letter->app;
        post.head = letter + 1;
        post.head_len = letter->len;
        post.body = NULL;
        post.body_len = 0;

        rc = ngx_cometa_mailbox_post(slot, letter->epoch, &post,
                                     ngx_cometa_mailbox_reserve(post.class),
                                     &pos);
        if (rc == NGX_BUSY) {
            break;
        }

        ngx_cometa_backlog_remove(slot, letter);
    }

    return n;
}


/*
 * nginx starts no new process for a worker that dies while it leaves, so no
 * claim finds its slot. No other path would tell the workers that wait for it.
 * And a sender that has announced to wake this process may stand still, or may
 * have failed: then nobody else wakes it.
 */

static void
ngx_cometa_mailbox_look(ngx_event_t *ev)
{
    uint32_t            i;
    ngx_cometa_slot_t  *slot;

    slot = &ngx_cometa_zone.slots[ngx_cometa_zone.slot];

    if (!cometa_ring_empty(&slot->ring)) {
        ngx_post_event(&ngx_cometa_mailbox_next, &ngx_posted_next_events);
    }

    for (i = 0; i < ngx_cometa_zone.head->slots; i++) {
        slot = &ngx_cometa_zone.slots[i];

        if (slot->pid) {
            (void) ngx_cometa_slot_alive(i, slot->epoch);
        }
    }

    ngx_add_timer(ev, NGX_COMETA_MAIL_LOOK);
}
