
/*
 * When and how a connection is parked. The one real danger is that a sequence
 * number is used twice with a key. So nothing is believed: OpenSSL's own counts
 * are compared with what went over the wire, and the last record of each
 * direction has to open under the keys and numbers that are about to be used.
 */

#include "ngx_cometa_tls_park.h"
#include "ngx_cometa_tls.h"
#include "ngx_cometa.h"
#include "ngx_cometa_compat.h"
#include "ngx_cometa_parked.h"
#include "ngx_cometa_throttle.h"
#include "ngx_cometa_tls_io.h"
#include "ngx_cometa_tls_proof.h"
#include "ngx_cometa_tls_secret.h"
#include "ngx_cometa_app.h"
#include "ngx_cometa_stats.h"
#include "ngx_cometa_zone.h"
#include "cometa_tls_aead.h"
#include "cometa_tls_record.h"


#if (NGX_COMETA_TLS)

#include <malloc.h>


#define NGX_COMETA_TLS_PARKED  (-1)     /* there is no reason against it */


static void ngx_cometa_tls_idle(ngx_connection_t *c);
static ngx_int_t ngx_cometa_tls_try(ngx_connection_t *c, uint32_t app);
static ngx_int_t ngx_cometa_tls_fits(SSL *ssl, ngx_cometa_tls_watch_t *w);
static ngx_int_t ngx_cometa_tls_quiet(ngx_connection_t *c,
    ngx_cometa_tls_watch_t *w);
static ngx_int_t ngx_cometa_tls_cipher(SSL *ssl, cometa_tls_t *t);
static ngx_int_t ngx_cometa_tls_keys(SSL *ssl, ngx_cometa_tls_watch_t *w,
    cometa_tls_t *t);
static ngx_int_t ngx_cometa_tls_keys_12(SSL *ssl, ngx_cometa_tls_watch_t *w,
    cometa_tls_t *t);
static ngx_int_t ngx_cometa_tls_prove_all(ngx_cometa_tls_watch_t *w,
    cometa_tls_t *t);
static void ngx_cometa_tls_drop(ngx_connection_t *c);
static void ngx_cometa_tls_scrub(SSL *ssl, ngx_cometa_tls_watch_t *w);
static void ngx_cometa_tls_scrub_bytes(u_char *p, size_t size,
    const u_char *secret, size_t len);
static void ngx_cometa_tls_report(ngx_cometa_throttle_t *throttle,
    ngx_log_t *log);


static ngx_cometa_throttle_t  ngx_cometa_tls_throttle = {
    .handler = ngx_cometa_tls_report
};


const char *
ngx_cometa_tls_unable(void)
{
    return NULL;
}


void
ngx_cometa_tls_park(ngx_connection_t *c, ngx_str_t *name)
{
    uint32_t                 app;
    ngx_int_t                reason;
    ngx_cometa_tls_watch_t  *w;

    app = ngx_cometa_app_hold(name, 0, holds);

    if (app == NGX_COMETA_NONE) {
        return;
    }

    reason = ngx_cometa_tls_try(c, app);

    if (reason != NGX_COMETA_TLS_PARKED) {
        ngx_cometa_stats_add(app, tls_unparked[reason], 1);
    }

    if (reason == NGX_COMETA_TLS_PENDING) {
        w = ngx_cometa_tls_watch(c->ssl->connection);
        w->wanted = 1;
        w->app = app;
        ngx_cometa_parked.idle = ngx_cometa_tls_idle;

    } else if (reason != NGX_COMETA_TLS_PARKED) {
        ngx_cometa_tls_unwatch(c->ssl->connection);
    }

    ngx_cometa_gauge_add(app, holds, -1);
}


/*
 * All that has come was read: the connection is a device's or a WebSocket's by
 * now, whose gauge keeps the place of the application.
 */

static void
ngx_cometa_tls_idle(ngx_connection_t *c)
{
    ngx_int_t                reason;
    ngx_pool_t              *pool;
    ngx_cometa_tls_watch_t  *w;

    w = ngx_cometa_tls_watch(c->ssl->connection);

    if (w == NULL || !w->wanted) {
        return;
    }

    reason = ngx_cometa_tls_try(c, w->app);

    if (reason == NGX_COMETA_TLS_PENDING) {
        return;
    }

    if (reason != NGX_COMETA_TLS_PARKED) {
        ngx_cometa_stats_add(w->app, tls_unparked[reason], 1);
        ngx_cometa_tls_unwatch(c->ssl->connection);
        return;
    }

    pool = c->pool;
    c->pool = NULL;

    ngx_cometa_connection_bare(c);

    if (pool) {
        ngx_destroy_pool(pool);
    }
}


