/*
 * A test's device over esp_tls, which is made here of OpenSSL.  As there, a
 * connection is an object that is made, connected, used and destroyed.
 */

#include <stdlib.h>
#include <unistd.h>

#include "cometa_esp_tls.h"
#include "cometa_openssl.h"
#include "device.h"
#include "esp_timer.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"


struct esp_tls {
    cometa_openssl_t  openssl;
    int               open;
};


esp_tls_t *
esp_tls_init(void)
{
    esp_tls_t  *tls = calloc(1, sizeof(esp_tls_t));

    if (tls == NULL || cometa_openssl_init(&tls->openssl, getenv("CA")) != 0) {
        exit(2);
    }

    return tls;
}


int
esp_tls_conn_new_sync(const char *hostname, int hostlen, int port,
    const esp_tls_cfg_t *cfg, esp_tls_t *tls)
{
    (void) hostlen, (void) cfg;

    tls->open = cometa_openssl_transport.open(&tls->openssl, hostname,
                                              (uint16_t) port) == 0;
    return tls->open ? 1 : -1;
}


ssize_t
esp_tls_conn_write(esp_tls_t *tls, const void *data, size_t datalen)
{
    return cometa_openssl_transport.write(&tls->openssl, data, datalen);
}


ssize_t
esp_tls_conn_read(esp_tls_t *tls, void *data, size_t datalen)
{
    int  n = cometa_openssl_transport.read(&tls->openssl, data, datalen, 0);

    return n > 0 ? n : n == 0 ? ESP_TLS_ERR_SSL_WANT_READ : 0;
}


int
esp_tls_conn_destroy(esp_tls_t *tls)
{
    if (tls->open) {
        cometa_openssl_transport.close(&tls->openssl);
    }

    cometa_openssl_free(&tls->openssl);
    free(tls);

    return 0;
}


ssize_t
esp_tls_get_bytes_avail(esp_tls_t *tls)
{
    return SSL_pending(tls->openssl.ssl);
}


esp_err_t
esp_tls_get_conn_sockfd(esp_tls_t *tls, int *sockfd)
{
    *sockfd = tls->openssl.tcp.fd;
    return ESP_OK;
}


int64_t
esp_timer_get_time(void)
{
    return (int64_t) cometa_posix_now() * 1000;
}


void
vTaskDelay(TickType_t ticks)
{
    cometa_posix_sleep(ticks * 10);
}


void
transport(cometa_config_t *config)
{
    static esp_tls_cfg_t     cfg;
    static cometa_esp_tls_t  io = { &cfg, NULL };

    config->transport = &cometa_esp_tls_transport;
    config->io = &io;
    config->now = cometa_esp_now;
    config->sleep = cometa_esp_sleep;
}
