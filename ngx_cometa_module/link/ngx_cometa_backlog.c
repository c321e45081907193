
/*
 * The backlog. All state is this process's own, but for the counters in the
 * slots. Each addressee has two lines of letters:
 *
 *     ANSWERS   goes first
 *     EVENTS    goes when the other one is empty
 *
 * A reply stands among the events if letters of its application stand there, so
 * that it does not overtake events that the same device has sent before it.
 * QUEUED and WRITTEN never stand there, so the reply does not overtake those
 * either. An event waits while any letter waits, and overtakes nothing.
 */

#include "ngx_cometa_backlog.h"
#include "ngx_cometa_post.h"
#include "ngx_cometa_zone.h"
#include "ngx_cometa_throttle.h"
#include "cometa_ring.h"


#ifndef NGX_COMETA_BACKLOG_EVENTS           /* unit tests have less */
#define NGX_COMETA_BACKLOG_EVENTS   (16 * 1024 * 1024)
#define NGX_COMETA_BACKLOG_ANSWERS  (64 * 1024 * 1024)
#endif
#define NGX_COMETA_BACKLOG_RINGS    8       /* each is at least so many rings */
#define NGX_COMETA_BACKLOG_ALLOC    16      /* what malloc() adds */


typedef struct {
    ngx_queue_t  lines[NGX_COMETA_KINDS];
    size_t       size[NGX_COMETA_KINDS];
} ngx_cometa_addressee_t;


typedef struct {
    size_t       size[NGX_COMETA_KINDS];
    uint32_t     n;                     /* its letters among the events */
    uint32_t     lost[NGX_COMETA_KINDS];    /* and not logged yet */
} ngx_cometa_sender_t;


static ngx_queue_t *ngx_cometa_backlog_line(uint32_t slot, ngx_uint_t line);
static ngx_cometa_sender_t *ngx_cometa_backlog_sender(uint32_t app);
static ngx_uint_t ngx_cometa_backlog_choose(uint32_t slot,
    ngx_cometa_post_t *post);
static size_t ngx_cometa_backlog_cost(size_t len);
static ngx_uint_t ngx_cometa_backlog_room(uint32_t slot,
    ngx_cometa_post_t *post, size_t len);
static void ngx_cometa_backlog_lost(uint32_t slot, ngx_cometa_post_t *post);
static void ngx_cometa_backlog_say(uint32_t slot);
static void ngx_cometa_backlog_report(ngx_cometa_throttle_t *throttle,
    ngx_log_t *log);
static void ngx_cometa_backlog_report_lost(ngx_uint_t app, ngx_log_t *log);


static ngx_cometa_addressee_t  *ngx_cometa_addressees;      /* by slot */
static ngx_cometa_sender_t     *ngx_cometa_senders;  /* by application; the
                                                        last of the unknown */
size_t                          ngx_cometa_backlog_used[NGX_COMETA_KINDS];
static size_t                   ngx_cometa_backlog_max[NGX_COMETA_KINDS];

/* counted since the last line in the log; the slot that was full last */

static ngx_uint_t               ngx_cometa_backlog_n_delayed;
static ngx_uint_t               ngx_cometa_backlog_n_refused;
static ngx_uint_t               ngx_cometa_backlog_n_lost;
static uint32_t                 ngx_cometa_backlog_last;

static ngx_cometa_throttle_t    ngx_cometa_backlog_throttle = {
    .handler = ngx_cometa_backlog_report
};


ngx_int_t
ngx_cometa_backlog_start(ngx_cycle_t *cycle)
{
    size_t              rings;
    ngx_uint_t          i, k;
    ngx_cometa_head_t  *head;

    head = ngx_cometa_zone.head;

    ngx_cometa_addressees = ngx_pcalloc(cycle->pool, head->slots
                                        * sizeof(ngx_cometa_addressee_t));
    ngx_cometa_senders = ngx_pcalloc(cycle->pool, (head->apps + 1)
                                     * sizeof(ngx_cometa_sender_t));

    if (ngx_cometa_addressees == NULL || ngx_cometa_senders == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < head->slots; i++) {
        for (k = 0; k < NGX_COMETA_KINDS; k++) {
            ngx_queue_init(ngx_cometa_backlog_line(i, k));
        }
    }

    rings = NGX_COMETA_BACKLOG_RINGS * head->ring_size;

    ngx_cometa_backlog_max[NGX_COMETA_EVENTS] =
                                 ngx_max(NGX_COMETA_BACKLOG_EVENTS, rings);
    ngx_cometa_backlog_max[NGX_COMETA_ANSWERS] =
                                 ngx_max(NGX_COMETA_BACKLOG_ANSWERS, rings);

    return NGX_OK;
}


