
/*
 * The list of devices of an application, a slice for each turn of the event
 * loop, so that no other request waits for it. The whole list is sent as it is
 * read, in no order. A page is picked in one walk over all devices and sent in
 * order: its work grows with the number of devices, its memory with `limit`.
 *
 * The devices are counted before any id is sent, because `num_devices` stands
 * in front of the ids; to keep all ids would take memory in proportion.
 */

#include "ngx_cometa.h"
#include "ngx_cometa_ctx.h"
#include "ngx_cometa_debug.h"
#include "ngx_cometa_handler.h"
#include "ngx_cometa_http.h"
#include "ngx_cometa_loc.h"
#include "ngx_cometa_app.h"
#include "ngx_cometa_registry.h"
#include "ngx_cometa_stats.h"
#include "ngx_cometa_zone.h"
#include "cometa_header.h"


#define NGX_COMETA_PAGE_MAX  10000              /* ids */
#define NGX_COMETA_LIST_BUFFER                                                \
    (NGX_COMETA_WALK_MAX * (NGX_COMETA_ID_MAX + 3) + 128)


/*
 * A list under way. All devices are counted first. Then their ids are sent, or
 * for a page those that were kept while counting: the smallest ids after
 * `after`, in a heap with the largest of them on top.
 */

typedef struct ngx_cometa_stats_list_s  ngx_cometa_stats_list_t;

struct ngx_cometa_stats_list_s {
    ngx_event_t           event;        /* the next slice */
    ngx_buf_t            *buf;
    uint32_t              app;
    uint32_t              cursor;
    ngx_uint_t            total;
    ngx_uint_t            sent;

    ngx_str_t             after;
    ngx_uint_t            limit;        /* 0: not a page */
    ngx_uint_t            kept;
    ngx_cometa_id_t      *page;

    unsigned              counted:1;
    unsigned              done:1;
};


static ngx_uint_t ngx_cometa_stats_list_args(ngx_http_request_t *r,
    ngx_cometa_stats_list_t *list);
static ngx_int_t ngx_cometa_stats_list_send(ngx_http_request_t *r);
static void ngx_cometa_stats_list_event(ngx_event_t *ev);
static void ngx_cometa_stats_list_next(ngx_http_request_t *r);
static ngx_int_t ngx_cometa_stats_list_slice(ngx_http_request_t *r,
    ngx_cometa_stats_list_t *list);
static ngx_uint_t ngx_cometa_stats_list_read(ngx_cometa_stats_list_t *list,
    ngx_cometa_id_t **ids);
static void ngx_cometa_stats_list_fill(ngx_cometa_stats_list_t *list,
    ngx_cometa_id_t *ids, ngx_uint_t n);
static void ngx_cometa_page_keep(ngx_cometa_stats_list_t *list,
    ngx_cometa_id_t *id);
static void ngx_cometa_page_sink(ngx_cometa_id_t *heap, ngx_uint_t n,
    ngx_uint_t i);
static void ngx_cometa_page_sort(ngx_cometa_stats_list_t *list);
static ngx_int_t ngx_cometa_id_cmp(u_char *a, size_t a_len, u_char *b,
    size_t b_len);
static void ngx_cometa_stats_list_cleanup(void *data);


static ngx_cometa_id_t  ngx_cometa_stats_list_ids[NGX_COMETA_WALK_MAX];


