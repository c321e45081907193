
/*
 * The list of devices of an application, a slice for each turn of the event
 * loop, so that no other request waits for it. The whole list is sent as it is
 * read, in no order. A page is picked in one walk over all devices and sent in
 * order: its work grows with the number of devices, its memory with `limit`.
 * The figures of its devices are asked for when it was picked.
 *
 * The devices are counted before any id is sent, because `num_devices` stands
 * in front of the ids; to keep all ids would take memory in proportion.
 */

#include "ngx_cometa.h"
#include "ngx_cometa_args.h"
#include "ngx_cometa_ctx.h"
#include "ngx_cometa_debug.h"
#include "ngx_cometa_detail.h"
#include "ngx_cometa_handler.h"
#include "ngx_cometa_http.h"
#include "ngx_cometa_loc.h"
#include "ngx_cometa_page.h"
#include "ngx_cometa_app.h"
#include "ngx_cometa_registry.h"
#include "ngx_cometa_stats.h"
#include "ngx_cometa_zone.h"


#define NGX_COMETA_PAGE_MAX    10000            /* ids */
#define NGX_COMETA_DETAIL_MAX  1000             /* devices with their figures */
#define NGX_COMETA_LIST_BUFFER                                                \
    (NGX_COMETA_WALK_MAX * (NGX_COMETA_ID_MAX + 3) + 256)
#define NGX_COMETA_LIST_END    2                /* the end of an answer */
#define NGX_COMETA_LIST_STAYS  3600000          /* ms */


/*
 * A list under way. All devices are counted first. Then their ids are sent, or
 * for a page those that were kept while counting, or the figures of these.
 */

typedef struct ngx_cometa_stats_list_s  ngx_cometa_stats_list_t;

struct ngx_cometa_stats_list_s {
    ngx_event_t           event;        /* the next slice */
    ngx_event_t           stays;        /* keeps the worker meanwhile */
    ngx_buf_t            *buf;
    uint32_t              app;
    uint32_t              cursor;
    ngx_uint_t            total;
    ngx_uint_t            sent;

    ngx_str_t             prefix;
    ngx_cometa_page_t     page;         /* limit 0: not a page */
    ngx_uint_t            figures;      /* wanted of the page */
    ngx_cometa_detail_t  *detail;       /* of the page, when it is picked */

    unsigned              counted:1;
    unsigned              done:1;
};


static ngx_int_t ngx_cometa_stats_list_args(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx, ngx_cometa_stats_list_t *list);
static ngx_int_t ngx_cometa_stats_list_send(ngx_http_request_t *r);
static void ngx_cometa_stats_list_event(ngx_event_t *ev);
static void ngx_cometa_stats_list_stays(ngx_event_t *ev);
static void ngx_cometa_stats_list_next(ngx_http_request_t *r);
static ngx_int_t ngx_cometa_stats_list_slice(ngx_http_request_t *r,
    ngx_cometa_stats_list_t *list);
static void ngx_cometa_stats_list_count(ngx_cometa_stats_list_t *list);
static ngx_int_t ngx_cometa_stats_list_head(ngx_http_request_t *r,
    ngx_cometa_stats_list_t *list);
static ngx_uint_t ngx_cometa_stats_list_walk(ngx_cometa_stats_list_t *list);
static void ngx_cometa_stats_list_body(ngx_cometa_stats_list_t *list);
static void ngx_cometa_stats_list_fill(ngx_cometa_stats_list_t *list,
    ngx_cometa_id_t *ids, ngx_uint_t n);
static void ngx_cometa_stats_list_cleanup(void *data);


static ngx_cometa_id_t  ngx_cometa_stats_list_ids[NGX_COMETA_WALK_MAX];