static ngx_queue_t *
ngx_cometa_backlog_line(uint32_t slot, ngx_uint_t line)
{
    return &ngx_cometa_addressees[slot].lines[line];
}


static ngx_cometa_sender_t *
ngx_cometa_backlog_sender(uint32_t app)
{
    return &ngx_cometa_senders[ngx_min(app, ngx_cometa_zone.head->apps)];
}


/* In which of the two lines a letter has to wait, if it has to. */

static ngx_uint_t
ngx_cometa_backlog_choose(uint32_t slot, ngx_cometa_post_t *post)
{
    if (post->class == NGX_COMETA_CLASS_REPLY
        && ngx_cometa_backlog_sender(post->app)->n
        && !ngx_queue_empty(ngx_cometa_backlog_line(slot, NGX_COMETA_EVENTS)))
    {
        return NGX_COMETA_EVENTS;
    }

    return ngx_cometa_post_kind(post->class);
}


ngx_uint_t
ngx_cometa_backlog_stands(uint32_t slot, ngx_cometa_post_t *post)
{
    if (!ngx_queue_empty(ngx_cometa_backlog_line(slot, NGX_COMETA_ANSWERS))) {
        return 1;
    }

    return ngx_cometa_backlog_choose(slot, post) == NGX_COMETA_EVENTS
           && !ngx_queue_empty(ngx_cometa_backlog_line(slot,
                                                       NGX_COMETA_EVENTS));
}


static size_t
ngx_cometa_backlog_cost(size_t len)
{
    return ngx_align(sizeof(ngx_cometa_letter_t) + len, 16)
           + NGX_COMETA_BACKLOG_ALLOC;
}


/*
 * Whether there is room. For a letter that no ring can ever hold there is none:
 * the letters after it would wait for ever.
 */

static ngx_uint_t
ngx_cometa_backlog_room(uint32_t slot, ngx_cometa_post_t *post, size_t len)
{
    size_t                cost, left;
    ngx_uint_t            kind;
    ngx_cometa_sender_t  *sender;

    kind = ngx_cometa_post_kind(post->class);
    sender = ngx_cometa_backlog_sender(post->app);
    cost = ngx_cometa_backlog_cost(len);
    left = ngx_cometa_backlog_max[kind] - ngx_cometa_backlog_used[kind];

    if (len > cometa_ring_max(ngx_cometa_zone.head->ring_size)) {
        return 0;
    }

    return cost <= left
           && sender->size[kind] + cost <= left / 2
           && ngx_cometa_addressees[slot].size[kind] + cost <= left * 2;
}


ngx_int_t
ngx_cometa_backlog_add(uint32_t slot, uint32_t epoch,
    ngx_cometa_post_t *post)
{
    size_t                cost, len;
    u_char               *p;
    ngx_uint_t            kind;
    ngx_cometa_sender_t  *sender;
    ngx_cometa_letter_t  *letter;

    len = post->head_len + post->body_len;

    if (!ngx_cometa_backlog_room(slot, post, len)) {
        ngx_cometa_backlog_lost(slot, post);
        return NGX_DECLINED;
    }

    letter = ngx_alloc(sizeof(ngx_cometa_letter_t) + len, ngx_cycle->log);
    if (letter == NULL) {
        ngx_cometa_backlog_lost(slot, post);
        return NGX_DECLINED;
    }

    letter->epoch = epoch;
    letter->len = len;
    letter->app = post->app;
    letter->class = post->class;
    letter->line = ngx_cometa_backlog_choose(slot, post);

    p = ngx_cpymem(letter + 1, post->head, post->head_len);

    if (post->body_len) {
        ngx_memcpy(p, post->body, post->body_len);
    }

    kind = ngx_cometa_post_kind(post->class);
    cost = ngx_cometa_backlog_cost(len);
    sender = ngx_cometa_backlog_sender(post->app);

    ngx_cometa_backlog_used[kind] += cost;
    ngx_cometa_addressees[slot].size[kind] += cost;
    sender->size[kind] += cost;
    sender->n += (letter->line == NGX_COMETA_EVENTS);

    ngx_queue_insert_tail(ngx_cometa_backlog_line(slot, letter->line),
                          &letter->link);

    __atomic_fetch_add(&ngx_cometa_zone.slots[slot].delayed, 1,
                       __ATOMIC_RELAXED);

    ngx_cometa_backlog_n_delayed++;
    ngx_cometa_backlog_say(slot);

    return NGX_OK;
}


