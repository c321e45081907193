/*
 * TLS without its SSL object: OpenSSL does the handshake, and then the record
 * layer of the module (tls/cometa_tls_record.c), as the client, goes on with
 * its keys and sequence numbers. So an idle connection takes 250 bytes and not
 * 16 KB. This is a program that loads a server: keys are taken as they are, and
 * a wrong one shows as replies that do not come.
 */

#ifndef COMETA_BENCH_PARK_H
#define COMETA_BENCH_PARK_H

#include <openssl/ssl.h>
#include <stddef.h>
#include <stdint.h>

#include "../../ngx_cometa_module/tls/cometa_tls_record.h"

/* bytes that sealing n of data takes at most, with an update of the key */
#define COMETA_PARK_ROOM(n)                                                   \
    ((n) + ((n) / COMETA_TLS_PLAIN_MAX + 2) * (COMETA_TLS_OVERHEAD + 8))

/* for all connections of a context; before the first of them */
void cometa_park_watch(SSL_CTX *ctx);

/*
 * the state that goes on where OpenSSL ends, to be freed by the caller; NULL if
 * that cannot be now, or not with this cipher. The SSL object is not freed
 */
cometa_tls_t *cometa_park(SSL *ssl);

/* the records for n bytes, into "out"; their length, 0 if it is over */
size_t cometa_park_seal(cometa_tls_t *t, const char *data, size_t n,
    uint8_t *out);

/*
 * opens the records at "in", in place: their data goes to "out", which has as
 * much room. "*rest" is the length of the part of a record at the end of "in".
 * Returns the bytes of data, or -1 at the end of the connection
 */
ssize_t cometa_park_open(cometa_tls_t *t, uint8_t *in, size_t n, char *out,
    size_t *rest);

#endif
