/*
 * What mailboxes and backlogs should do, said as simply as possible: lists of
 * letters, and the rules for what fits. To be included by one file.
 */

#ifndef MAILBOX_MODEL_H
#define MAILBOX_MODEL_H


#define MODEL_LINE  4096


typedef struct {
    uint32_t  id;
    uint32_t  class;
    uint32_t  app;
    uint32_t  len;
    uint32_t  epoch;
} letter_t;

typedef struct {
    uint64_t  head, tail;
    uint32_t  n;                    /* letters in the ring */
    uint32_t  ids[MODEL_LINE];

    uint32_t  epoch;
    int       taken;                /* as far as anybody knows */
    int       dead;                 /* though nobody knows */

    uint64_t  delayed, refused, lost[2];
} model_slot_t;

typedef struct {
    uint32_t  n;
    letter_t  letters[MODEL_LINE];
} model_line_t;

typedef struct {
    model_line_t  lines[WORLD_SLOTS][2];    /* events and what follows them,
                                               answers */
    size_t        wait;
} model_worker_t;

static struct {
    size_t          size;           /* of a ring */
    uint32_t        deaths;
    model_slot_t    slots[WORLD_SLOTS];
    model_worker_t  workers[WORLD_SLOTS];
} model;


static void
model_make(size_t size)
{
    memset(&model, 0, sizeof(model));
    model.size = size;
}


static int
model_is_event(letter_t *l)
{
    return l->class == NGX_COMETA_CLASS_EVENT;
}


/* Of both parts. */

static size_t
model_len(letter_t *l)
{
    return l->len + (model_is_event(l) ? 24
                     : l->class == NGX_COMETA_CLASS_REPLY ? 40 : 56);
}


static size_t
model_cost(letter_t *l)
{
    return (sizeof(ngx_cometa_letter_t) + model_len(l) + 15) / 16 * 16 + 16;
}


/* Bytes of one kind that wait at a worker: of an application, to a slot. */

static size_t
model_sum(uint32_t from, int event, int app, int to)
{
    int            i, k;
    size_t         sum;
    uint32_t       n;
    letter_t      *l;
    model_line_t  *line;

    sum = 0;

    for (i = 0; i < WORLD_SLOTS; i++) {
        for (k = 0; k < 2; k++) {
            line = &model.workers[from].lines[i][k];

            for (n = 0; n < line->n; n++) {
                l = &line->letters[n];

                if (model_is_event(l) == event && (to == -1 || to == i)
                    && (app == -1 || (int) l->app == app))
                {
                    sum += model_cost(l);
                }
            }
        }
    }

    return sum;
}


static size_t
model_size(uint32_t from)
{
    return model_sum(from, 0, -1, -1) + model_sum(from, 1, -1, -1);
}


static void
model_notice(uint32_t slot)
{
    model_slot_t  *s;

    s = &model.slots[slot];

    if (s->dead) {
        s->dead = 0;
        s->taken = 0;
        s->epoch++;
    }
}


/* The slot that the next process gets, which notices all deaths. */

static uint32_t
model_free(void)
{
    uint32_t  i;

    for (i = 0; i < WORLD_SLOTS; i++) {
        if (!model.slots[i].taken || model.slots[i].dead) {
            break;
        }
    }

    return i;
}


static void
model_join(uint32_t slot)
{
    uint32_t       i;
    model_slot_t  *s;

    for (i = 0; i < WORLD_SLOTS; i++) {
        model_notice(i);
    }

    s = &model.slots[slot];
    s->taken = 1;
    s->head = s->tail;
    s->n = 0;

    memset(&model.workers[slot], 0, sizeof(model_worker_t));
}


static void
model_kill(uint32_t slot)
{
    model.slots[slot].dead = 1;
    model.deaths++;
}


static void
model_read(uint32_t slot)
{
    model.slots[slot].head = model.slots[slot].tail;
    model.slots[slot].n = 0;
}


/* Longer ones fit into a ring or not, depending on where it stands. */

static int
model_too_long(letter_t *l)
{
    return model_len(l) + 8 > model.size / 2;
}