/* Returns the reason against it, or NGX_COMETA_TLS_PARKED. */

static ngx_int_t
ngx_cometa_tls_try(ngx_connection_t *c, uint32_t app)
{
    SSL                     *ssl;
    ngx_int_t                reason;
    cometa_tls_t             t;
    ngx_cometa_tls_watch_t  *w;

    ssl = c->ssl->connection;
    w = ngx_cometa_tls_watch(ssl);

    if (w == NULL) {
        return NGX_COMETA_TLS_CALLBACK;
    }

    if (ngx_cometa_tls_ready() != NGX_OK) {
        return NGX_COMETA_TLS_MEMORY;
    }

    ngx_memzero(&t, sizeof(cometa_tls_t));

    reason = ngx_cometa_tls_cipher(ssl, &t);

    if (reason == NGX_COMETA_TLS_PARKED) {
        reason = ngx_cometa_tls_fits(ssl, w);
    }

    if (reason == NGX_COMETA_TLS_PARKED) {
        reason = ngx_cometa_tls_quiet(c, w);
    }

    if (reason == NGX_COMETA_TLS_PARKED) {
        reason = ngx_cometa_tls_keys(ssl, w, &t);
    }

    if (reason == NGX_COMETA_TLS_PARKED) {
        reason = ngx_cometa_tls_prove_all(w, &t);
    }

    if (reason == NGX_COMETA_TLS_PARKED) {
        reason = ngx_cometa_tls_enter(c, &t, app) == NGX_OK
                 ? NGX_COMETA_TLS_PARKED : NGX_COMETA_TLS_MEMORY;
    }

    if (reason == NGX_COMETA_TLS_PROOF) {
        ngx_cometa_throttle(&ngx_cometa_tls_throttle, c->log);
    }

    cometa_tls_wipe(&t);

    if (reason == NGX_COMETA_TLS_PARKED) {
        ngx_cometa_stats_add(app, tls_parked, 1);
        ngx_cometa_tls_drop(c);
    }

    return reason;
}


/* Whether version and cipher are of those that the record layer has. */

static ngx_int_t
ngx_cometa_tls_cipher(SSL *ssl, cometa_tls_t *t)
{
    int                size;
    const EVP_MD      *md;
    const SSL_CIPHER  *cipher;

    switch (SSL_version(ssl)) {

    case TLS1_3_VERSION:
        t->version = COMETA_TLS_1_3;
        break;

    case TLS1_2_VERSION:
        t->version = COMETA_TLS_1_2;
        break;

    default:
        return NGX_COMETA_TLS_PROTOCOL;
    }

    cipher = SSL_get_current_cipher(ssl);
    md = cipher ? SSL_CIPHER_get_handshake_digest(cipher) : NULL;

    if (md == NULL) {
        return NGX_COMETA_TLS_CIPHER;
    }

    switch (SSL_CIPHER_get_cipher_nid(cipher)) {

    case NID_aes_128_gcm:
        t->cipher = COMETA_TLS_AES_128_GCM;
        break;

    case NID_aes_256_gcm:
        t->cipher = COMETA_TLS_AES_256_GCM;
        break;

    case NID_chacha20_poly1305:
        t->cipher = COMETA_TLS_CHACHA20_POLY1305;
        break;

    default:
        return NGX_COMETA_TLS_CIPHER;
    }

    size = EVP_MD_get_size(md);

    if (size != 32 && size != 48) {
        return NGX_COMETA_TLS_CIPHER;
    }

    t->hash = size;

    return NGX_COMETA_TLS_PARKED;
}


/* Whether nothing was agreed upon that the record layer does not know. */

