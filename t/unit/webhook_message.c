/*
 * What a request of the webhook says of an event: its headers and its body, and
 * what of it is kept until then. Bytes too many are for the sanitizer to find.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "tap.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"

#include "ngx_cometa_share.c"
#include "ngx_cometa_webhook_message.c"
#include "ngx_cometa_webhook_queue.c"


/* What they need. */

static ngx_log_t            test_log;
static ngx_cycle_t          test_cycle = { .log = &test_log };
static ngx_cometa_gauges_t  gauges[1];
static ngx_cometa_head_t    head = { .apps = 1 };
static ngx_time_t           now = { 1795446563, 7, 0 };

volatile ngx_cycle_t       *ngx_cycle = &test_cycle;
volatile ngx_time_t        *ngx_cached_time = &now;
ngx_cometa_zone_t           ngx_cometa_zone = { .gauges = gauges,
                                                .head = &head };
ngx_module_t                ngx_http_core_module;
ngx_rbtree_t                ngx_event_timer_rbtree;


void
ngx_log_error_core(ngx_uint_t level, ngx_log_t *log, ngx_err_t err,
    const char *fmt, ...)
{
    /* void */
}


void
ngx_rbtree_delete(ngx_rbtree_t *tree, ngx_rbtree_node_t *node)
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


/* Each has memory of its own, so that a byte too many is seen; all is freed. */

static void  *taken[64];
static int    taken_n;

void *
ngx_palloc(ngx_pool_t *pool, size_t size)
{
    return taken[taken_n++] = malloc(size);
}


void *
ngx_pnalloc(ngx_pool_t *pool, size_t size)
{
    return ngx_palloc(pool, size);
}


void *
ngx_pcalloc(ngx_pool_t *pool, size_t size)
{
    return memset(ngx_palloc(pool, size), 0, size);
}


/* The list of headers has one part, which is large enough. */

void *
ngx_list_push(ngx_list_t *list)
{
    if (list->last->nelts == list->nalloc) {
        return NULL;
    }

    return (u_char *) list->last->elts + list->size * list->last->nelts++;
}


ngx_uint_t
ngx_hash_key(u_char *data, size_t len)
{
    ngx_uint_t  key;

    for (key = 0; len; len--) {
        key = ngx_hash(key, *data++);
    }

    return key;
}


uintptr_t
ngx_escape_uri(u_char *dst, u_char *src, size_t size, ngx_uint_t type)
{
    if (type != NGX_ESCAPE_URI_COMPONENT) {
        return 0;
    }

    for ( /* void */ ; size; size--, src++) {
        if (isalnum(*src) || (*src && strchr("-._~", *src))) {
            *dst++ = *src;
            continue;
        }

        memcpy(dst, (char []) { '%', "0123456789ABCDEF"[*src >> 4],
                                "0123456789ABCDEF"[*src & 15] }, 3);
        dst += 3;
    }

    return (uintptr_t) dst;
}


/* As much of it as is needed: %uL, %uD, %V, and what printf() has. */

u_char *
ngx_sprintf(u_char *buf, const char *fmt, ...)
{
    char        text[256], one[16], *p;
    va_list     args;
    ngx_str_t  *s;

    p = text;
    va_start(args, fmt);

    while (*fmt) {

        if (*fmt != '%') {
            *p++ = *fmt++;

        } else if (strncmp(fmt, "%uL", 3) == 0) {
            p += sprintf(p, "%lu", va_arg(args, uint64_t));
            fmt += 3;

        } else if (strncmp(fmt, "%uD", 3) == 0) {
            p += sprintf(p, "%u", va_arg(args, uint32_t));
            fmt += 3;

        } else if (strncmp(fmt, "%V", 2) == 0) {
            s = va_arg(args, ngx_str_t *);
            p += sprintf(p, "%.*s", (int) s->len, s->data);
            fmt += 2;

        } else {
            (void) sprintf(one, "%.*s", (int) strcspn(fmt, "d") + 1, fmt);
            p += sprintf(p, one, va_arg(args, int));
            fmt += strlen(one);
        }
    }

    va_end(args);

    return ngx_cpymem(buf, text, p - text);
}


