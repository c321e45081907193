/*
 * The connection of a device over TLS by esp_tls of ESP-IDF, and what else a
 * device needs of an ESP32.
 *
 *     esp_tls_cfg_t      cfg = { .crt_bundle_attach = esp_crt_bundle_attach,
 *                                .timeout_ms = 30000 };
 *     cometa_esp_tls_t  tls = { .cfg = &cfg };
 *
 *     config.transport = &cometa_esp_tls_transport;
 *     config.io = &tls;
 *     config.now = cometa_esp_now;
 *     config.random = esp_random;
 *     config.sleep = cometa_esp_sleep;
 */

#ifndef COMETA_ESP_TLS_H_INCLUDED
#define COMETA_ESP_TLS_H_INCLUDED

#include "cometa.h"

#include <esp_tls.h>


typedef struct {
    const esp_tls_cfg_t  *cfg;          /* with a timeout, and whom to trust */
    esp_tls_t            *tls;
} cometa_esp_tls_t;


extern const cometa_transport_t  cometa_esp_tls_transport;


uint32_t cometa_esp_now(void);
void cometa_esp_sleep(uint32_t ms);

#endif
