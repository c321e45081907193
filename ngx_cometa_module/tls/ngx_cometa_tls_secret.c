
/*
 * Secrets and numbers of records, see ngx_cometa_tls_secret.h.
 *
 *     ClientHello is read     the watch begins: its way of writing is at the
 *                             first byte, that of reading between two records
 *     SERVER_TRAFFIC_SECRET_0 the next record written has the number 0
 *     CLIENT_TRAFFIC_SECRET_0 the next record read has the number 0
 *     ChangeCipherSpec        the same in TLS 1.2, of its direction
 *
 * State: two indices of OpenSSL's, for what belongs to an SSL and an SSL_CTX.
 */

#include "ngx_cometa_tls_secret.h"

#if (NGX_COMETA_TLS)

#include "ngx_cometa_tls_proof.h"
#include "cometa_tls_record.h"


#define NGX_COMETA_TLS_CLIENT  "CLIENT_TRAFFIC_SECRET_0 "
#define NGX_COMETA_TLS_SERVER  "SERVER_TRAFFIC_SECRET_0 "

#define NGX_COMETA_TLS_SPARED  512      /* bytes of our last record */


/* The callback that a context had before ours. */

typedef struct {
    SSL_CTX_keylog_cb_func  keylog;
} ngx_cometa_tls_chain_t;


static void ngx_cometa_tls_keylog(const SSL *ssl, const char *line);
static size_t ngx_cometa_tls_secret(const char *line, size_t label,
    u_char *secret);
static int ngx_cometa_tls_digit(char c);
static void ngx_cometa_tls_message(int write, int version, int type,
    const void *data, size_t len, SSL *ssl, void *arg);
static void ngx_cometa_tls_begin(SSL *ssl);
static void ngx_cometa_tls_handshake(ngx_cometa_tls_watch_t *w, SSL *ssl,
    int write, const u_char *data, size_t len);
static void ngx_cometa_tls_count(ngx_cometa_tls_watch_t *w,
    ngx_cometa_tls_way_t *way, SSL *ssl, u_char type);
static long ngx_cometa_tls_wire(BIO *bio, int op, const char *data, size_t len,
    int argi, long argl, int ret, size_t *processed);
static void ngx_cometa_tls_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad,
    int idx, long argl, void *argp);


static int  ngx_cometa_tls_ssl_index = -1;
static int  ngx_cometa_tls_ctx_index = -1;


ngx_int_t
ngx_cometa_tls_hook(SSL_CTX *ctx, ngx_pool_t *pool)
{
    ngx_cometa_tls_chain_t  *chain;

    if (SSL_CTX_get_keylog_callback(ctx) == ngx_cometa_tls_keylog) {
        return NGX_OK;
    }

    if (ngx_cometa_tls_ssl_index == -1) {
        ngx_cometa_tls_ssl_index = SSL_get_ex_new_index(0, NULL, NULL, NULL,
                                                        ngx_cometa_tls_free);
    }

    if (ngx_cometa_tls_ctx_index == -1) {
        ngx_cometa_tls_ctx_index = SSL_CTX_get_ex_new_index(0, NULL, NULL,
                                                            NULL, NULL);
    }

    chain = ngx_palloc(pool, sizeof(ngx_cometa_tls_chain_t));

    if (chain == NULL
        || ngx_cometa_tls_ssl_index == -1
        || ngx_cometa_tls_ctx_index == -1)
    {
        return NGX_ERROR;
    }

    chain->keylog = SSL_CTX_get_keylog_callback(ctx);

    if (SSL_CTX_set_ex_data(ctx, ngx_cometa_tls_ctx_index, chain) == 0) {
        return NGX_ERROR;
    }

    SSL_CTX_set_keylog_callback(ctx, ngx_cometa_tls_keylog);
    SSL_CTX_set_msg_callback(ctx, ngx_cometa_tls_message);

    return NGX_OK;
}


ngx_cometa_tls_watch_t *
ngx_cometa_tls_watch(SSL *ssl)
{
    SSL_CTX  *ctx;

    if (ngx_cometa_tls_ssl_index == -1) {
        return NULL;
    }

    ctx = SSL_get_SSL_CTX(ssl);

    if (SSL_CTX_get_keylog_callback(ctx) != ngx_cometa_tls_keylog) {
        return NULL;
    }

    return SSL_get_ex_data(ssl, ngx_cometa_tls_ssl_index);
}


