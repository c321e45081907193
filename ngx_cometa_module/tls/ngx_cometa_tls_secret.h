
/*
 * What OpenSSL tells of a connection while it still has its SSL object: secrets
 * and numbers of records, by the callbacks of its SSL_CTX, and the bytes that
 * go over the wire, by that of its BIO. All of it is freed, and the secrets are
 * wiped, when the SSL object is freed.
 */

#ifndef _NGX_COMETA_TLS_SECRET_H_INCLUDED_
#define _NGX_COMETA_TLS_SECRET_H_INCLUDED_


#include "ngx_cometa_tls.h"

#if (NGX_COMETA_TLS)

#include "ngx_cometa_tls_proof.h"
#include "cometa_tls_record.h"


typedef struct {
    ngx_cometa_tls_way_t  read;
    ngx_cometa_tls_way_t  write;

    BIO                  *bio[2];       /* of reading and writing, or one */

    u_char                client[COMETA_TLS_SECRET_MAX];    /* TLS 1.3 */
    u_char                server[COMETA_TLS_SECRET_MAX];
    size_t                client_len;
    size_t                server_len;

    uint32_t              app;          /* by index, if `wanted` */
    unsigned              wanted:1;     /* it is to be parked when it is idle */
    unsigned              synced:1;     /* `read` knows where records begin */
    unsigned              rekeyed:1;    /* by KeyUpdate or renegotiation */
} ngx_cometa_tls_watch_t;


/*
 * While the configuration is read: sets the callbacks of a context, beside
 * those which are there. OpenSSL does not say whether it has a message callback
 * of another module; nginx itself sets none.
 */
ngx_int_t ngx_cometa_tls_hook(SSL_CTX *ctx, ngx_pool_t *pool);

/*
 * What is known of a connection. NULL: nothing, for its context has no callback
 * of ours, or another one by now, or there was no memory.
 */
ngx_cometa_tls_watch_t *ngx_cometa_tls_watch(SSL *ssl);

/*
 * A request is over that was none of those which are parked: of the last
 * records only a short one of ours is kept while the connection waits for the
 * next one. One over HTTP/2 (`never`) is not looked at any more.
 */
void ngx_cometa_tls_spare(SSL *ssl, ngx_uint_t never);

/* It is not looked at any more. */
void ngx_cometa_tls_unwatch(SSL *ssl);

#endif


#endif /* _NGX_COMETA_TLS_SECRET_H_INCLUDED_ */