ngx_cometa_letter_t *
ngx_cometa_backlog_next(uint32_t slot)
{
    ngx_queue_t  *line;

    line = ngx_cometa_backlog_line(slot, NGX_COMETA_ANSWERS);

    if (ngx_queue_empty(line)) {
        line = ngx_cometa_backlog_line(slot, NGX_COMETA_EVENTS);
    }

    if (ngx_queue_empty(line)) {
        return NULL;
    }

    return ngx_queue_data(ngx_queue_head(line), ngx_cometa_letter_t, link);
}


void
ngx_cometa_backlog_remove(uint32_t slot, ngx_cometa_letter_t *letter)
{
    size_t                cost;
    ngx_uint_t            kind;
    ngx_cometa_sender_t  *sender;

    kind = ngx_cometa_post_kind(letter->class);
    cost = ngx_cometa_backlog_cost(letter->len);
    sender = ngx_cometa_backlog_sender(letter->app);

    ngx_cometa_backlog_used[kind] -= cost;
    ngx_cometa_addressees[slot].size[kind] -= cost;
    sender->size[kind] -= cost;
    sender->n -= (letter->line == NGX_COMETA_EVENTS);

    ngx_queue_remove(&letter->link);
    ngx_free(letter);
}


void
ngx_cometa_backlog_refused(uint32_t slot)
{
    __atomic_fetch_add(&ngx_cometa_zone.slots[slot].refused, 1,
                       __ATOMIC_RELAXED);

    ngx_cometa_backlog_n_refused++;
    ngx_cometa_backlog_say(slot);
}


static void
ngx_cometa_backlog_lost(uint32_t slot, ngx_cometa_post_t *post)
{
    ngx_uint_t  kind;

    kind = ngx_cometa_post_kind(post->class);

    __atomic_fetch_add(&ngx_cometa_zone.slots[slot].lost[kind], 1,
                       __ATOMIC_RELAXED);

    ngx_cometa_backlog_sender(post->app)->lost[kind]++;
    ngx_cometa_backlog_n_lost++;
    ngx_cometa_backlog_say(slot);
}


static void
ngx_cometa_backlog_say(uint32_t slot)
{
    ngx_cometa_backlog_last = slot;

    ngx_cometa_throttle(&ngx_cometa_backlog_throttle, ngx_cycle->log);
}


static void
ngx_cometa_backlog_report(ngx_cometa_throttle_t *throttle, ngx_log_t *log)
{
    ngx_uint_t  i;

    if (ngx_cometa_backlog_n_delayed + ngx_cometa_backlog_n_refused) {
        ngx_log_error(NGX_LOG_WARN, log, 0,
                      "cometa mailbox of worker process %uD (slot %uD) was "
                      "full: %ui messages had to wait, %ui calls were "
                      "refused, of all mailboxes; %uz bytes wait now",
                      ngx_cometa_zone.slots[ngx_cometa_backlog_last].pid,
                      ngx_cometa_backlog_last, ngx_cometa_backlog_n_delayed,
                      ngx_cometa_backlog_n_refused, ngx_cometa_backlog_size());
    }

    for (i = 0; ngx_cometa_backlog_n_lost && i <= ngx_cometa_zone.head->apps;
         i++)
    {
        ngx_cometa_backlog_report_lost(i, log);
    }

    ngx_cometa_backlog_n_delayed = 0;
    ngx_cometa_backlog_n_refused = 0;
}


static void
ngx_cometa_backlog_report_lost(ngx_uint_t app, ngx_log_t *log)
{
    ngx_str_t             name;
    ngx_uint_t            k;
    ngx_cometa_sender_t  *sender;

    static const char  *kinds[NGX_COMETA_KINDS] = { "events", "answers" };

    sender = &ngx_cometa_senders[app];
    ngx_str_null(&name);

    if (app < ngx_cometa_zone.head->napps) {
        name.data = ngx_cometa_zone.apps[app].name;
        name.len = ngx_cometa_zone.apps[app].len;
    }

    for (k = 0; k < NGX_COMETA_KINDS; k++) {

        if (sender->lost[k] == 0) {
            continue;
        }

        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "cometa mailbox of worker process %uD (slot %uD) was "
                      "full, and no more can wait for it: %uD %s of "
                      "application \"%V\" were lost",
                      ngx_cometa_zone.slots[ngx_cometa_backlog_last].pid,
                      ngx_cometa_backlog_last, sender->lost[k], kinds[k],
                      &name);

        ngx_cometa_backlog_n_lost -= sender->lost[k];
        sender->lost[k] = 0;
    }
}