void
ngx_cometa_tls_spare(SSL *ssl, ngx_uint_t never)
{
    ngx_cometa_tls_watch_t  *w;

    w = ngx_cometa_tls_watch(ssl);

    if (w == NULL || w->wanted) {
        return;
    }

    if (never) {
        ngx_cometa_tls_unwatch(ssl);
        return;
    }

    ngx_cometa_tls_way_free(&w->read);

    /* one that moves before its answer is written is proved by a former one */

    if (w->write.room > NGX_COMETA_TLS_SPARED) {
        ngx_cometa_tls_way_free(&w->write);
    }
}


void
ngx_cometa_tls_unwatch(SSL *ssl)
{
    ngx_cometa_tls_watch_t  *w;

    w = SSL_get_ex_data(ssl, ngx_cometa_tls_ssl_index);

    if (w) {
        (void) SSL_set_ex_data(ssl, ngx_cometa_tls_ssl_index, NULL);
        ngx_cometa_tls_free(NULL, w, NULL, 0, 0, NULL);
    }
}


/* A line is a label, the client's random value, and the secret, in hex. */

static void
ngx_cometa_tls_keylog(const SSL *ssl, const char *line)
{
    size_t                   label;
    ngx_cometa_tls_chain_t  *chain;
    ngx_cometa_tls_watch_t  *w;

    chain = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl),
                                ngx_cometa_tls_ctx_index);

    if (chain && chain->keylog) {
        chain->keylog(ssl, line);
    }

    w = SSL_get_ex_data(ssl, ngx_cometa_tls_ssl_index);

    if (w == NULL) {
        return;
    }

    label = sizeof(NGX_COMETA_TLS_CLIENT) - 1;

    if (ngx_strncmp(line, NGX_COMETA_TLS_CLIENT, label) == 0) {
        w->client_len = ngx_cometa_tls_secret(line, label, w->client);
        w->read.seq = 0;

    } else if (ngx_strncmp(line, NGX_COMETA_TLS_SERVER, label) == 0) {
        w->server_len = ngx_cometa_tls_secret(line, label, w->server);
        w->write.seq = 0;
    }
}


/* Returns the length of the secret, 0 if the line has another form. */

static size_t
ngx_cometa_tls_secret(const char *line, size_t label, u_char *secret)
{
    int          high, low;
    size_t       n;
    const char  *p;

    p = strchr(line + label, ' ');

    if (p == NULL) {
        return 0;
    }

    for (n = 0, p++; *p && n < COMETA_TLS_SECRET_MAX; n++) {
        high = ngx_cometa_tls_digit(*p++);
        low = ngx_cometa_tls_digit(*p++);

        if (high < 0 || low < 0) {
            return 0;
        }

        secret[n] = (u_char) (high << 4 | low);
    }

    return *p ? 0 : n;
}


static int
ngx_cometa_tls_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }

    c |= 0x20;

    return (c >= 'a' && c <= 'f') ? c - 'a' + 10 : -1;
}


static void
ngx_cometa_tls_message(int write, int version, int type, const void *data,
    size_t len, SSL *ssl, void *arg)
{
    ngx_cometa_tls_watch_t  *w;

    w = SSL_get_ex_data(ssl, ngx_cometa_tls_ssl_index);

    if (w == NULL && !write && SSL_is_server(ssl)
        && type == SSL3_RT_HANDSHAKE)
    {
        ngx_cometa_tls_begin(ssl);
        w = SSL_get_ex_data(ssl, ngx_cometa_tls_ssl_index);
    }

    if (w == NULL || len == 0) {
        return;
    }

    if (type == SSL3_RT_HEADER) {
        ngx_cometa_tls_count(w, write ? &w->write : &w->read, ssl,
                             *(u_char *) data);

    } else if (type == SSL3_RT_HANDSHAKE) {
        ngx_cometa_tls_handshake(w, ssl, write, data, len);
    }
}


/* The first message has been read, and nothing was written yet. */