ngx_int_t
ngx_cometa_stats_list(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx)
{
    ngx_int_t                 rc;
    ngx_http_cleanup_t       *cln;
    ngx_cometa_stats_list_t  *list;

    list = ngx_pcalloc(r->pool, sizeof(ngx_cometa_stats_list_t));
    if (list == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_cometa_stats_list_args(r, ctx, list);

    if (rc == NGX_DECLINED) {
        return ngx_cometa_http_error(r, NGX_COMETA_BAD_REQUEST);
    }

    if (rc == NGX_ERROR
        || (list->page.limit
            && ngx_cometa_page_init(&list->page, r->pool) != NGX_OK))
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    list->buf = ngx_create_temp_buf(r->pool, NGX_COMETA_LIST_BUFFER);
    if (list->buf == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln->handler = ngx_cometa_stats_list_cleanup;
    cln->data = ctx;

    ctx->list = list;

    list->app = ngx_cometa_app_hold(&ctx->key.app, 0, holds);

    if (list->app == NGX_COMETA_NONE) {
        list->cursor = NGX_COMETA_NONE;
    }

    list->event.handler = ngx_cometa_stats_list_event;
    list->event.data = r;
    list->event.log = r->connection->log;

    list->stays.handler = ngx_cometa_stats_list_stays;
    list->stays.data = &list->stays;
    list->stays.log = r->connection->log;

    ngx_add_timer(&list->stays, NGX_COMETA_LIST_STAYS);

    return ngx_cometa_stats_list_send(r);
}


/* A worker that leaves ends when it has no timer, also between two slices. */

static void
ngx_cometa_stats_list_stays(ngx_event_t *ev)
{
    ngx_add_timer(ev, NGX_COMETA_LIST_STAYS);
}


/* A position or figures without a limit ask for the largest page. */

static ngx_int_t
ngx_cometa_stats_list_args(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx,
    ngx_cometa_stats_list_t *list)
{
    ngx_int_t   rc;
    ngx_uint_t  most;

    rc = ngx_cometa_args_prefix(r, ctx, &list->prefix);

    if (rc == NGX_OK) {
        rc = ngx_cometa_args_after(r, &list->page.after);
    }

    if (rc == NGX_OK) {
        rc = ngx_cometa_args_limit(r, ctx, &list->page.limit);
    }

    if (rc == NGX_OK) {
        rc = ngx_cometa_args_detail(r, ctx, &list->figures);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    most = list->figures ? NGX_COMETA_DETAIL_MAX : NGX_COMETA_PAGE_MAX;

    if (list->page.limit == 0 && (list->page.after.len || list->figures)) {
        list->page.limit = most;
    }

    list->page.limit = ngx_min(list->page.limit, most);

    return NGX_OK;
}


static ngx_int_t
ngx_cometa_stats_list_send(ngx_http_request_t *r)
{
    ngx_int_t  rc;

    r->headers_out.status = NGX_HTTP_OK;
    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    r->main->count++;
    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_cometa_stats_list_next;

    ngx_cometa_stats_list_next(r);

    return NGX_DONE;
}


static void
ngx_cometa_stats_list_event(ngx_event_t *ev)
{
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = ev->data;
    c = r->connection;

    ngx_cometa_expect(r->signature == NGX_HTTP_MODULE);

    ngx_cometa_stats_list_next(r);
    ngx_http_run_posted_requests(c);
}


/* Sends one slice in each turn of the event loop, if the client keeps up. */

static void
ngx_cometa_stats_list_next(ngx_http_request_t *r)
{
    ngx_int_t                  rc;
    ngx_uint_t                 waits;
    ngx_event_t               *wev;
    ngx_cometa_ctx_t          *ctx;
    ngx_cometa_stats_list_t   *list;
    ngx_http_core_loc_conf_t  *clcf;

    ctx = ngx_http_get_module_ctx(r, ngx_http_cometa_module);
    list = ctx->list;
    wev = r->connection->write;

    if (wev->timedout) {
        r->connection->timedout = 1;
        ngx_http_finalize_request(r, NGX_HTTP_REQUEST_TIME_OUT);
        return;
    }

    if (list->event.posted) {
        return;
    }

    rc = NGX_OK;
    waits = 0;

    if (list->buf->pos < list->buf->last) {
        rc = ngx_http_output_filter(r, NULL);

    } else if (!list->done) {
        rc = ngx_cometa_stats_list_slice(r, list);
        waits = (rc == NGX_AGAIN);
    }

    if (rc == NGX_ERROR) {
        ngx_http_finalize_request(r, NGX_ERROR);
        return;
    }

    if (list->done) {
        ngx_http_finalize_request(r, rc);
        return;
    }

    if (wev->delayed) {
        /* limit_rate: nginx calls this again when it is time */
        return;
    }

    if (list->buf->pos < list->buf->last) {
        clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

        ngx_add_timer(wev, clcf->send_timeout);

        if (ngx_handle_write_event(wev, clcf->send_lowat) != NGX_OK) {
            ngx_http_finalize_request(r, NGX_ERROR);
        }

        return;
    }

    if (wev->timer_set) {
        ngx_del_timer(wev);
    }

    if (!waits) {
        ngx_post_event(&list->event, &ngx_posted_next_events);
    }
}


/* NGX_AGAIN: figures have to come before there is something to send. */

static ngx_int_t
ngx_cometa_stats_list_slice(ngx_http_request_t *r,
    ngx_cometa_stats_list_t *list)
{
    ngx_buf_t    *b;
    ngx_chain_t   out;

    b = list->buf;
    b->pos = b->start;
    b->last = b->start;

    if (list->counted) {
        ngx_cometa_stats_list_body(list);

    } else {
        ngx_cometa_stats_list_count(list);

        if (!list->counted) {
            return NGX_OK;
        }

        if (ngx_cometa_stats_list_head(r, list) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (list->cursor == NGX_COMETA_NONE) {
        *b->last++ = ']';
        *b->last++ = '}';

        b->last_buf = (r == r->main) ? 1 : 0;
        b->last_in_chain = 1;
        list->done = 1;
    }

    if (b->last == b->start) {
        return list->detail ? NGX_AGAIN : NGX_OK;
    }

    b->flush = 1;
    out.buf = b;
    out.next = NULL;

    return (ngx_http_output_filter(r, &out) == NGX_ERROR) ? NGX_ERROR : NGX_OK;
}


static void
ngx_cometa_stats_list_count(ngx_cometa_stats_list_t *list)
{
    ngx_uint_t  i, n;

    n = ngx_cometa_stats_list_walk(list);

    list->total += n;

    for (i = 0; list->page.limit && i < n; i++) {
        ngx_cometa_page_keep(&list->page, &ngx_cometa_stats_list_ids[i]);
    }

    if (list->cursor != NGX_COMETA_NONE) {
        return;
    }

    list->counted = 1;
    ngx_cometa_page_sort(&list->page);

    if (list->page.limit ? list->page.n : list->total) {
        list->cursor = 0;
    }
}


/* What stands before the devices; with a page it is known where the next is. */

static ngx_int_t
ngx_cometa_stats_list_head(ngx_http_request_t *r,
    ngx_cometa_stats_list_t *list)
{
    ngx_buf_t          *b;
    ngx_cometa_id_t    *last;
    ngx_cometa_ctx_t   *ctx;
    ngx_cometa_page_t  *page;

    b = list->buf;
    page = &list->page;

    b->last = ngx_sprintf(b->last, "{\"num_devices\":%ui,", list->total);

    if (page->beyond > page->n) {
        last = &page->ids[page->n - 1];

        b->last = ngx_sprintf(b->last, "\"next\":\"%*s\",",
                              (size_t) last->len, last->data);
    }

    b->last = ngx_cpymem(b->last, "\"devices\":[",
                         sizeof("\"devices\":[") - 1);

    if (!list->figures || page->n == 0) {
        return NGX_OK;
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_cometa_module);

    list->detail = ngx_cometa_detail_create(r->pool, &ctx->key.app, page->ids,
                                            page->n, &list->event);

    return list->detail ? NGX_OK : NGX_ERROR;
}


/* The next ids of the registry, those that begin as was asked for. */

static ngx_uint_t
ngx_cometa_stats_list_walk(ngx_cometa_stats_list_t *list)
{
    ngx_uint_t        i, n, m;
    ngx_cometa_id_t  *ids;

    if (list->cursor == NGX_COMETA_NONE) {
        return 0;
    }

    ids = ngx_cometa_stats_list_ids;
    n = ngx_cometa_registry_walk(list->app, &list->cursor, ids);

    if (list->prefix.len == 0) {
        return n;
    }

    for (i = 0, m = 0; i < n; i++) {
        if (ids[i].len >= list->prefix.len
            && ngx_memcmp(ids[i].data, list->prefix.data, list->prefix.len)
               == 0)
        {
            ids[m++] = ids[i];
        }
    }

    return m;
}


/* The next devices, of the sorted page or of the registry. */

static void
ngx_cometa_stats_list_body(ngx_cometa_stats_list_t *list)
{
    ngx_uint_t  n;

    if (list->detail) {
        if (ngx_cometa_detail_take(list->detail, &list->buf->last,
                                   list->buf->end - NGX_COMETA_LIST_END)
            == NGX_OK)
        {
            list->cursor = NGX_COMETA_NONE;
        }

        return;
    }

    if (list->page.limit == 0) {
        n = ngx_cometa_stats_list_walk(list);
        ngx_cometa_stats_list_fill(list, ngx_cometa_stats_list_ids, n);
        return;
    }

    n = ngx_min(list->page.n - list->sent, NGX_COMETA_WALK_MAX);

    ngx_cometa_stats_list_fill(list, list->page.ids + list->sent, n);

    if (list->sent == list->page.n) {
        list->cursor = NGX_COMETA_NONE;
    }
}


static void
ngx_cometa_stats_list_fill(ngx_cometa_stats_list_t *list, ngx_cometa_id_t *ids,
    ngx_uint_t n)
{
    u_char      *p;
    ngx_uint_t   i;

    p = list->buf->last;

    for (i = 0; i < n; i++) {
        if (list->sent++) {
            *p++ = ',';
        }

        *p++ = '"';
        p = ngx_cpymem(p, ids[i].data, ids[i].len);
        *p++ = '"';
    }

    list->buf->last = p;
}


static void
ngx_cometa_stats_list_cleanup(void *data)
{
    ngx_cometa_ctx_t         *ctx = data;
    ngx_cometa_stats_list_t  *list;

    list = ctx->list;

    if (list == NULL) {
        return;
    }

    if (list->event.posted) {
        ngx_delete_posted_event(&list->event);
    }

    if (list->stays.timer_set) {
        ngx_del_timer(&list->stays);
    }

    if (list->detail) {
        ngx_cometa_detail_cancel(list->detail);
        list->detail = NULL;
    }

    if (list->app != NGX_COMETA_NONE) {
        ngx_cometa_gauge_add(list->app, holds, -1);
        list->app = NGX_COMETA_NONE;
    }
}
