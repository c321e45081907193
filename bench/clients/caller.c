/*
 * Callers over HTTP: each has one keep-alive connection and one call at a
 * time.
 */

#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "caller.h"
#include "http.h"
#include "util.h"

#define REST        20          /* ms, after a lost connection */
#define PLACE       "{device}"


enum {
    IDLE = 0,
    ASKING,                     /* which worker has this connection? */
    CALLING,
    RESTING
};


typedef struct caller_s  caller_t;

struct caller_s {
    cometa_timer_t    timer;    /* first: a timer is its caller */
    cometa_stream_t   stream;
    caller_t         *next;     /* of the idle ones */
    uint64_t          due;      /* ns: when the call should have begun */
    uint64_t          device;
    uint32_t          index;
    int               state;
    int               retried;  /* the present call */
    char             *message;
};


static int connect_and_call(caller_t *c);


static cometa_load_t             *load;
static const cometa_load_conf_t  *conf;
static cometa_net_t              *net;
static caller_t                  *idle, **idle_tail;
static uint32_t                   busy;

static const char                *uri_rest;     /* behind the device */
static size_t                     uri_head;     /* bytes before it */
static char                       headers[1024];
static size_t                     headers_len;
static char                      *request;


static void
set_idle(caller_t *c)
{
    c->state = IDLE;
    c->next = NULL;
    *idle_tail = c;
    idle_tail = &c->next;
}


static caller_t *
get_idle(void)
{
    caller_t  *c = idle;

    idle = c->next;

    if (idle == NULL) {
        idle_tail = &idle;
    }

    return c;
}


static void
done(caller_t *c)
{
    busy--;
    cometa_wheel_unset(&c->timer);
    set_idle(c);
}


/* a server that is gone must not make its callers spin */

static void
done_and_rest(caller_t *c)
{
    busy--;
    cometa_stream_close(&c->stream);
    c->state = RESTING;
    cometa_wheel_set(&load->wheel, &c->timer, REST);
}


static void
lost(caller_t *c)
{
    if (c->state == IDLE) {
        cometa_stream_close(&c->stream);
        return;
    }

    if (conf->retry && !c->retried) {
        c->retried = 1;
        load->result->retried++;

        cometa_stream_close(&c->stream);

        if (connect_and_call(c) == 0) {
            return;
        }
    }

    cometa_load_cut(load);
    done_and_rest(c);
}


static size_t
make_request(caller_t *c)
{
    char  *p = request;

    p += sprintf(p, "%s ", conf->expect ? "GET" : "POST");
    p = mempcpy(p, conf->uri, uri_head);

    if (uri_rest) {
        p += sprintf(p, "%llu%s", (unsigned long long) c->device, uri_rest);
    }

    p = mempcpy(p, headers, headers_len);

    if (!conf->expect) {
        p = mempcpy(p, c->message, conf->size);
    }

    return (size_t) (p - request);
}


static int
call(caller_t *c)
{
    c->state = CALLING;

    return cometa_stream_send(net, &c->stream, c, request, make_request(c));
}


static int
ask_worker(caller_t *c)
{
    int  n;

    c->state = ASKING;

    n = sprintf(request, "GET /worker HTTP/1.1\r\nHost: %s\r\n\r\n", net->name);

    return cometa_stream_send(net, &c->stream, c, request, (size_t) n);
}


static int
connect_and_call(caller_t *c)
{
    if (cometa_stream_open(net, &c->stream, c) != 0) {
        return -1;
    }

    return conf->worker ? ask_worker(c) : call(c);
}


static void
start_call(caller_t *c, uint64_t due)
{
    busy++;
    c->due = due;
    c->retried = 0;
    c->device = cometa_load_device(load, c->index);

    cometa_load_call(load, c->index, c->message);

    cometa_wheel_set(&load->wheel, &c->timer,
                     (uint64_t) (conf->watchdog * 1000));

    if ((c->stream.fd < 0 ? connect_and_call(c) : call(c)) != 0) {
        c->state = CALLING;
        lost(c);
    }
}


static int
on_worker(caller_t *c, const cometa_http_t *h, const char *body)
{
    if (h->status != 200 || h->close) {
        cometa_die("GET /worker: no process id in the answer");
    }

    if (strtoull(body, NULL, 10) == conf->worker) {
        return call(c);
    }

    cometa_stream_close(&c->stream);

    return connect_and_call(c);
}