static void
ngx_cometa_tls_begin(SSL *ssl)
{
    ngx_uint_t               i;
    ngx_cometa_tls_watch_t  *w;

    w = ngx_calloc(sizeof(ngx_cometa_tls_watch_t), ngx_cycle->log);
    if (w == NULL) {
        return;
    }

    if (SSL_set_ex_data(ssl, ngx_cometa_tls_ssl_index, w) == 0) {
        ngx_free(w);
        return;
    }

    w->bio[0] = SSL_get_rbio(ssl);
    w->bio[1] = SSL_get_wbio(ssl);

    for (i = 0; i < 2; i++) {

        /* another module's may be there: then nothing is seen */

        if (w->bio[i] == NULL
            || (BIO_get_callback_ex(w->bio[i]) != NULL
                && BIO_get_callback_ex(w->bio[i]) != ngx_cometa_tls_wire))
        {
            w->bio[i] = NULL;
            continue;
        }

        BIO_set_callback_arg(w->bio[i], (char *) w);
        BIO_set_callback_ex(w->bio[i], ngx_cometa_tls_wire);
    }
}


/*
 * If OpenSSL has nothing in its buffer when a message was read, it has read up
 * to the end of a record.
 */

static void
ngx_cometa_tls_handshake(ngx_cometa_tls_watch_t *w, SSL *ssl, int write,
    const u_char *data, size_t len)
{
    if (data[0] == SSL3_MT_KEY_UPDATE) {
        w->rekeyed = 1;
    }

    if (!write && !w->synced && !SSL_has_pending(ssl)) {
        w->synced = 1;
        w->read.counted = 0;
        w->read.framed = 0;
    }
}


/*
 * The head of a record. In TLS 1.3 a ChangeCipherSpec means nothing and has no
 * number; in TLS 1.2 numbers begin anew behind it.
 */

static void
ngx_cometa_tls_count(ngx_cometa_tls_watch_t *w, ngx_cometa_tls_way_t *way,
    SSL *ssl, u_char type)
{
    way->counted++;

    if (type != COMETA_TLS_CHANGE) {
        way->seq++;
        return;
    }

    if (SSL_version(ssl) == TLS1_3_VERSION) {
        return;
    }

    if (way->keyed) {
        w->rekeyed = 1;
    }

    way->keyed = 1;
    way->seq = 0;
}


/* What the socket has taken or given, whatever OpenSSL makes of it. */

static long
ngx_cometa_tls_wire(BIO *bio, int op, const char *data, size_t len, int argi,
    long argl, int ret, size_t *processed)
{
    ngx_cometa_tls_watch_t  *w;

    w = (ngx_cometa_tls_watch_t *) BIO_get_callback_arg(bio);

    if (w == NULL) {
        return ret;
    }

    if (op == BIO_CB_FREE) {
        w->bio[0] = (w->bio[0] == bio) ? NULL : w->bio[0];
        w->bio[1] = (w->bio[1] == bio) ? NULL : w->bio[1];
        return ret;
    }

    if (ret <= 0 || processed == NULL) {
        return ret;
    }

    if (op == (BIO_CB_WRITE|BIO_CB_RETURN)) {
        ngx_cometa_tls_way_feed(&w->write, (u_char *) data, *processed);

    } else if (op == (BIO_CB_READ|BIO_CB_RETURN) && w->synced) {
        ngx_cometa_tls_way_feed(&w->read, (u_char *) data, *processed);
    }

    return ret;
}


static void
ngx_cometa_tls_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx,
    long argl, void *argp)
{
    ngx_uint_t               i;
    ngx_cometa_tls_watch_t  *w;

    w = ptr;

    if (w == NULL) {
        return;
    }

    for (i = 0; i < 2; i++) {
        if (w->bio[i]) {
            BIO_set_callback_ex(w->bio[i], NULL);
            BIO_set_callback_arg(w->bio[i], NULL);
        }
    }

    ngx_cometa_tls_way_free(&w->read);
    ngx_cometa_tls_way_free(&w->write);

    OPENSSL_cleanse(w, sizeof(ngx_cometa_tls_watch_t));
    ngx_free(w);
}

#endif
