/*
 * Requests of a device, on stubs of the device and of the webhook: their order
 * and bounds, what comes back, and that nothing is used after it has gone.
 */

#pragma GCC diagnostic ignored "-Wunused-parameter"

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

/* A timer is only noted. */

#undef ngx_add_timer
#undef ngx_del_timer

#define ngx_add_timer(ev, ms)  ((ev)->timer.key = (ms), (ev)->timer_set = 1)
#define ngx_del_timer(ev)      ((ev)->timer_set = 0)

#include "ngx_cometa_request.c"
#include "tap.h"


#define MAX  64                         /* bytes of a message */


static ngx_log_t                 process;
static ngx_cycle_t               cycle = { .log = &process };
volatile ngx_cycle_t            *ngx_cycle = &cycle;
volatile ngx_msec_t              ngx_current_msec = 5000;
ngx_queue_t                      ngx_posted_events;
ngx_cometa_zone_t                ngx_cometa_zone;

static ngx_cometa_counters_t     counters;
static ngx_cometa_device_conf_t  conf;
static ngx_cometa_asked_t        asked;
static ngx_cometa_device_t       dev;
static ngx_connection_t          connection;
static ngx_event_t               rev;

static ngx_cometa_answer_t      *answer;        /* of what the webhook has */
static int                       lane;
static int                       full;          /* the webhook */
static int                       busy;          /* the device takes nothing */
static int                       broken;        /* it is closed by a write */
static int                       not_text;
static u_char                    said[4096];    /* what was done, in words */
static size_t                    len;


/* With the line feed shown as a colon. */

static void
say(const char *word, u_char *data, size_t n)
{
    size_t  i;

    len += sprintf((char *) said + len, "%s%s ", len ? ", " : "", word);

    for (i = 0; i < n; i++) {
        said[len++] = (data[i] == '\n') ? ':' : data[i];
    }
}


static int
was(const char *expected)
{
    int  same;

    said[len] = '\0';
    same = strcmp((char *) said, expected) == 0;

    if (!same) {
        diag("%s", said);
    }

    len = 0;

    return same;
}


void
ngx_log_error_core(ngx_uint_t level, ngx_log_t *log, ngx_err_t err,
    const char *fmt, ...)
{
    /* void */
}


void *
ngx_alloc(size_t size, ngx_log_t *log)
{
    return malloc(size);
}


void *
ngx_calloc(size_t size, ngx_log_t *log)
{
    return calloc(1, size);
}


ngx_cometa_counters_t *
ngx_cometa_stats(uint32_t app)
{
    return &counters;
}


ngx_uint_t
ngx_cometa_asked_takes(ngx_cometa_device_t *d, u_char *message, size_t n)
{
    return !not_text;
}


ngx_uint_t
ngx_cometa_device_writable(ngx_cometa_device_t *d)
{
    return !busy;
}


ngx_int_t
ngx_cometa_device_write(ngx_cometa_device_t *d, u_char *data, size_t n)
{
    if (broken) {
        say("closes", NULL, 0);
        ngx_cometa_request_closed(d);
        return NGX_ERROR;
    }

    if (data[0] != NGX_COMETA_CHUNK_REQUEST || n > MAX) {
        say("wrong", NULL, 0);
    }

    say("writes", data + 1, n - 1);

    return NGX_OK;
}


ngx_cometa_lane_t *
ngx_cometa_webhook_ask(ngx_cometa_webhook_conf_t *webhook,
    ngx_cometa_device_t *d, ngx_cometa_news_t *news, ngx_cometa_answer_t *to)
{
    if (full) {
        return NULL;
    }

    if (news->event != NGX_COMETA_EVENT_REQUEST || answer) {
        say("wrong", NULL, 0);
    }

    say("asks", news->call.data, news->call.len);
    say("with", news->data, news->len);

    answer = to;

    return (ngx_cometa_lane_t *) &lane;
}


void
ngx_cometa_webhook_forget(ngx_cometa_lane_t *l)
{
    say("forgets", NULL, 0);
    answer = NULL;
}


static void
request(const char *text)
{
    size_t   n = strlen(text);
    u_char  *copy = malloc(n ? n : 1);

    memcpy(copy, text, n);
    ngx_cometa_request(&dev, copy, n);
    free(copy);
}


static void
events(void)
{
    ngx_event_t  *ev;

    while (!ngx_queue_empty(&ngx_posted_events)) {
        ev = ngx_queue_data(ngx_queue_head(&ngx_posted_events), ngx_event_t,
                            queue);
        ngx_delete_posted_event(ev);
        ev->handler(ev);
    }
}


static void
answers(const char *body, int ok)
{
    ngx_cometa_answer_t  *to = answer;

    to->len = strlen(body);
    to->size = to->len;
    to->body = malloc(to->len + 1);
    memcpy(to->body, body, to->len);

    answer = NULL;
    to->handler(to, ok);
    events();
}


static void
begin(void)
{
    memset(&counters, 0, sizeof(counters));
    memset(&asked, 0, sizeof(asked));
    memset(&conf, 0, sizeof(conf));
    memset(&dev, 0, sizeof(dev));

    conf.max_message = MAX;
    conf.request_timeout = 1000;
    conf.webhook = (void *) &lane;
    asked.terms.requests = 1;
    connection.log = &process;
    connection.read = &rev;
    dev.used = 1;
    dev.asked = &asked;
    dev.conf = &conf;
    dev.connection = &connection;

    ngx_current_msec = 5000;
    answer = NULL;
    full = busy = broken = not_text = 0;

    ngx_queue_init(&ngx_posted_events);
}