ngx_chain_t *
ngx_alloc_chain_link(ngx_pool_t *pool)
{
    return ngx_palloc(pool, sizeof(ngx_chain_t));
}


void
ngx_gmtime(time_t t, ngx_tm_t *tp)
{
    (void) gmtime_r(&t, tp);

    tp->ngx_tm_mon++;
    tp->ngx_tm_year += 1900;
}


socklen_t
ngx_cometa_address_get(ngx_cometa_address_t *a, ngx_sockaddr_t *to)
{
    memset(to, a->family, sizeof(ngx_sockaddr_t));
    return 0;
}


void
ngx_cometa_key_init(ngx_cometa_key_t *key)
{
    key->hash = 7;
}


ngx_uint_t
ngx_cometa_registry_named(uint32_t record, uint64_t hash)
{
    return 0;
}


void
ngx_cometa_registry_name(uint32_t record, ngx_str_t *app, ngx_str_t *device)
{
    /* void */
}


void
ngx_cometa_webhook_dropped(ngx_cometa_webhook_conf_t *conf, uint32_t app,
    ngx_cometa_lane_t *lane, uint64_t session)
{
    /* void */
}


/* An event, and the request that is made of it. */

static ngx_cometa_webhook_conf_t  conf = {
    .uri = ngx_string("/hook"), .concurrency = 1, .queue = 10
};

static ngx_http_request_t         request;
static ngx_cometa_lane_t         *lane;


static void
make(ngx_cometa_news_t *news, uint64_t session)
{
    static void                     *srv_conf[1];
    static ngx_http_core_srv_conf_t  cscf;

    ngx_cometa_key_t     key;
    ngx_cometa_event_t  *e;

    ngx_str_set(&key.app, "demo");
    ngx_str_set(&key.device, "lamp-1");
    ngx_cometa_key_init(&key);

    lane = ngx_cometa_lane_named(&conf, &key, 0, NULL);
    e = ngx_cometa_lane_add(lane, news);
    e->session = session;

    /* what was given is not looked at any more */

    memset(news, 0, sizeof(ngx_cometa_news_t));
    memset(&request, 0, sizeof(request));

    srv_conf[0] = &cscf;
    request.srv_conf = srv_conf;

    if (ngx_cometa_webhook_fill(&request, lane, e) != NGX_OK) {
        printf("Bail out! no request\n");
        exit(1);
    }
}


static void
done(void)
{
    while (taken_n) {
        free(taken[--taken_n]);
    }

    ngx_cometa_lane_remove(ngx_cometa_lane_first(lane));
    ngx_cometa_lane_settle(lane);
}


/* Whether the header has this value; NULL: whether there is none. */

static int
says(const char *name, const char *value)
{
    ngx_uint_t        i;
    ngx_table_elt_t  *h;

    h = request.headers_in.headers.part.elts;

    for (i = 0; i < request.headers_in.headers.part.nelts; i++) {

        if (h[i].key.len != strlen(name)
            || memcmp(h[i].key.data, name, h[i].key.len) != 0)
        {
            continue;
        }

        if (strncasecmp((char *) h[i].lowcase_key, name, h[i].key.len) != 0
            || h[i].hash != ngx_hash_key(h[i].lowcase_key, h[i].key.len))
        {
            diag("%s: another lower case, or hash", name);
            return 0;
        }

        if (value && h[i].value.len == strlen(value)
            && memcmp(h[i].value.data, value, h[i].value.len) == 0)
        {
            return 1;
        }

        diag("%s: %.*s", name, (int) h[i].value.len, h[i].value.data);
        return 0;
    }

    return value == NULL;
}


static int
body(const char *text)
{
    ngx_buf_t  *b;

    if (request.request_body->bufs == NULL) {
        return *text == '\0' && request.headers_in.content_length_n == 0;
    }

    b = request.request_body->bufs->buf;

    return (size_t) (b->last - b->pos) == strlen(text)
           && memcmp(b->pos, text, b->last - b->pos) == 0
           && request.headers_in.content_length_n == b->last - b->pos;
}