static void
on_answer(caller_t *c, const cometa_http_t *h, const char *body)
{
    if (h->status == 200) {
        cometa_load_reply(load, c->device, c->due, c->message, body,
                          h->length);

    } else {
        cometa_load_error(load, h->status, body, h->length);
    }

    if (h->close) {
        cometa_stream_close(&c->stream);
    }

    done(c);
}


static void
malformed(caller_t *c, const char *p, size_t n)
{
    cometa_load_malformed(load, p, n);
    done_and_rest(c);
}


static void
on_bytes(caller_t *c, const char *p, size_t n)
{
    int            rc;
    cometa_http_t  h;

    rc = cometa_http_head(p, n, &h);

    if (rc == 0 || (rc > 0 && n < h.head + h.length)) {
        cometa_stream_keep(&c->stream, p, n);
        return;
    }

    if (rc < 0 || h.chunked || n > h.head + h.length
        || h.length > COMETA_STREAM_MAX)
    {
        malformed(c, p, n);
        return;
    }

    if (c->state == CALLING) {
        on_answer(c, &h, p + h.head);
        return;
    }

    if (on_worker(c, &h, p + h.head) != 0) {
        lost(c);
    }
}


static void
on_event(void *owner)
{
    char      *p;
    ssize_t    n;
    caller_t  *c = owner;

    if (c->stream.fd < 0) {
        return;
    }

    if (cometa_stream_ready(net, &c->stream, c) != 0) {
        lost(c);
        return;
    }

    n = cometa_stream_read(&c->stream, &p);

    if (n < 0) {
        lost(c);
        return;
    }

    if (n == 0) {
        return;
    }

    if (c->state == IDLE) {
        busy++;                         /* an answer that nobody asked for */
        malformed(c, p, (size_t) n);
        return;
    }

    on_bytes(c, p, (size_t) n);
}


static void
on_timer(cometa_timer_t *t)
{
    caller_t  *c = (caller_t *) t;

    if (c->state == RESTING) {
        set_idle(c);
        return;
    }

    load->result->hung++;
    done_and_rest(c);
}


static void
prepare_request(void)
{
    int          n;
    const char  *place = strstr(conf->uri, PLACE);

    uri_head = place ? (size_t) (place - conf->uri) : strlen(conf->uri);
    uri_rest = place ? place + strlen(PLACE) : NULL;

    n = snprintf(headers, sizeof(headers), " HTTP/1.1\r\nHost: %s\r\n",
                 net->name);

    if (conf->secret) {
        n += snprintf(headers + n, sizeof(headers) - (size_t) n,
                      "Authorization: OAuth %.500s\r\n", conf->secret);
    }

    if (conf->deadline) {
        n += snprintf(headers + n, sizeof(headers) - (size_t) n,
                      "Prefer: wait=%u\r\n", conf->deadline);
    }

    if (conf->wait) {
        n += snprintf(headers + n, sizeof(headers) - (size_t) n,
                      "Cometa-Wait: %u\r\n", conf->wait);
    }

    if (!conf->expect) {
        n += snprintf(headers + n, sizeof(headers) - (size_t) n,
                      "Content-Length: %u\r\n", conf->size);
    }

    n += snprintf(headers + n, sizeof(headers) - (size_t) n, "\r\n");

    headers_len = (size_t) n;
    request = cometa_alloc(strlen(conf->uri) + sizeof(headers) + conf->size
                           + 64);
}


static void
make_callers(void)
{
    uint32_t   i;
    caller_t  *callers;

    callers = cometa_alloc(conf->callers * sizeof(caller_t));
    idle_tail = &idle;

    for (i = 0; i < conf->callers; i++) {
        callers[i].index = i;
        callers[i].stream.fd = -1;
        callers[i].message = cometa_alloc(conf->size);
        set_idle(&callers[i]);
    }
}


static void
start_calls(void)
{
    uint64_t  due;

    while (idle && busy < conf->concurrency && cometa_load_due(load, &due)) {
        start_call(get_idle(), due);
    }
}


static int
is_busy(void)
{
    return busy > 0;
}


const cometa_load_way_t *
cometa_callers(cometa_load_t *l)
{
    static const cometa_load_way_t  way = {
        .start = start_calls,
        .busy = is_busy,
        .event = on_event,
        .timer = on_timer
    };

    load = l;
    conf = l->conf;
    net = l->net;

    prepare_request();
    make_callers();

    return &way;
}
