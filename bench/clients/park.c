/*
 * TLS without its SSL object.
 */

#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "park.h"
#include "util.h"

#define RECORD_HEAD   5
#define CHANGE_CIPHER 20        /* type of a record */


/* what OpenSSL tells of a connection in its handshake */

typedef struct {
    uint64_t  seq;              /* records since its last change of keys */
    uint8_t   secret[COMETA_TLS_SECRET_MAX];    /* TLS 1.3 */
} half_t;

typedef struct {
    half_t    read;
    half_t    write;
} told_t;


static int  told_index = -1;


static void
free_told(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl,
    void *argp)
{
    (void) parent;
    (void) ad;
    (void) idx;
    (void) argl;
    (void) argp;

    free(ptr);
}


static told_t *
told_of(const SSL *ssl)
{
    told_t  *told = SSL_get_ex_data(ssl, told_index);

    if (told == NULL) {
        told = cometa_alloc(sizeof(told_t));
        SSL_set_ex_data((SSL *) ssl, told_index, told);
    }

    return told;
}


/* "LABEL RANDOM SECRET", the last two in hex */

static void
on_secret(const SSL *ssl, const char *line)
{
    half_t      *half = NULL;
    size_t       i;
    unsigned     byte;
    const char  *p;

    if (strncmp(line, "CLIENT_TRAFFIC_SECRET_0 ", 24) == 0) {
        half = &told_of(ssl)->write;

    } else if (strncmp(line, "SERVER_TRAFFIC_SECRET_0 ", 24) == 0) {
        half = &told_of(ssl)->read;
    }

    p = strrchr(line, ' ');

    if (half == NULL || p == NULL) {
        return;
    }

    half->seq = 0;

    for (i = 0, p++; i < COMETA_TLS_SECRET_MAX && p[0] && p[1]; i++, p += 2) {
        sscanf(p, "%2x", &byte);
        half->secret[i] = (uint8_t) byte;
    }
}


/* in TLS 1.2 a record of the type ChangeCipherSpec begins new keys */

static void
on_record(int write, int version, int type, const void *buf, size_t len,
    SSL *ssl, void *arg)
{
    half_t  *half;

    (void) version;
    (void) arg;

    if (type != SSL3_RT_HEADER || len < RECORD_HEAD) {
        return;
    }

    half = write ? &told_of(ssl)->write : &told_of(ssl)->read;
    half->seq++;

    if (*(const uint8_t *) buf == CHANGE_CIPHER) {
        half->seq = 0;
    }
}


void
cometa_park_watch(SSL_CTX *ctx)
{
    if (told_index < 0) {
        told_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_told);
    }

    if (told_index < 0 || cometa_tls_start() != 0) {
        cometa_die("OpenSSL has no memory");
    }

    SSL_CTX_set_keylog_callback(ctx, on_secret);
    SSL_CTX_set_msg_callback(ctx, on_record);
}


static uint8_t
cipher_of(const SSL_CIPHER *cipher)
{
    switch (SSL_CIPHER_get_cipher_nid(cipher)) {

    case NID_aes_128_gcm:
        return COMETA_TLS_AES_128_GCM;

    case NID_aes_256_gcm:
        return COMETA_TLS_AES_256_GCM;

    case NID_chacha20_poly1305:
        return COMETA_TLS_CHACHA20_POLY1305;

    default:
        return 0;
    }
}


static int
set_keys(cometa_tls_t *t, SSL *ssl, const told_t *told)
{
    uint8_t  master[COMETA_TLS_MASTER];
    uint8_t  client[COMETA_TLS_RANDOM], server[COMETA_TLS_RANDOM];

    if (t->version == TLS1_3_VERSION) {
        return cometa_tls_set_secret(t, &t->read, told->read.secret) == 0
               && cometa_tls_set_secret(t, &t->write, told->write.secret) == 0
               ? 0 : -1;
    }

    SSL_SESSION_get_master_key(SSL_get_session(ssl), master, sizeof(master));
    SSL_get_client_random(ssl, client, sizeof(client));
    SSL_get_server_random(ssl, server, sizeof(server));

    RAND_bytes((unsigned char *) &t->write.nonce, sizeof(t->write.nonce));

    return cometa_tls_set_master(t, master, client, server);
}


cometa_tls_t *
cometa_park(SSL *ssl)
{
    told_t            *told = told_of(ssl);
    cometa_tls_t      *t;
    const SSL_CIPHER  *cipher = SSL_get_current_cipher(ssl);

    if (!SSL_is_init_finished(ssl) || SSL_has_pending(ssl)
        || SSL_version(ssl) < TLS1_2_VERSION || cipher_of(cipher) == 0
        || strcmp(SSL_rstate_string(ssl), "RH") != 0)
    {
        return NULL;
    }

    t = cometa_alloc(sizeof(cometa_tls_t));
    t->version = (uint16_t) SSL_version(ssl);
    t->cipher = cipher_of(cipher);
    t->hash = (uint8_t) EVP_MD_size(SSL_CIPHER_get_handshake_digest(cipher));
    t->client = 1;

    if (set_keys(t, ssl, told) != 0) {
        free(t);
        return NULL;
    }

    t->read.seq = told->read.seq;
    t->write.seq = told->write.seq;

    return t;
}


size_t
cometa_park_seal(cometa_tls_t *t, const char *data, size_t n, uint8_t *out)
{
    size_t   part, size;
    uint8_t *p = out;

    if (cometa_tls_update_due(t)) {
        size = cometa_tls_seal_update(t, p);

        if (size == 0) {
            return 0;
        }

        p += size;
    }

    for ( /* void */ ; n; data += part, n -= part) {
        part = n < COMETA_TLS_PLAIN_MAX ? n : COMETA_TLS_PLAIN_MAX;
        size = cometa_tls_seal(t, COMETA_TLS_DATA, (const uint8_t *) data,
                               part, p);

        if (size == 0) {
            return 0;
        }

        p += size;
    }

    return (size_t) (p - out);
}


ssize_t
cometa_park_open(cometa_tls_t *t, uint8_t *in, size_t n, char *out,
    size_t *rest)
{
    int      rc;
    char    *end = out;
    size_t   used, len;
    uint8_t  alert, *data;

    for ( /* void */ ; n; in += used, n -= used) {
        rc = cometa_tls_read(t, in, n, &used, &data, &len, &alert);

        if (rc == COMETA_TLS_READ_AGAIN) {
            break;
        }

        if (rc != COMETA_TLS_READ_DATA && rc != COMETA_TLS_READ_NOTHING) {
            return -1;
        }

        memcpy(end, data, len);
        end += len;
    }

    *rest = n;

    return end - out;
}
