
/*
 * What goes with a parked connection to another process. Both run on the same
 * machine, and the zone says that they have the same layout.
 */

#include "ngx_cometa_tls_pack.h"
#include "ngx_cometa_tls_io.h"
#include "ngx_cometa_tls_state.h"
#include "ngx_cometa_zone.h"
#include "cometa_tls_record.h"

#include <openssl/crypto.h>


/* A parked connection in a parcel; the bytes of `in` and `out` follow. */

typedef struct {
    cometa_tls_t              tls;
    uint32_t                  app;
    uint32_t                  in;
    uint32_t                  in_plain;
    uint32_t                  out;
    uint32_t                  out_plain;
    uint32_t                  empty;
} ngx_cometa_tls_pack_t;

_Static_assert(sizeof(ngx_cometa_tls_pack_t) + NGX_COMETA_TLS_OUT
               + 2 * COMETA_TLS_RECORD_MAX <= NGX_COMETA_TLS_PACK_MAX,
               "all that may be kept fits into a parcel");


size_t
ngx_cometa_tls_pack(ngx_connection_t *c, u_char *p)
{
    u_char                  *start;
    ngx_cometa_tls_pack_t   *pack;
    ngx_cometa_tls_state_t  *s;

    s = ngx_cometa_tls_state(c);

    /* more than that is never kept: what were wrong here must not overflow */

    if (s == NULL
        || (s->in && s->in->len - s->in->pos > 2 * COMETA_TLS_RECORD_MAX)
        || (s->out && s->out->len - s->out->pos > NGX_COMETA_TLS_OUT))
    {
        return 0;
    }

    start = p;
    pack = (ngx_cometa_tls_pack_t *) p;

    ngx_memzero(pack, sizeof(ngx_cometa_tls_pack_t));

    pack->tls = s->tls;
    pack->app = s->app;
    pack->empty = s->empty;

    p += sizeof(ngx_cometa_tls_pack_t);

    if (s->in) {
        pack->in = s->in->len - s->in->pos;
        pack->in_plain = s->in->plain;
        p = ngx_cpymem(p, s->in->data + s->in->pos, pack->in);
    }

    if (s->out) {
        pack->out = s->out->len - s->out->pos;
        pack->out_plain = s->out->plain;
        p = ngx_cpymem(p, s->out->data + s->out->pos, pack->out);
    }

    return p - start;
}


ngx_int_t
ngx_cometa_tls_unpack(ngx_connection_t *c, u_char *p, size_t len)
{
    ngx_cometa_tls_pack_t    pack;
    ngx_cometa_tls_state_t  *s;

    if (len < sizeof(ngx_cometa_tls_pack_t)) {
        return NGX_ERROR;
    }

    ngx_memcpy(&pack, p, sizeof(ngx_cometa_tls_pack_t));
    p += sizeof(ngx_cometa_tls_pack_t);

    if (sizeof(ngx_cometa_tls_pack_t) + (size_t) pack.in + pack.out != len
        || pack.in_plain > pack.in
        || pack.app >= ngx_cometa_zone.head->apps
        || ngx_cometa_tls_enter(c, &pack.tls, pack.app) != NGX_OK)
    {
        OPENSSL_cleanse(&pack, sizeof(ngx_cometa_tls_pack_t));
        return NGX_ERROR;
    }

    OPENSSL_cleanse(&pack.tls, sizeof(cometa_tls_t));

    s = ngx_cometa_tls_state(c);
    s->empty = pack.empty;

    if (pack.in) {
        s->in = ngx_cometa_tls_bytes(p, pack.in, pack.in_plain);
    }

    if (pack.out) {
        s->out = ngx_cometa_tls_bytes(p + pack.in, pack.out, pack.out_plain);
    }

    if ((pack.in && s->in == NULL) || (pack.out && s->out == NULL)) {
        ngx_cometa_tls_forget(c);
        return NGX_ERROR;
    }

    return NGX_OK;
}