static void
end(const char *name)
{
    ok(asked.questions == NULL && len == 0
       && ngx_queue_empty(&ngx_posted_events), "%s: nothing is left", name);
}


static void
test_order(void)
{
    begin();

    request("a\none");
    request("b\ntwo");
    request("c\n");
    ok(was("asks a, with one"), "the first one goes to the webhook");
    answers("1", 1);
    ok(was("writes a:1, asks b, with two"), "its answer is written, the next");
    answers("not this", 0);
    ok(was("writes b:, asks c, with "), "of a failure there is no body");
    not_text = 1;
    answers("not text", 1);
    ok(was("writes c:"), "nor one that the device cannot take");

    end("order");
}


static void
test_malformed(void)
{
    char  id[64];

    begin();

    request("");
    request("\n");
    request("\nx");
    request("id");
    request("an id\nx");
    request("\x7f\nx");
    request("\xc3\xa4\nx");
    memset(id, 'i', sizeof(id));
    strcpy(id + 37, "\nx");
    request(id);
    ok(was("") && counters.errors == 8, "what has no id is an error");
    request(id + 1);
    ok(answer && answer->max == MAX - 38, "36 characters are one");
    len = 0;
    answers("", 1);
    len = 0;

    end("malformed");
}


static void
test_bounds(void)
{
    int   i;
    char  text[16];

    begin();

    for (i = 1; i <= 19; i++) {
        sprintf(text, "%d\n", i);
        request(text);
    }

    ok(was("asks 1, with , writes 17:, writes 18:, writes 19:")
       && counters.webhook_dropped == 3, "of more than 16 the rest fails");

    for (i = 1; i <= 16; i++) {
        answers("", 1);
    }

    len = 0;
    request("a\n0123456789012345678901234567890123456789");
    request("b\n0123456789012345678901234567890123456789");
    request("c\n0123456789");
    ok(was("asks a, with 0123456789012345678901234567890123456789, "
           "writes b:"), "and of more bytes than a message has");
    answers("", 1);
    answers("", 1);
    len = 0;

    busy = 1;

    for (i = 0; i < 200; i++) {
        request("x\n0123456789012345678901234567890123456789");
    }

    ok(asked.questions->nresponses == NGX_COMETA_REFUSALS
       && asked.questions->nquestions == 1,
       "a device that does not read holds no more");
    len = 0;
    busy = 0;
    ngx_cometa_request_ready(&dev);
    len = 0;
    answers("", 1);
    len = 0;

    end("bounds");
}


static void
test_busy(void)
{
    begin();

    request("a\none");
    request("b\ntwo");
    busy = 1;
    answers("1", 1);
    ok(was("asks a, with one"), "the device takes no answer now");
    ngx_cometa_request_ready(&dev);
    ok(was(""), "nor now");
    busy = 0;
    ngx_cometa_request_ready(&dev);
    ok(was("writes a:1, asks b, with two"), "then it does, and asks on");
    broken = 1;
    answers("2", 1);
    ok(was("closes "), "a write fails");

    end("busy");
}


static void
test_none(void)
{
    begin();

    conf.webhook = NULL;
    busy = 1;
    request("a\n");
    request("b\n");
    ok(was(""), "it is being read");
    busy = 0;
    ngx_cometa_request_ready(&dev);
    ok(was("writes a:, writes b:") && counters.webhook_failed == 2,
       "without a webhook they fail");
    conf.webhook = (void *) &lane;
    full = 1;
    request("c\n");
    ok(was("writes c:"), "so they do if it is full");

    end("none");
}


static void
test_time(void)
{
    ngx_event_t  *ev;

    begin();

    request("a\n");
    ngx_current_msec = 5400;
    request("b\n");
    ev = &asked.questions->event;
    ok(was("asks a, with ") && ev->timer_set && ev->timer.key == 1000,
       "it has its time");
    ngx_current_msec = 6000;
    ev->timer_set = 0;
    ev->handler(ev);
    ok(was("forgets , writes a:, asks b, with ") && ev->timer_set
       && ev->timer.key == 400, "the next one what is left of its own");
    request("c\n");
    busy = 1;
    answers("2", 1);
    ngx_current_msec = 8000;
    busy = 0;
    ngx_cometa_request_ready(&dev);
    ok(was("writes b:2, writes c:"), "one that has none any more fails");

    end("time");
}


static void
test_leaves(void)
{
    begin();

    request("a\n");
    request("b\n");
    ngx_cometa_request_closed(&dev);
    ok(was("asks a, with , forgets "), "the device leaves");
    end("leaves");

    begin();

    request("a\n");
    answer->handler(answer, 1);
    answer = NULL;
    ngx_cometa_request_closed(&dev);
    events();
    ok(was("asks a, with "), "just when its answer has come");
    end("leaves with an answer");

    begin();

    request("a\n");
    request("b\n");
    ok(ngx_cometa_request_give_up(&dev) == NGX_OK, "it is to move");
    ok(was("asks a, with , forgets , writes a:, writes b:"),
       "before it moves all fail");
    end("moves");
}


int
main(void)
{
    test_order();
    test_malformed();
    test_bounds();
    test_busy();
    test_none();
    test_time();
    test_leaves();

    return done_testing();
}