ngx_int_t
ngx_cometa_stats_list(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx)
{
    ngx_uint_t                error;
    ngx_http_cleanup_t       *cln;
    ngx_cometa_stats_list_t  *list;

    list = ngx_pcalloc(r->pool, sizeof(ngx_cometa_stats_list_t));
    if (list == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    error = ngx_cometa_stats_list_args(r, list);
    if (error != NGX_COMETA_OK) {
        return ngx_cometa_http_error(r, error);
    }

    if (list->limit) {
        list->page = ngx_palloc(r->pool,
                                list->limit * sizeof(ngx_cometa_id_t));
        if (list->page == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
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

    return ngx_cometa_stats_list_send(r);
}


/* Reads "?limit=N&after=ID"; without a limit a page has NGX_COMETA_PAGE_MAX. */

static ngx_uint_t
ngx_cometa_stats_list_args(ngx_http_request_t *r, ngx_cometa_stats_list_t *list)
{
    u_char     *dst, *src;
    uint32_t    n;
    ngx_str_t   value;

    if (ngx_http_arg(r, (u_char *) "after", 5, &value) == NGX_OK
        && value.len)
    {
        list->after.data = ngx_pnalloc(r->pool, value.len);
        if (list->after.data == NULL) {
            return NGX_COMETA_BAD_REQUEST;
        }

        dst = list->after.data;
        src = value.data;

        ngx_unescape_uri(&dst, &src, value.len, 0);

        list->after.len = dst - list->after.data;
        list->limit = NGX_COMETA_PAGE_MAX;
    }

    if (ngx_http_arg(r, (u_char *) "limit", 5, &value) == NGX_OK) {
        if (cometa_header_number(value.data, value.len, &n)
            != COMETA_HEADER_OK
            || n == 0)
        {
            return NGX_COMETA_BAD_REQUEST;
        }

        list->limit = ngx_min(n, NGX_COMETA_PAGE_MAX);
    }

    return NGX_COMETA_OK;
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

    if (list->buf->pos < list->buf->last) {
        rc = ngx_http_output_filter(r, NULL);

    } else if (!list->done) {
        rc = ngx_cometa_stats_list_slice(r, list);
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

    ngx_post_event(&list->event, &ngx_posted_next_events);
}


static ngx_int_t
ngx_cometa_stats_list_slice(ngx_http_request_t *r,
    ngx_cometa_stats_list_t *list)
{
    ngx_buf_t        *b;
    ngx_uint_t        i, n;
    ngx_chain_t       out;
    ngx_cometa_id_t  *ids;

    n = ngx_cometa_stats_list_read(list, &ids);

    b = list->buf;
    b->pos = b->start;
    b->last = b->start;

    if (!list->counted) {
        list->total += n;

        for (i = 0; list->limit && i < n; i++) {
            ngx_cometa_page_keep(list, &ids[i]);
        }

        if (list->cursor == NGX_COMETA_NONE) {
            list->counted = 1;
            ngx_cometa_page_sort(list);

            if (list->limit ? list->kept : list->total) {
                list->cursor = 0;
            }

            b->last = ngx_sprintf(b->last,
                                  "{\"num_devices\":%ui,\"devices\":[",
                                  list->total);
        }

        if (list->cursor != NGX_COMETA_NONE && b->last == b->start) {
            return NGX_OK;
        }

    } else {
        ngx_cometa_stats_list_fill(list, ids, n);
    }

    if (list->cursor == NGX_COMETA_NONE) {
        *b->last++ = ']';
        *b->last++ = '}';

        b->last_buf = (r == r->main) ? 1 : 0;
        b->last_in_chain = 1;
        list->done = 1;
    }

    if (b->last == b->start) {
        return NGX_OK;
    }

    b->flush = 1;
    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
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


/* Returns the next ids, of the sorted page or of the registry. */

static ngx_uint_t
ngx_cometa_stats_list_read(ngx_cometa_stats_list_t *list, ngx_cometa_id_t **ids)
{
    ngx_uint_t  n;

    if (list->counted && list->limit) {
        n = ngx_min(list->kept - list->sent, NGX_COMETA_WALK_MAX);
        *ids = list->page + list->sent;

        if (list->sent + n == list->kept) {
            list->cursor = NGX_COMETA_NONE;
        }

        return n;
    }

    *ids = ngx_cometa_stats_list_ids;

    return (list->cursor == NGX_COMETA_NONE)
           ? 0 : ngx_cometa_registry_walk(list->app, &list->cursor, *ids);
}


static void
ngx_cometa_page_keep(ngx_cometa_stats_list_t *list, ngx_cometa_id_t *id)
{
    ngx_uint_t        i, up;
    ngx_cometa_id_t  *heap, t;

    if (list->after.len
        && ngx_cometa_id_cmp(id->data, id->len, list->after.data,
                             list->after.len) <= 0)
    {
        return;
    }

    heap = list->page;

    if (list->kept == list->limit) {

        if (ngx_cometa_id_cmp(id->data, id->len, heap[0].data, heap[0].len)
            < 0)
        {
            heap[0] = *id;
            ngx_cometa_page_sink(heap, list->kept, 0);
        }

        return;
    }

    heap[list->kept] = *id;

    for (i = list->kept++; i; i = up) {
        up = (i - 1) / 2;

        if (ngx_cometa_id_cmp(heap[i].data, heap[i].len, heap[up].data,
                              heap[up].len) <= 0)
        {
            break;
        }

        t = heap[i];
        heap[i] = heap[up];
        heap[up] = t;
    }
}


static void
ngx_cometa_page_sink(ngx_cometa_id_t *heap, ngx_uint_t n, ngx_uint_t i)
{
    ngx_uint_t       down;
    ngx_cometa_id_t  t;

    for ( ;; ) {
        down = 2 * i + 1;

        if (down >= n) {
            return;
        }

        if (down + 1 < n
            && ngx_cometa_id_cmp(heap[down + 1].data, heap[down + 1].len,
                                 heap[down].data, heap[down].len) > 0)
        {
            down++;
        }

        if (ngx_cometa_id_cmp(heap[i].data, heap[i].len, heap[down].data,
                              heap[down].len) >= 0)
        {
            return;
        }

        t = heap[i];
        heap[i] = heap[down];
        heap[down] = t;

        i = down;
    }
}


static void
ngx_cometa_page_sort(ngx_cometa_stats_list_t *list)
{
    ngx_uint_t       n;
    ngx_cometa_id_t  t;

    for (n = list->kept; n > 1; n--) {
        t = list->page[0];
        list->page[0] = list->page[n - 1];
        list->page[n - 1] = t;

        ngx_cometa_page_sink(list->page, n - 1, 0);
    }
}


static ngx_int_t
ngx_cometa_id_cmp(u_char *a, size_t a_len, u_char *b, size_t b_len)
{
    ngx_int_t  rc;

    rc = ngx_memcmp(a, b, ngx_min(a_len, b_len));

    return rc ? rc : (ngx_int_t) a_len - (ngx_int_t) b_len;
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

    if (list->app != NGX_COMETA_NONE) {
        ngx_cometa_gauge_add(list->app, holds, -1);
        list->app = NGX_COMETA_NONE;
    }
}
