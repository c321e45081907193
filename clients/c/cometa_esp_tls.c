/*
 * TLS of ESP-IDF for a device: see cometa_esp_tls.h.
 */

#include "cometa_esp_tls.h"

#include <esp_timer.h>
#include <freertos/FreeRTOS.h>
#include <freertos/task.h>
#include <string.h>
#include <sys/select.h>


static int esp_open(void *io, const char *host, uint16_t port);
static int esp_read(void *io, void *buf, size_t size, uint32_t ms);
static int esp_write(void *io, const void *data, size_t size);
static void esp_close(void *io);
static int readable(cometa_esp_tls_t *e, uint32_t ms);
static int in_vain(ssize_t n);


const cometa_transport_t  cometa_esp_tls_transport = {
    esp_open, esp_read, esp_write, esp_close, NULL
};


static int
esp_open(void *io, const char *host, uint16_t port)
{
    cometa_esp_tls_t  *e = io;

    e->tls = esp_tls_init();

    if (e->tls == NULL) {
        return -1;
    }

    if (esp_tls_conn_new_sync(host, (int) strlen(host), port, e->cfg, e->tls)
        == 1)
    {
        return 0;
    }

    esp_close(e);

    return -1;
}


static int
esp_read(void *io, void *buf, size_t size, uint32_t ms)
{
    int                ready;
    ssize_t            n;
    cometa_esp_tls_t  *e = io;

    ready = readable(e, ms);

    if (ready <= 0) {
        return ready;
    }

    n = esp_tls_conn_read(e->tls, buf, size);

    return n > 0 ? (int) n : in_vain(n) ? 0 : -1;
}


/* What was decrypted, and is not read yet, does not show in the socket. */

static int
readable(cometa_esp_tls_t *e, uint32_t ms)
{
    int             fd;
    fd_set          set;
    struct timeval  tv;

    if (esp_tls_get_bytes_avail(e->tls) > 0) {
        return 1;
    }

    if (esp_tls_get_conn_sockfd(e->tls, &fd) != ESP_OK) {
        return -1;
    }

    FD_ZERO(&set);
    FD_SET(fd, &set);

    tv.tv_sec = (time_t) (ms / 1000);
    tv.tv_usec = (suseconds_t) (ms % 1000 * 1000);

    return select(fd + 1, &set, NULL, NULL, &tv);
}


static int
esp_write(void *io, const void *data, size_t size)
{
    ssize_t            n;
    cometa_esp_tls_t  *e = io;
    uint32_t           start = cometa_esp_now();

    for ( ;; ) {
        n = esp_tls_conn_write(e->tls, data, size);

        if (n > 0) {
            return (int) n;
        }

        if (!in_vain(n) || cometa_esp_now() - start > 30000) {
            return -1;
        }

        cometa_esp_sleep(10);
    }
}


static int
in_vain(ssize_t n)
{
    return n == ESP_TLS_ERR_SSL_WANT_READ || n == ESP_TLS_ERR_SSL_WANT_WRITE;
}


static void
esp_close(void *io)
{
    cometa_esp_tls_t  *e = io;

    (void) esp_tls_conn_destroy(e->tls);
    e->tls = NULL;
}


uint32_t
cometa_esp_now(void)
{
    return (uint32_t) (esp_timer_get_time() / 1000);
}


/* At least a tick, so that other tasks run. */

void
cometa_esp_sleep(uint32_t ms)
{
    vTaskDelay(pdMS_TO_TICKS(ms) + 1);
}
