/*
 * Callers: each has one keep-alive connection and one call at a time.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "caller.h"
#include "http.h"
#include "util.h"
#include "wheel.h"

#define EVENTS      256
#define REST        20          /* ms, after a lost connection */
#define MAX_TOLD    5           /* wrong replies that are shown */
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
    char             *message;
};


static const cometa_callers_conf_t  *conf;
static cometa_net_t                 *net;
static cometa_callers_result_t      *result;
static caller_t                     *idle, **idle_tail;
static uint32_t                      busy;
static cometa_wheel_t                wheel;

static const char                   *uri_rest;  /* behind the device */
static size_t                        uri_head;  /* bytes before it */
static char                          headers[1024];
static size_t                        headers_len;
static char                         *request;


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
count_error(int status, const char *word, size_t len)
{
    unsigned              i;
    cometa_call_error_t  *e;

    result->failed++;

    if (len >= sizeof(e->word)) {
        len = sizeof(e->word) - 1;
    }

    for (i = 0; i < result->nerrors; i++) {
        e = &result->errors[i];

        if (e->status == status && strlen(e->word) == len
            && memcmp(e->word, word, len) == 0)
        {
            e->calls++;
            return;
        }
    }

    if (i == COMETA_CALL_ERRORS) {
        cometa_die("more than %d kinds of errors", COMETA_CALL_ERRORS);
    }

    e = &result->errors[result->nerrors++];
    e->status = status;
    e->calls = 1;
    memcpy(e->word, word, len);
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
    cometa_wheel_set(&wheel, &c->timer, REST);
}


static void
lost(caller_t *c)
{
    if (c->state == IDLE) {
        cometa_stream_close(&c->stream);
        return;
    }

    count_error(0, "connection_lost", 15);
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


/* unique: caller and call; random: no other run's message looks the same */

static void
make_message(caller_t *c)
{
    int        n;
    char       start[64];
    size_t     i;
    uint64_t   random = 0;

    n = snprintf(start, sizeof(start), "%u-%llu-", c->index,
                 (unsigned long long) result->calls);

    for (i = (size_t) n; i < conf->size; i++) {
        if (random < 16) {
            random = cometa_random();
        }

        c->message[i] = "0123456789abcdef"[random % 16];
        random /= 16;
    }

    memcpy(c->message, start, (size_t) n);
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
    c->device = conf->first + cometa_random_below(conf->devices);

    make_message(c);
    result->calls++;

    cometa_wheel_set(&wheel, &c->timer, (uint64_t) (conf->watchdog * 1000));

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


static int
is_right(caller_t *c, const char *body, size_t n)
{
    size_t  i, size = conf->response_size ? conf->response_size : conf->size;

    if (conf->expect) {
        return n == strlen(conf->expect) && memcmp(body, conf->expect, n) == 0;
    }

    if (n != size) {
        return 0;
    }

    if (n == conf->size) {
        return memcmp(body, c->message, n) == 0;
    }

    for (i = 0; i < n; i++) {
        if (body[i] != c->message[i % conf->size]) {
            return 0;
        }
    }

    return 1;
}


static void
on_reply(caller_t *c, const char *body, size_t n)
{
    if (is_right(c, body, n)) {
        result->right++;
        cometa_hist_add(&result->latency, cometa_now() - c->due);
        return;
    }

    if (result->wrong++ < MAX_TOLD) {
        fprintf(stderr, "cb-load: wrong reply from device %llu: "
                        "sent \"%.*s\", got \"%.*s\"\n",
                (unsigned long long) c->device,
                (int) (conf->size < 80 ? conf->size : 80), c->message,
                (int) (n < 80 ? n : 80), body);
    }
}


static void
on_error(int status, const char *body, size_t n)
{
    const char  *word, *end;

    word = memmem(body, n, "\"error\":\"", 9);

    if (word) {
        word += 9;
        end = memchr(word, '"', n - (size_t) (word - body));

        if (end) {
            count_error(status, word, (size_t) (end - word));
            return;
        }
    }

    count_error(status, "-", 1);
}


static void
on_answer(caller_t *c, const cometa_http_t *h, const char *body)
{
    if (h->status == 200) {
        on_reply(c, body, h->length);

    } else {
        on_error(h->status, body, h->length);
    }

    if (h->close) {
        cometa_stream_close(&c->stream);
    }

    done(c);
}


static void
malformed(caller_t *c, const char *p, size_t n)
{
    if (result->malformed++ < MAX_TOLD) {
        fprintf(stderr, "cb-load: malformed answer: \"%.*s\"\n",
                (int) (n < 200 ? n : 200), p);
    }

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
on_event(caller_t *c)
{
    char     *p;
    ssize_t   n;

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

    result->hung++;
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


static caller_t *
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

    return callers;
}


/*
 * Starts what is due and tells how long nothing more will be, in ns: never
 * more than a tick of the wheel.
 */

static uint64_t
start_due(uint64_t start, uint64_t end)
{
    double    due;
    uint64_t  now, tick = COMETA_WHEEL_TICK * 1000000ull;

    while (idle && busy < conf->concurrency
           && (conf->calls == 0 || result->calls < conf->calls))
    {
        now = cometa_now();

        if (now >= end) {
            return tick;
        }

        if (conf->rate == 0) {
            start_call(get_idle(), now);
            continue;
        }

        due = (double) start + (double) result->calls / conf->rate * 1e9;

        if (due > (double) now) {
            due -= (double) now;
            return due < (double) tick ? (uint64_t) due : tick;
        }

        start_call(get_idle(), (uint64_t) due);
    }

    return tick;
}


static int
over(uint64_t end)
{
    if (conf->calls && result->calls >= conf->calls) {
        return 1;
    }

    return cometa_now() >= end;
}


static void
wait_events(uint64_t ns)
{
    int                 i, n;
    struct timespec     timeout = { 0, (long) ns };
    struct epoll_event  events[EVENTS];

    n = epoll_pwait2(net->epoll, events, EVENTS, &timeout, NULL);

    if (n < 0 && errno != EINTR) {
        cometa_die("epoll_pwait2: %s", strerror(errno));
    }

    for (i = 0; i < n; i++) {
        on_event(events[i].data.ptr);
    }

    cometa_wheel_run(&wheel, on_timer);
}


static void
count_unsent(uint64_t start, uint64_t end)
{
    double  due;

    if (conf->rate == 0) {
        return;
    }

    due = (double) (end - start) / 1e9 * conf->rate;

    if (conf->calls && due > (double) conf->calls) {
        due = (double) conf->calls;
    }

    if (due > (double) result->calls) {
        result->unsent = (uint64_t) due - result->calls;
    }
}


void
cometa_callers_run(const cometa_callers_conf_t *cf, cometa_net_t *nt,
    cometa_callers_result_t *rs, volatile sig_atomic_t *stop)
{
    uint64_t  start, end, now;

    conf = cf;
    net = nt;
    result = rs;

    prepare_request();
    make_callers();
    cometa_wheel_init(&wheel);

    start = cometa_now();
    end = conf->duration ? start + (uint64_t) (conf->duration * 1e9)
                         : UINT64_MAX;

    while (!*stop && !over(end)) {
        wait_events(start_due(start, end));
    }

    now = cometa_now();
    count_unsent(start, now < end ? now : end);

    /* what is under way ends by itself: the watchdog sees to that */

    while (busy) {
        wait_events(COMETA_WHEEL_TICK * 1000000ull);
    }

    result->seconds = (double) (cometa_now() - start) / 1e9;
}
