
/*
 * Frames the bytes of one direction into records, and proves by the last one
 * that a key and a sequence number are those of OpenSSL. An AEAD opens a record
 * under the number it was sealed with, and no other.
 */

#include "ngx_cometa_tls_proof.h"
#include "cometa_tls_record.h"


static void ngx_cometa_tls_way_head(ngx_cometa_tls_way_t *way);
static void ngx_cometa_tls_way_end(ngx_cometa_tls_way_t *way);
static uint64_t ngx_cometa_tls_nonce(const u_char *p);


void
ngx_cometa_tls_way_feed(ngx_cometa_tls_way_t *way, const u_char *p, size_t n)
{
    size_t  step, end;

    while (n && !way->broken) {

        end = (way->len < COMETA_TLS_HEAD) ? COMETA_TLS_HEAD : way->size;
        step = ngx_min(n, end - way->len);

        if (way->len < NGX_COMETA_TLS_BEGIN) {
            ngx_memcpy(way->begin + way->len, p,
                       ngx_min(step, NGX_COMETA_TLS_BEGIN - way->len));
        }

        if (way->len >= COMETA_TLS_HEAD && way->last) {
            ngx_memcpy(way->record + way->len, p, step);
        }

        way->len += step;
        p += step;
        n -= step;

        if (way->len == COMETA_TLS_HEAD) {
            ngx_cometa_tls_way_head(way);
        }

        if (way->len >= COMETA_TLS_HEAD && way->len == way->size) {
            ngx_cometa_tls_way_end(way);
        }
    }
}


/* The head of a record is there: decides whether the record is kept. */

static void
ngx_cometa_tls_way_head(ngx_cometa_tls_way_t *way)
{
    u_char  *p;

    way->size = cometa_tls_record_size(way->begin, COMETA_TLS_HEAD);
    way->last = 0;

    if (way->size > COMETA_TLS_RECORD_MAX) {
        way->broken = 1;
        return;
    }

    if (way->size > NGX_COMETA_TLS_KEPT) {
        return;
    }

    /* a long one, of the handshake, leaves no room behind */

    if (way->size > way->room || way->size < way->room / 2) {
        p = ngx_alloc(way->size, ngx_cycle->log);

        if (p == NULL) {
            way->broken = 1;
            return;
        }

        if (way->record) {
            ngx_free(way->record);
        }

        way->record = p;
        way->room = way->size;
    }

    way->last = way->size;
    ngx_memcpy(way->record, way->begin, COMETA_TLS_HEAD);
}


static void
ngx_cometa_tls_way_end(ngx_cometa_tls_way_t *way)
{
    uint64_t  nonce;

    if (way->change && way->size >= NGX_COMETA_TLS_BEGIN) {
        nonce = ngx_cometa_tls_nonce(way->begin + COMETA_TLS_HEAD);

        if (way->sealed && nonce != way->nonce + 1) {
            way->jumps = 1;
        }

        way->nonce = nonce;
        way->sealed++;
    }

    if (way->begin[0] == COMETA_TLS_CHANGE) {
        way->change = 1;
    }

    way->framed++;
    way->len = 0;
    way->size = 0;
}


static uint64_t
ngx_cometa_tls_nonce(const u_char *p)
{
    uint64_t    nonce;
    ngx_uint_t  i;

    nonce = 0;

    for (i = 0; i < 8; i++) {
        nonce = nonce << 8 | p[i];
    }

    return nonce;
}


ngx_uint_t
ngx_cometa_tls_way_settled(ngx_cometa_tls_way_t *way)
{
    return !way->broken && way->len == 0 && way->framed == way->counted;
}


ngx_int_t
ngx_cometa_tls_way_prove(ngx_cometa_tls_way_t *way, cometa_tls_t *t,
    cometa_tls_half_t *half)
{
    if (way->last == 0) {
        return NGX_AGAIN;
    }

    return cometa_tls_prove(t, half, half->seq - 1, way->record, way->last) == 0
           ? NGX_OK : NGX_ERROR;
}


ngx_uint_t
ngx_cometa_tls_way_steady(ngx_cometa_tls_way_t *way)
{
    return way->sealed && way->sealed == way->seq && !way->jumps;
}


void
ngx_cometa_tls_way_free(ngx_cometa_tls_way_t *way)
{
    if (way->record) {
        ngx_free(way->record);
        way->record = NULL;
        way->room = 0;
        way->last = 0;
    }
}
