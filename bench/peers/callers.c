/*
 * The callers of the comparison. What has become due in one turn is sent on
 * a connection in one piece.
 */

#include <string.h>

#include "../util.h"
#include "callers.h"
#include "client.h"

#define OPEN_TIMEOUT  30000         /* ms */


typedef struct caller_s  caller_t;

typedef struct {
    uint64_t          due;          /* ns: when it should have begun */
    uint64_t          begun;
    char             *message;
} call_t;

struct caller_s {
    cometa_client_t   client;       /* first: a client is its caller */
    caller_t         *next;         /* of those with room */
    call_t           *calls;        /* a ring: answers come in order */
    uint32_t          oldest;       /* tags: those of the calls under way */
    uint32_t          newest;       /* and the one that is next */
};


static cometa_load_t             *load;
static const cometa_load_conf_t  *conf;
static cometa_clients_t           all;

static caller_t                  *callers;
static caller_t                  *room, **room_tail;
static uint32_t                   opened;
static uint32_t                   busy;     /* calls under way, of all */


static void
set_room(caller_t *c)
{
    c->next = NULL;
    *room_tail = c;
    room_tail = &c->next;
}


static caller_t *
get_room(void)
{
    caller_t  *c = room;

    room = c->next;

    if (room == NULL) {
        room_tail = &room;
    }

    return c;
}


static uint32_t
under_way(const caller_t *c)
{
    return c->newest - c->oldest;
}


static call_t *
call_of(caller_t *c, uint32_t tag)
{
    return &c->calls[tag % conf->outstanding];
}


static void
end_call(caller_t *c)
{
    if (under_way(c) == conf->outstanding) {
        set_room(c);
    }

    c->oldest++;
    busy--;
}


static void
on_ready(cometa_client_t *client)
{
    opened++;
    cometa_wheel_unset(&client->timer);
    set_room((caller_t *) client);
}


static void
on_lost(cometa_client_t *client)
{
    caller_t  *c = (caller_t *) client;

    if (!client->ready) {
        cometa_die("caller %u was refused by the server", client->peer.caller);
    }

    for ( /* void */ ; under_way(c); c->oldest++) {
        cometa_load_cut(load);
        busy--;
    }

    load->result->lost++;
}


static int
on_message(cometa_client_t *client, const cometa_news_t *news)
{
    call_t    *call;
    caller_t  *c = (caller_t *) client;

    if (under_way(c) == 0 || news->tag != c->oldest) {
        cometa_load_malformed(load, news->data, news->size);

        if (under_way(c)) {
            end_call(c);            /* taken for its answer */
        }

        return -1;
    }

    call = call_of(c, c->oldest);
    cometa_load_reply(load, client->peer.device, call->due, call->message,
                      news->data, news->size);
    end_call(c);

    return 0;
}


static void
on_event(void *owner)
{
    cometa_client_event(&all, owner);
}


/* a call without an answer: nothing that comes later can be told from it */

static void
give_up(caller_t *c)
{
    load->result->hung += under_way(c);
    load->result->lost++;
    busy -= under_way(c);
    c->oldest = c->newest;
    cometa_stream_close(&c->client.stream);
}


static void
on_timer(cometa_timer_t *t)
{
    caller_t  *c = (caller_t *) t;
    uint64_t   due, now = cometa_now();

    if (!c->client.ready) {
        cometa_die("caller %u: no answer from the server in %d ms",
                   c->client.peer.caller, OPEN_TIMEOUT);
    }

    if (under_way(c) == 0) {
        return;
    }

    due = call_of(c, c->oldest)->begun + (uint64_t) (conf->watchdog * 1e9);

    if (now < due) {
        cometa_wheel_set(&load->wheel, t, (due - now) / 1000000);
        return;
    }

    give_up(c);
}


static void
start_call(caller_t *c, uint64_t due)
{
    call_t  *call = call_of(c, c->newest);

    call->due = due;
    call->begun = cometa_now();
    busy++;

    cometa_load_call(load, c->client.peer.caller, call->message);
    cometa_client_call(&all, &c->client, c->newest++, call->message,
                       conf->size);

    if (c->client.timer.prev == NULL) {
        cometa_wheel_set(&load->wheel, &c->client.timer,
                         (uint64_t) (conf->watchdog * 1000));
    }
}


static void
start_calls(void)
{
    uint64_t   due;
    caller_t  *c;

    if (load->result->lost == conf->callers) {
        cometa_die("all callers lost their connection");
    }

    while (room) {
        c = get_room();

        if (c->client.stream.fd < 0) {
            continue;
        }

        while (under_way(c) < conf->outstanding
               && busy < conf->concurrency && cometa_load_due(load, &due))
        {
            start_call(c, due);
        }

        cometa_client_flush(&all, &c->client);

        if (under_way(c) < conf->outstanding) {
            set_room(c);            /* nothing more is due */
            return;
        }
    }
}


static int
is_busy(void)
{
    return busy > 0;
}


static void
open_all(void)
{
    uint32_t  i;

    for (i = 0; i < conf->callers; i++) {
        cometa_wheel_set(&load->wheel, &callers[i].client.timer, OPEN_TIMEOUT);
        cometa_client_open(&all, &callers[i].client);
    }

    while (opened < conf->callers && !*load->stop) {
        cometa_load_turn(load, COMETA_WHEEL_TICK * 1000000ull);
    }
}


static void
make_callers(void)
{
    char      *messages;
    call_t    *calls;
    uint32_t   i;
    uint64_t   k, n = (uint64_t) conf->callers * conf->outstanding;

    callers = cometa_alloc(conf->callers * sizeof(caller_t));
    calls = cometa_alloc(n * sizeof(call_t));
    messages = cometa_alloc(n * conf->size);
    room_tail = &room;

    for (k = 0; k < n; k++) {
        calls[k].message = messages + k * conf->size;
    }

    for (i = 0; i < conf->callers; i++) {
        callers[i].client.stream.fd = -1;
        callers[i].client.peer.calls = 1;
        callers[i].client.peer.caller = i;
        callers[i].client.peer.device = cometa_load_device(load, i);
        callers[i].calls = calls + (size_t) i * conf->outstanding;
    }
}


const cometa_load_way_t *
cometa_peer_callers(cometa_load_t *l, const cometa_protocol_t *protocol)
{
    static const cometa_load_way_t  way = {
        .open = open_all,
        .start = start_calls,
        .busy = is_busy,
        .event = on_event,
        .timer = on_timer
    };

    load = l;
    conf = l->conf;

    all.protocol = protocol;
    all.net = l->net;
    all.ready = on_ready;
    all.message = on_message;
    all.lost = on_lost;

    make_callers();

    return &way;
}
