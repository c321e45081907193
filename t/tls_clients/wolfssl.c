/* wolfSSL. */

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include "device.h"


static WOLFSSL  *ssl;


int
tls_open(int fd, int version, const char *ciphers)
{
    WOLFSSL_CTX  *ctx;

    (void) ciphers;

    wolfSSL_Init();

    ctx = wolfSSL_CTX_new(version == 2 ? wolfTLSv1_2_client_method()
                                       : wolfTLSv1_3_client_method());

    if (ctx == NULL) {
        return -1;
    }

    wolfSSL_CTX_set_verify(ctx, WOLFSSL_VERIFY_NONE, NULL);
    ssl = wolfSSL_new(ctx);

    return ssl && wolfSSL_set_fd(ssl, fd) == WOLFSSL_SUCCESS
           && wolfSSL_connect(ssl) == WOLFSSL_SUCCESS ? 0 : -1;
}


ssize_t
tls_read(void *p, size_t n)
{
    int  rc = wolfSSL_read(ssl, p, (int) n);

    if (rc > 0) {
        return rc;
    }

    return wolfSSL_get_error(ssl, rc) == WOLFSSL_ERROR_ZERO_RETURN ? 0 : -1;
}


int
tls_write(const void *p, size_t n)
{
    return wolfSSL_write(ssl, p, (int) n) == (int) n ? 0 : -1;
}


/* it always asks the other side to update, too */

int
tls_update(void)
{
    if (wolfSSL_version(ssl) != TLS1_3_VERSION) {
        return -1;
    }

    return wolfSSL_update_keys(ssl) == WOLFSSL_SUCCESS ? 0 : -1;
}


int
tls_close(void)
{
    return wolfSSL_shutdown(ssl) >= 0 ? 0 : -1;
}


const char *
tls_version(void)
{
    return wolfSSL_get_version(ssl);
}


const char *
tls_cipher(void)
{
    return wolfSSL_get_cipher_name(ssl);
}
