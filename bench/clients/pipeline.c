/*
 * Pipelines: which of them has room for a call, and the calls under way.
 */

#include "pipeline.h"
#include "util.h"


static cometa_load_t                *load;
static const cometa_load_conf_t     *conf;
static const cometa_pipeline_way_t  *way;

/* those with room, and perhaps some that were closed since */
static STAILQ_HEAD(, cometa_pipeline_s)  room = STAILQ_HEAD_INITIALIZER(room);
static uint32_t                          busy;


void
cometa_pipelines_init(cometa_load_t *l, const cometa_pipeline_way_t *w)
{
    load = l;
    conf = l->conf;
    way = w;
}


uint32_t
cometa_pipelines_busy(void)
{
    return busy;
}


void
cometa_pipeline_init(cometa_pipeline_t *p, uint32_t index, void *owner,
    cometa_timer_t *timer)
{
    char      *messages;
    uint32_t   i;

    p->index = index;
    p->device = cometa_load_device(load, index);
    p->owner = owner;
    p->timer = timer;
    p->calls = cometa_alloc(conf->outstanding
                            * sizeof(cometa_pipeline_call_t));

    messages = cometa_alloc((size_t) conf->outstanding * conf->size);

    for (i = 0; i < conf->outstanding; i++) {
        p->calls[i].message = messages + (size_t) i * conf->size;
    }
}


/* one that was closed and is open again may be in the list still */

static void
list(cometa_pipeline_t *p)
{
    if (!p->listed) {
        p->listed = 1;
        STAILQ_INSERT_TAIL(&room, p, next);
    }
}


void
cometa_pipeline_open(cometa_pipeline_t *p)
{
    p->open = 1;
    list(p);
}


uint32_t
cometa_pipeline_used(const cometa_pipeline_t *p)
{
    return (uint32_t) (p->newest - p->oldest);
}


static int
is_full(const cometa_pipeline_t *p)
{
    return cometa_pipeline_used(p) == conf->outstanding;
}


static cometa_pipeline_call_t *
call_of(cometa_pipeline_t *p, uint64_t number)
{
    return &p->calls[number % conf->outstanding];
}


static void
end_call(cometa_pipeline_t *p)
{
    if (is_full(p)) {
        list(p);
    }

    p->oldest++;
    busy--;
}


void
cometa_pipeline_reply(cometa_pipeline_t *p, const char *data, size_t n)
{
    cometa_pipeline_call_t  *call = call_of(p, p->oldest);

    cometa_load_reply(load, p->device, call->due, call->message, data, n);
    end_call(p);
}


void
cometa_pipeline_error(cometa_pipeline_t *p, int status, const char *data,
    size_t n)
{
    cometa_load_error(load, status, data, n);
    end_call(p);
}


void
cometa_pipeline_malformed(cometa_pipeline_t *p, const char *data, size_t n)
{
    cometa_load_malformed(load, data, n);

    if (cometa_pipeline_used(p)) {
        end_call(p);
    }
}


static void
drop(cometa_pipeline_t *p)
{
    busy -= cometa_pipeline_used(p);
    p->oldest = p->newest;
    p->open = 0;
    load->result->lost++;
}


void
cometa_pipeline_lost(cometa_pipeline_t *p)
{
    uint32_t  n;

    for (n = cometa_pipeline_used(p); n; n--) {
        cometa_load_cut(load);
    }

    drop(p);
}


int
cometa_pipeline_hung(cometa_pipeline_t *p)
{
    uint64_t  due, now = cometa_now();

    if (cometa_pipeline_used(p) == 0) {
        return 0;
    }

    due = call_of(p, p->oldest)->begun + (uint64_t) (conf->watchdog * 1e9);

    if (now < due) {
        cometa_wheel_set(&load->wheel, p->timer, (due - now) / 1000000);
        return 0;
    }

    load->result->hung += cometa_pipeline_used(p);
    drop(p);

    return 1;
}


static void
start_call(cometa_pipeline_t *p, uint64_t due)
{
    cometa_pipeline_call_t  *call = call_of(p, p->newest);

    call->due = due;
    call->begun = cometa_now();

    cometa_load_call(load, p->index, call->message);
    way->call(p->owner, p->newest, call->message);

    p->newest++;
    busy++;
}


/* how many it got */

static uint32_t
start_calls(cometa_pipeline_t *p)
{
    uint32_t  k, most = conf->rate > 0 ? 1 : conf->outstanding;
    uint64_t  due;

    for (k = 0; k < most; k++) {

        if (is_full(p) || busy == conf->concurrency
            || !cometa_load_due(load, &due))
        {
            break;
        }

        start_call(p, due);
    }

    if (k == 0) {
        return 0;
    }

    if (p->timer->prev == NULL) {
        cometa_wheel_set(&load->wheel, p->timer,
                         (uint64_t) (conf->watchdog * 1000));
    }

    way->flush(p->owner);

    return k;
}


void
cometa_pipelines_start(void)
{
    uint32_t            n;
    cometa_pipeline_t  *p;

    if (load->result->lost == conf->callers && !conf->reopen) {
        cometa_die("all connections were lost");
    }

    while ((p = STAILQ_FIRST(&room)) != NULL) {
        STAILQ_REMOVE_HEAD(&room, next);
        p->listed = 0;

        if (!p->open) {
            continue;
        }

        n = start_calls(p);

        if (p->open && !is_full(p)) {
            list(p);
        }

        if (n == 0) {
            return;                 /* nothing more is due */
        }
    }
}
