/* OpenSSL. */

#include <openssl/ssl.h>

#include "device.h"


static SSL  *ssl;


int
tls_open(int fd, int version, const char *ciphers)
{
    int       v = version == 2 ? TLS1_2_VERSION : TLS1_3_VERSION;
    SSL_CTX  *ctx = SSL_CTX_new(TLS_client_method());

    if (ctx == NULL
        || !SSL_CTX_set_min_proto_version(ctx, v)
        || !SSL_CTX_set_max_proto_version(ctx, v))
    {
        return -1;
    }

    if (ciphers && !(version == 2 ? SSL_CTX_set_cipher_list(ctx, ciphers)
                                  : SSL_CTX_set_ciphersuites(ctx, ciphers)))
    {
        return -1;
    }

    ssl = SSL_new(ctx);

    return ssl && SSL_set_fd(ssl, fd) && SSL_connect(ssl) == 1 ? 0 : -1;
}


ssize_t
tls_read(void *p, size_t n)
{
    int  rc = SSL_read(ssl, p, (int) n);

    if (rc > 0) {
        return rc;
    }

    return SSL_get_error(ssl, rc) == SSL_ERROR_ZERO_RETURN ? 0 : -1;
}


int
tls_write(const void *p, size_t n)
{
    return SSL_write(ssl, p, (int) n) == (int) n ? 0 : -1;
}


int
tls_update(void)
{
    if (SSL_version(ssl) != TLS1_3_VERSION) {
        return -1;
    }

    return SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED) ? 0 : -1;
}


int
tls_close(void)
{
    return SSL_shutdown(ssl) >= 0 ? 0 : -1;
}


const char *
tls_version(void)
{
    return SSL_get_version(ssl);
}


const char *
tls_cipher(void)
{
    return SSL_get_cipher(ssl);
}