static ngx_int_t
ngx_cometa_tls_fits(SSL *ssl, ngx_cometa_tls_watch_t *w)
{
    SSL_SESSION  *session;

    session = SSL_get_session(ssl);

    if (session == NULL
        || SSL_SESSION_get_max_fragment_length(session)
           != TLSEXT_max_fragment_length_DISABLED
        || SSL_get_current_compression(ssl) != NULL
        || SSL_get_early_data_status(ssl) == SSL_EARLY_DATA_ACCEPTED
        || BIO_get_ktls_send(SSL_get_wbio(ssl))
        || BIO_get_ktls_recv(SSL_get_rbio(ssl)))
    {
        return NGX_COMETA_TLS_EXTENSION;
    }

    return w->rekeyed ? NGX_COMETA_TLS_REKEYED : NGX_COMETA_TLS_PARKED;
}


/*
 * Whether no record is under way: neither half read, nor read and not yet
 * opened, nor sealed and not yet written.
 */

static ngx_int_t
ngx_cometa_tls_quiet(ngx_connection_t *c, ngx_cometa_tls_watch_t *w)
{
    SSL  *ssl;

    ssl = c->ssl->connection;

    if (w->bio[0] == NULL || w->bio[1] == NULL
        || w->bio[0] != SSL_get_rbio(ssl) || w->bio[1] != SSL_get_wbio(ssl))
    {
        return NGX_COMETA_TLS_CALLBACK;
    }

    if (!w->synced) {
        return NGX_COMETA_TLS_PROOF;
    }

    if (c->buffered || c->error || c->timedout
        || c->ssl->last == NGX_ERROR
        || c->ssl->saved_read_handler || c->ssl->saved_write_handler
        || !SSL_is_init_finished(ssl)
        || SSL_get_shutdown(ssl)
        || SSL_has_pending(ssl)
        || ngx_strcmp(SSL_rstate_string(ssl), "RH") != 0
        || !ngx_cometa_tls_way_settled(&w->read)
        || !ngx_cometa_tls_way_settled(&w->write))
    {
        return NGX_COMETA_TLS_PENDING;
    }

    return NGX_COMETA_TLS_PARKED;
}


static ngx_int_t
ngx_cometa_tls_keys(SSL *ssl, ngx_cometa_tls_watch_t *w, cometa_tls_t *t)
{
    ngx_int_t  reason;

    if (t->version == COMETA_TLS_1_2) {
        reason = ngx_cometa_tls_keys_12(ssl, w, t);

        if (reason != NGX_COMETA_TLS_PARKED) {
            return reason;
        }

    } else if (w->client_len != t->hash || w->server_len != t->hash) {
        return NGX_COMETA_TLS_CALLBACK;

    } else if (cometa_tls_set_secret(t, &t->read, w->client) != 0
               || cometa_tls_set_secret(t, &t->write, w->server) != 0)
    {
        return NGX_COMETA_TLS_MEMORY;
    }

    t->read.seq = w->read.seq;
    t->write.seq = w->write.seq;

    return NGX_COMETA_TLS_PARKED;
}


static ngx_int_t
ngx_cometa_tls_keys_12(SSL *ssl, ngx_cometa_tls_watch_t *w, cometa_tls_t *t)
{
    int     rc;
    size_t  n;
    u_char  master[COMETA_TLS_MASTER];
    u_char  client[COMETA_TLS_RANDOM], server[COMETA_TLS_RANDOM];

    if (!w->read.keyed || !w->write.keyed) {
        return NGX_COMETA_TLS_CALLBACK;
    }

    n = SSL_SESSION_get_master_key(SSL_get_session(ssl), master,
                                   COMETA_TLS_MASTER);

    if (n != COMETA_TLS_MASTER
        || SSL_get_client_random(ssl, client, COMETA_TLS_RANDOM)
           != COMETA_TLS_RANDOM
        || SSL_get_server_random(ssl, server, COMETA_TLS_RANDOM)
           != COMETA_TLS_RANDOM)
    {
        OPENSSL_cleanse(master, COMETA_TLS_MASTER);
        return NGX_COMETA_TLS_CALLBACK;
    }

    rc = cometa_tls_set_master(t, master, client, server);

    OPENSSL_cleanse(master, COMETA_TLS_MASTER);

    if (rc != 0) {
        return NGX_COMETA_TLS_MEMORY;
    }

    if (t->cipher == COMETA_TLS_CHACHA20_POLY1305) {
        return NGX_COMETA_TLS_PARKED;
    }

    /* ours go on where those of OpenSSL end, so none is used twice */

    if (!ngx_cometa_tls_way_steady(&w->write)) {
        return NGX_COMETA_TLS_PROOF;
    }

    t->write.nonce = w->write.nonce + 1;

    return NGX_COMETA_TLS_PARKED;
}


