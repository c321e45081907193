
/*
 * Pages of ids. A heap keeps the smallest ones, so that memory does not grow
 * with the number of devices.
 */

#include "ngx_cometa_page.h"


static void ngx_cometa_page_rise(ngx_cometa_id_t *heap, ngx_uint_t i);
static void ngx_cometa_page_sink(ngx_cometa_id_t *heap, ngx_uint_t n,
    ngx_uint_t i);
static void ngx_cometa_page_swap(ngx_cometa_id_t *a, ngx_cometa_id_t *b);
static ngx_int_t ngx_cometa_id_cmp(ngx_cometa_id_t *a, u_char *b,
    size_t b_len);


ngx_int_t
ngx_cometa_page_init(ngx_cometa_page_t *page, ngx_pool_t *pool)
{
    page->n = 0;
    page->beyond = 0;

    page->ids = ngx_palloc(pool, page->limit * sizeof(ngx_cometa_id_t));

    return page->ids ? NGX_OK : NGX_ERROR;
}


void
ngx_cometa_page_keep(ngx_cometa_page_t *page, ngx_cometa_id_t *id)
{
    ngx_cometa_id_t  *top;

    if (page->after.len
        && ngx_cometa_id_cmp(id, page->after.data, page->after.len) <= 0)
    {
        return;
    }

    page->beyond++;

    if (page->n < page->limit) {
        page->ids[page->n] = *id;
        ngx_cometa_page_rise(page->ids, page->n++);
        return;
    }

    top = page->ids;

    if (ngx_cometa_id_cmp(id, top->data, top->len) < 0) {
        *top = *id;
        ngx_cometa_page_sink(page->ids, page->n, 0);
    }
}


void
ngx_cometa_page_sort(ngx_cometa_page_t *page)
{
    ngx_uint_t  n;

    for (n = page->n; n > 1; n--) {
        ngx_cometa_page_swap(&page->ids[0], &page->ids[n - 1]);
        ngx_cometa_page_sink(page->ids, n - 1, 0);
    }
}


static void
ngx_cometa_page_rise(ngx_cometa_id_t *heap, ngx_uint_t i)
{
    ngx_uint_t  up;

    for ( /* void */ ; i; i = up) {
        up = (i - 1) / 2;

        if (ngx_cometa_id_cmp(&heap[i], heap[up].data, heap[up].len) <= 0) {
            return;
        }

        ngx_cometa_page_swap(&heap[i], &heap[up]);
    }
}


static void
ngx_cometa_page_sink(ngx_cometa_id_t *heap, ngx_uint_t n, ngx_uint_t i)
{
    ngx_uint_t  down;

    for ( ;; ) {
        down = 2 * i + 1;

        if (down >= n) {
            return;
        }

        if (down + 1 < n
            && ngx_cometa_id_cmp(&heap[down + 1], heap[down].data,
                                 heap[down].len)
               > 0)
        {
            down++;
        }

        if (ngx_cometa_id_cmp(&heap[i], heap[down].data, heap[down].len) >= 0)
        {
            return;
        }

        ngx_cometa_page_swap(&heap[i], &heap[down]);

        i = down;
    }
}


static void
ngx_cometa_page_swap(ngx_cometa_id_t *a, ngx_cometa_id_t *b)
{
    ngx_cometa_id_t  t;

    t = *a;
    *a = *b;
    *b = t;
}


static ngx_int_t
ngx_cometa_id_cmp(ngx_cometa_id_t *a, u_char *b, size_t b_len)
{
    ngx_int_t  rc;

    rc = ngx_memcmp(a->data, b, ngx_min(a->len, b_len));

    return rc ? rc : (ngx_int_t) a->len - (ngx_int_t) b_len;
}
