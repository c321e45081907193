/* Mbed TLS 2.28, the version of Debian 12: TLS 1.2 alone. */

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/ssl.h>

#include "device.h"


static mbedtls_ssl_context       ssl;
static mbedtls_ssl_config        conf;
static mbedtls_net_context       net;
static mbedtls_entropy_context   entropy;
static mbedtls_ctr_drbg_context  random_bits;


int
tls_open(int fd, int version, const char *ciphers)
{
    (void) ciphers;

    net.fd = fd;
    mbedtls_ssl_init(&ssl);
    mbedtls_ssl_config_init(&conf);
    mbedtls_entropy_init(&entropy);
    mbedtls_ctr_drbg_init(&random_bits);

    if (version != 2
        || mbedtls_ctr_drbg_seed(&random_bits, mbedtls_entropy_func, &entropy,
                                 NULL, 0) != 0
        || mbedtls_ssl_config_defaults(&conf, MBEDTLS_SSL_IS_CLIENT,
                                       MBEDTLS_SSL_TRANSPORT_STREAM,
                                       MBEDTLS_SSL_PRESET_DEFAULT) != 0)
    {
        return -1;
    }

    mbedtls_ssl_conf_authmode(&conf, MBEDTLS_SSL_VERIFY_NONE);
    mbedtls_ssl_conf_rng(&conf, mbedtls_ctr_drbg_random, &random_bits);

    if (mbedtls_ssl_setup(&ssl, &conf) != 0) {
        return -1;
    }

    mbedtls_ssl_set_bio(&ssl, &net, mbedtls_net_send, mbedtls_net_recv, NULL);

    return mbedtls_ssl_handshake(&ssl) == 0 ? 0 : -1;
}


ssize_t
tls_read(void *p, size_t n)
{
    int  rc = mbedtls_ssl_read(&ssl, p, n);

    if (rc > 0) {
        return rc;
    }

    return rc == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY ? 0 : -1;
}


int
tls_write(const void *p, size_t n)
{
    int     rc;
    size_t  done;

    for (done = 0; done < n; done += (size_t) rc) {
        rc = mbedtls_ssl_write(&ssl, (const unsigned char *) p + done,
                               n - done);

        if (rc < 0) {
            return -1;
        }
    }

    return 0;
}


int
tls_update(void)
{
    return -1;
}


int
tls_close(void)
{
    return mbedtls_ssl_close_notify(&ssl) == 0 ? 0 : -1;
}


const char *
tls_version(void)
{
    return mbedtls_ssl_get_version(&ssl);
}


const char *
tls_cipher(void)
{
    return mbedtls_ssl_get_ciphersuite(&ssl);
}