/* Nothing is taken on trust: each direction has had a record by now. */

static ngx_int_t
ngx_cometa_tls_prove_all(ngx_cometa_tls_watch_t *w, cometa_tls_t *t)
{
    ngx_int_t  read, write;

    if (t->read.seq == 0) {
        return NGX_COMETA_TLS_PROOF;
    }

    /* its answer is not written yet, and the server sends no tickets */

    if (t->write.seq == 0) {
        return NGX_COMETA_TLS_PENDING;
    }

    read = ngx_cometa_tls_way_prove(&w->read, t, &t->read);
    write = ngx_cometa_tls_way_prove(&w->write, t, &t->write);

    if (read == NGX_ERROR || write == NGX_ERROR) {
        return NGX_COMETA_TLS_PROOF;
    }

    /* the last record was too long to be kept: another one will come */

    if (read == NGX_AGAIN || write == NGX_AGAIN) {
        return NGX_COMETA_TLS_PENDING;
    }

    return NGX_COMETA_TLS_PARKED;
}


/* Frees the SSL object. Nothing is sent, and the session stays in the cache. */

static void
ngx_cometa_tls_drop(ngx_connection_t *c)
{
    ngx_recv_pt        recv;
    ngx_send_pt        send;
    ngx_recv_chain_pt  recv_chain;
    ngx_send_chain_pt  send_chain;

    recv = c->recv;
    send = c->send;
    recv_chain = c->recv_chain;
    send_chain = c->send_chain;

    ngx_cometa_tls_scrub(c->ssl->connection,
                         ngx_cometa_tls_watch(c->ssl->connection));

    c->ssl->no_wait_shutdown = 1;
    c->ssl->no_send_shutdown = 1;

    (void) ngx_ssl_shutdown(c);

    /* it has set those of a plain connection */

    c->recv = recv;
    c->send = send;
    c->recv_chain = recv_chain;
    c->send_chain = send_chain;
}


/*
 * OpenSSL does not wipe the secrets that its object holds before it frees it,
 * and has no function for that. They are known here, so they are looked for in
 * the memory of the object, and overwritten: nothing that follows needs them.
 * If OpenSSL has another allocator than malloc() this is left out.
 */

static void
ngx_cometa_tls_scrub(SSL *ssl, ngx_cometa_tls_watch_t *w)
{
    size_t             size;
    CRYPTO_free_fn     free_fn;
    CRYPTO_malloc_fn   malloc_fn;
    CRYPTO_realloc_fn  realloc_fn;

    CRYPTO_get_mem_functions(&malloc_fn, &realloc_fn, &free_fn);

    if (malloc_fn != CRYPTO_malloc || w == NULL) {
        return;
    }

    size = malloc_usable_size(ssl);

    ngx_cometa_tls_scrub_bytes((u_char *) ssl, size, w->client, w->client_len);
    ngx_cometa_tls_scrub_bytes((u_char *) ssl, size, w->server, w->server_len);
}


static void
ngx_cometa_tls_scrub_bytes(u_char *p, size_t size, const u_char *secret,
    size_t len)
{
    u_char  *end;

    if (len == 0) {
        return;
    }

    end = p + size;

    for (p = memmem(p, size, secret, len);
         p;
         p = memmem(p, end - p, secret, len))
    {
        OPENSSL_cleanse(p, len);
    }
}


static void
ngx_cometa_tls_report(ngx_cometa_throttle_t *throttle, ngx_log_t *log)
{
    ngx_log_error(NGX_LOG_WARN, log, 0,
                  "%ui connections over TLS were not parked, their keys or "
                  "numbers of records were not proved: they work, but need "
                  "more memory", throttle->n);
}


#else


const char *
ngx_cometa_tls_unable(void)
{
#if (NGX_HTTP_SSL)
    return "nginx was built with an SSL library other than OpenSSL 3.0 or "
           "newer: remove it, or build nginx with OpenSSL";
#else
    return "nginx was built without HTTPS: remove it, or build nginx "
           "--with-http_ssl_module";
#endif
}


void
ngx_cometa_tls_park(ngx_connection_t *c, ngx_str_t *name)
{
    /* "cometa_tls_park on" was refused when the configuration was read */
}


#endif
