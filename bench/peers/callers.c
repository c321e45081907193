/*
 * The callers of the comparison.
 */

#include "../clients/pipeline.h"
#include "../clients/util.h"
#include "callers.h"
#include "client.h"

#define OPEN_TIMEOUT  30000         /* ms */


typedef struct {
    cometa_client_t    client;      /* first: a client is its caller */
    cometa_pipeline_t  pipeline;    /* of calls, tagged by their numbers */
} caller_t;


static cometa_load_t             *load;
static const cometa_load_conf_t  *conf;
static cometa_clients_t           all;

static caller_t                  *callers;
static uint32_t                   opened;


static void
on_ready(cometa_client_t *client)
{
    opened++;
    cometa_wheel_unset(&client->timer);
    cometa_pipeline_open(&((caller_t *) client)->pipeline);
}


static void
on_lost(cometa_client_t *client)
{
    caller_t  *c = (caller_t *) client;

    if (!client->ready) {
        cometa_die("caller %u was refused by the server", client->peer.caller);
    }

    cometa_pipeline_lost(&c->pipeline);
}


static int
on_message(cometa_client_t *client, const cometa_news_t *news)
{
    cometa_pipeline_t  *p = &((caller_t *) client)->pipeline;

    if (cometa_pipeline_used(p) == 0 || news->tag != (uint32_t) p->oldest) {
        cometa_pipeline_malformed(p, news->data, news->size);
        return -1;
    }

    cometa_pipeline_reply(p, news->data, news->size);

    return 0;
}


static void
on_event(void *owner)
{
    cometa_client_event(&all, owner);
}


static void
on_timer(cometa_timer_t *t)
{
    caller_t  *c = (caller_t *) t;

    if (!c->client.ready) {
        cometa_die("caller %u: no answer from the server in %d ms",
                   c->client.peer.caller, OPEN_TIMEOUT);
    }

    if (cometa_pipeline_hung(&c->pipeline)) {
        cometa_stream_close(&c->client.stream);
    }
}


static void
add_call(void *owner, uint64_t number, const char *message)
{
    cometa_client_call(&all, owner, (uint32_t) number, message, conf->size);
}


static void
send_calls(void *owner)
{
    cometa_client_flush(&all, owner);
}


static int
is_busy(void)
{
    return cometa_pipelines_busy() > 0;
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
    caller_t                           *c;
    uint32_t                            i;
    static const cometa_pipeline_way_t  way = {
        .call = add_call,
        .flush = send_calls
    };

    cometa_pipelines_init(load, &way);
    callers = cometa_alloc(conf->callers * sizeof(caller_t));

    for (i = 0; i < conf->callers; i++) {
        c = &callers[i];
        cometa_pipeline_init(&c->pipeline, i, c, &c->client.timer);

        c->client.stream.fd = -1;
        c->client.peer.calls = 1;
        c->client.peer.caller = i;
        c->client.peer.device = c->pipeline.device;
    }
}


const cometa_load_way_t *
cometa_peer_callers(cometa_load_t *l, const cometa_protocol_t *protocol)
{
    static const cometa_load_way_t  way = {
        .open = open_all,
        .start = cometa_pipelines_start,
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