static ngx_int_t
model_post(uint32_t to, uint32_t epoch, letter_t *l, uint32_t eighths)
{
    size_t         need, skip, rest, after;
    model_slot_t  *s;

    s = &model.slots[to];

    if (!s->taken || s->epoch != epoch) {
        return NGX_DECLINED;
    }

    /* a record is aligned, and does not go over the end */

    need = (8 + model_len(l) + 7) / 8 * 8;
    rest = model.size - s->tail % model.size;
    skip = (rest < need) ? rest : 0;
    after = s->tail + skip + need - s->head;

    if (!model_too_long(l) && after <= model.size
        && (s->head == s->tail
            || model.size - after >= model.size / 8 * eighths))
    {
        s->tail += skip + need;
        s->ids[s->n++] = l->id;
        return NGX_OK;
    }

    if (s->dead) {
        model_notice(to);
        return NGX_DECLINED;
    }

    return NGX_BUSY;
}


/* The line of a letter: a reply follows what its application has said. */

static int
model_choose(uint32_t from, uint32_t to, letter_t *l)
{
    uint32_t       i, n;
    model_line_t  *line;

    if (model_is_event(l)) {
        return 0;
    }

    if (l->class != NGX_COMETA_CLASS_REPLY
        || model.workers[from].lines[to][0].n == 0)
    {
        return 1;
    }

    for (i = 0; i < WORLD_SLOTS; i++) {
        line = &model.workers[from].lines[i][0];

        for (n = 0; n < line->n; n++) {
            if (line->letters[n].app == l->app) {
                return 0;
            }
        }
    }

    return 1;
}


static int
model_before(uint32_t from, uint32_t to, letter_t *l)
{
    return model.workers[from].lines[to][1].n
           || (model_choose(from, to, l) == 0
               && model.workers[from].lines[to][0].n);
}


static int
model_fits(uint32_t from, uint32_t to, letter_t *l)
{
    int     event;
    size_t  max, left, cost;

    event = model_is_event(l);
    max = event ? NGX_COMETA_BACKLOG_EVENTS : NGX_COMETA_BACKLOG_ANSWERS;
    left = max - model_sum(from, event, -1, -1);
    cost = model_cost(l);

    return !model_too_long(l) && cost <= left
           && model_sum(from, event, l->app, -1) + cost <= left / 2
           && model_sum(from, event, -1, to) + cost <= left * 2;
}


static void
model_tell(uint32_t from, uint32_t to, letter_t l)
{
    model_slot_t    *s;
    model_line_t    *line;
    model_worker_t  *w;

    s = &model.slots[to];
    w = &model.workers[from];
    l.epoch = s->epoch;

    if (!model_before(from, to, &l)
        && model_post(to, l.epoch, &l, model_is_event(&l) ? 3 : 0)
           != NGX_BUSY)
    {
        return;
    }

    if (!model_fits(from, to, &l)) {
        s->lost[!model_is_event(&l)]++;
        return;
    }

    line = &w->lines[to][model_choose(from, to, &l)];
    line->letters[line->n++] = l;
    s->delayed++;

    if (w->wait == 0) {
        w->wait = 2;
    }
}


static ngx_int_t
model_ask(uint32_t from, uint32_t to, letter_t l)
{
    ngx_int_t  rc;

    rc = NGX_BUSY;

    if (!model_before(from, to, &l)) {
        rc = model_post(to, model.slots[to].epoch, &l, 2);
    }

    if (rc == NGX_BUSY) {
        model.slots[to].refused++;
    }

    return rc;
}


static void
model_retry(uint32_t from)
{
    uint32_t         to, n;
    letter_t        *l;
    model_line_t    *line;
    model_worker_t  *w;

    w = &model.workers[from];

    if (w->wait == 0) {
        return;
    }

    for (n = 0, to = 0; to < WORLD_SLOTS; to++) {

        for ( ;; ) {
            line = &w->lines[to][1];

            if (line->n == 0) {
                line = &w->lines[to][0];
            }

            l = &line->letters[0];

            if (line->n == 0
                || model_post(to, l->epoch, l, model_is_event(l) ? 3 : 0)
                   == NGX_BUSY)
            {
                break;
            }

            line->n--;
            memmove(l, l + 1, line->n * sizeof(letter_t));
            n++;
        }
    }

    w->wait = n ? 2 : ngx_min(2 * w->wait, 50);

    if (model_size(from) == 0) {
        w->wait = 0;
    }
}


#endif /* MAILBOX_MODEL_H */
