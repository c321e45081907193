/*
 * TLS by OpenSSL for a device: see cometa_openssl.h.
 */

#include "cometa_openssl.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <string.h>


#define IO_MS   30000               /* for a handshake, or to write */
#define SHA1    20
#define ACCEPT  28                  /* a SHA-1 in base64 */


static int tls_open(void *io, const char *host, uint16_t port);
static SSL *new_ssl(cometa_openssl_t *tls, const char *host);
static int tls_read(void *io, void *buf, size_t size, uint32_t ms);
static int tls_write(void *io, const void *data, size_t size);
static void tls_close(void *io);
static int ready(cometa_openssl_t *tls, int rc, uint32_t ms);


const cometa_transport_t  cometa_openssl_transport = {
    tls_open, tls_read, tls_write, tls_close, cometa_openssl_accept
};


int
cometa_openssl_init(cometa_openssl_t *tls, const char *ca)
{
    tls->tcp.fd = -1;
    tls->ssl = NULL;
    tls->ctx = SSL_CTX_new(TLS_client_method());

    if (tls->ctx == NULL) {
        return -1;
    }

    SSL_CTX_set_verify(tls->ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(tls->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE
                               | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER
                               | SSL_MODE_RELEASE_BUFFERS);

    if (SSL_CTX_set_min_proto_version(tls->ctx, TLS1_2_VERSION) == 1
        && (ca != NULL ? SSL_CTX_load_verify_locations(tls->ctx, ca, NULL)
                       : SSL_CTX_set_default_verify_paths(tls->ctx)) == 1)
    {
        return 0;
    }

    cometa_openssl_free(tls);

    return -1;
}


void
cometa_openssl_free(cometa_openssl_t *tls)
{
    SSL_CTX_free(tls->ctx);
    tls->ctx = NULL;
}


static int
tls_open(void *io, const char *host, uint16_t port)
{
    int                rc;
    cometa_openssl_t  *tls = io;

    if (cometa_posix_open(&tls->tcp, host, port) != 0) {
        return -1;
    }

    tls->ssl = new_ssl(tls, host);

    if (tls->ssl != NULL) {

        do {
            rc = SSL_connect(tls->ssl);

            if (rc == 1) {
                return 0;
            }
        } while (ready(tls, rc, IO_MS) > 0);
    }

    tls_close(tls);

    return -1;
}


/* An address has no server name, and is checked as an address. */

static SSL *
new_ssl(cometa_openssl_t *tls, const char *host)
{
    int   ok;
    SSL  *ssl;

    ssl = SSL_new(tls->ctx);

    if (ssl == NULL) {
        return NULL;
    }

    ok = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1
         || (SSL_set1_host(ssl, host) == 1
             && SSL_set_tlsext_host_name(ssl, host) == 1);

    ERR_clear_error();

    if (ok && SSL_set_fd(ssl, tls->tcp.fd) == 1) {
        return ssl;
    }

    SSL_free(ssl);

    return NULL;
}


static int
tls_read(void *io, void *buf, size_t size, uint32_t ms)
{
    int                n, rc;
    cometa_openssl_t  *tls = io;

    n = SSL_read(tls->ssl, buf, size < INT_MAX ? (int) size : INT_MAX);

    if (n > 0) {
        return n;
    }

    rc = ready(tls, n, ms);

    if (rc <= 0) {
        return rc;
    }

    n = SSL_read(tls->ssl, buf, size < INT_MAX ? (int) size : INT_MAX);

    /* half of a record is nothing yet: the next step waits for the rest */

    return n > 0 ? n : ready(tls, n, 0) < 0 ? -1 : 0;
}


static int
tls_write(void *io, const void *data, size_t size)
{
    int                n;
    cometa_openssl_t  *tls = io;

    do {
        n = SSL_write(tls->ssl, data, size < INT_MAX ? (int) size : INT_MAX);

        if (n > 0) {
            return n;
        }
    } while (ready(tls, n, IO_MS) > 0);

    return -1;
}


/*
 * Waits for what the last function has wanted: 1, 0 if in vain, -1 if lost.  An
 * error that is left behind would be taken for one of the next function.
 */

static int
ready(cometa_openssl_t *tls, int rc, uint32_t ms)
{
    int  error = SSL_get_error(tls->ssl, rc);

    ERR_clear_error();

    switch (error) {

    case SSL_ERROR_WANT_READ:
        return cometa_posix_wait(&tls->tcp, POLLIN, ms);

    case SSL_ERROR_WANT_WRITE:
        return cometa_posix_wait(&tls->tcp, POLLOUT, ms);

    default:
        return -1;
    }
}


static void
tls_close(void *io)
{
    cometa_openssl_t  *tls = io;

    if (tls->ssl != NULL) {
        (void) SSL_shutdown(tls->ssl);
        SSL_free(tls->ssl);
        tls->ssl = NULL;
    }

    cometa_posix_close(&tls->tcp);
}


int
cometa_openssl_accept(const char *key, const char *value, size_t len)
{
    char           text[128];
    size_t         n = strlen(key);
    unsigned char  hash[SHA1], base64[ACCEPT + 1];

    static const char  guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

    if (len != ACCEPT || n + sizeof(guid) > sizeof(text)) {
        return 0;
    }

    memcpy(text, key, n);
    memcpy(text + n, guid, sizeof(guid));

    if (EVP_Digest(text, strlen(text), hash, NULL, EVP_sha1(), NULL) != 1) {
        return 0;
    }

    (void) EVP_EncodeBlock(base64, hash, SHA1);

    return memcmp(base64, value, ACCEPT) == 0;
}
