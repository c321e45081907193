/*
 * The connection of a device over TLS by OpenSSL, 1.1.0 or newer, on sockets of
 * POSIX.  The server's certificate and name are checked, always.  The program
 * ignores SIGPIPE: OpenSSL writes to a connection that is closed.
 *
 *     cometa_openssl_t  tls;
 *
 *     if (cometa_openssl_init(&tls, "ca.pem") != 0) { ... }
 *
 *     config.transport = &cometa_openssl_transport;
 *     config.io = &tls;
 */

#ifndef COMETA_OPENSSL_H_INCLUDED
#define COMETA_OPENSSL_H_INCLUDED

#include "cometa_posix.h"

#include <openssl/ssl.h>


typedef struct {
    cometa_posix_t  tcp;
    SSL_CTX        *ctx;            /* may be changed: ciphers, a certificate */
    SSL            *ssl;
} cometa_openssl_t;


extern const cometa_transport_t  cometa_openssl_transport;


/*
 * A file of certificates to trust; NULL: those of the system.  Returns 0 or -1;
 * the context is freed by the second one.
 */

int cometa_openssl_init(cometa_openssl_t *tls, const char *ca);
void cometa_openssl_free(cometa_openssl_t *tls);

/* Whether this is the Sec-WebSocket-Accept of a key: may serve elsewhere. */

int cometa_openssl_accept(const char *key, const char *value, size_t len);

#endif