static void
test_data(void)
{
    char               text[] = "pressed";
    ngx_cometa_news_t  news = { .event = NGX_COMETA_EVENT_DATA,
                                .sequence = 12, .data = (u_char *) text,
                                .len = 7 };

    make(&news, 1882665615622145);
    memset(text, 'x', 7);

    ok(says("Cometa-Event", "data") && body("pressed"), "data");
    ok(says("Cometa-Application", "demo") && says("Cometa-Device", "lamp-1")
       && says("Content-Type", "application/octet-stream")
       && request.headers_in.content_type
          == request.headers_in.headers.part.elts, "of whom");
    ok(says("Cometa-Session", "1882665615622145")
       && says("Cometa-Sequence", "12"), "its numbers");
    ok(says("Cometa-Time", "2026-11-23T15:09:23.007Z"), "its time");
    ok(says("Cometa-Reason", NULL) && says("Cometa-Error", NULL)
       && says("Cometa-Call", NULL) && says("Cometa-Info", NULL)
       && says("Cometa-Address", NULL), "and nothing else");

    done();
}


static void
test_attach(void)
{
    int                i;
    char               info[NGX_COMETA_INFO_MAX], address[] = "[::1]:7";
    char               escaped[3 * NGX_COMETA_INFO_MAX + 1], *p;
    ngx_str_t          word = ngx_string("attached");
    ngx_cometa_news_t  news = { .event = NGX_COMETA_EVENT_ATTACH,
                                .word = &word };

    for (i = 0, p = escaped; i < NGX_COMETA_INFO_MAX; i++) {
        info[i] = (char) i;
        p += isalnum(i) || strchr("-._~", i ? i : 1)
             ? sprintf(p, "%c", i) : sprintf(p, "%%%02X", i);
    }

    news.info.data = (u_char *) info;
    news.info.len = sizeof(info);
    news.address.data = (u_char *) address;
    news.address.len = strlen(address);

    make(&news, 1);
    memset(info, 'x', sizeof(info));

    ok(says("Cometa-Event", "attach") && says("Cometa-Reason", "attached")
       && body(""), "an attach");
    ok(says("Cometa-Sequence", "0"), "its number");
    ok(says("Cometa-Info", escaped), "an info of all bytes");
    ok(says("Cometa-Address", "[::1]:7"), "its address");

    done();
}


static void
test_reply(void)
{
    char               id[NGX_COMETA_CALL_ID_MAX + 1];
    ngx_str_t          word = ngx_string("device_timeout");
    ngx_cometa_news_t  news = { .event = NGX_COMETA_EVENT_REPLY };

    memset(id, 'c', NGX_COMETA_CALL_ID_MAX);
    id[NGX_COMETA_CALL_ID_MAX] = '\0';

    news.call.data = (u_char *) id;
    news.call.len = NGX_COMETA_CALL_ID_MAX;
    news.data = (u_char *) "ok";
    news.len = 2;

    make(&news, 5);
    ok(says("Cometa-Event", "reply") && says("Cometa-Call", id) && body("ok"),
       "a reply");
    ok(says("Cometa-Error", NULL) && says("Cometa-Reason", NULL)
       && says("Cometa-Sequence", NULL), "is no event of the session");
    done();

    news.event = NGX_COMETA_EVENT_REPLY;
    news.call.data = (u_char *) "7";
    news.call.len = 1;
    news.word = &word;

    make(&news, 0);
    ok(says("Cometa-Error", "device_timeout") && says("Cometa-Call", "7")
       && body(""), "an error");
    ok(says("Cometa-Session", NULL) && says("Cometa-Reason", NULL),
       "of a device that was not there");
    done();
}


/* A long one takes several places, with all that it has. */

static void
test_places(void)
{
    static u_char      data[3 * NGX_COMETA_WEBHOOK_PLACE];
    ngx_cometa_news_t  news = { .event = NGX_COMETA_EVENT_DATA,
                                .data = data, .len = sizeof(data) };

    make(&news, 1);
    ok(conf.held == 4, "%d places", (int) conf.held);
    done();
    ok(conf.held == 0 && gauges[0].webhook_queued == 0, "none are left");
}


int
main(void)
{
    ngx_cometa_lanes_start();
    ngx_cometa_shares_init(&conf.tenants);
    ngx_queue_init(&conf.turns);

    test_data();
    test_attach();
    test_reply();
    test_places();

    return done_testing();
}
