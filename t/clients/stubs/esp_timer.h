/* As much of ESP-IDF's esp_timer.h and esp_random.h as clients/c uses. */

#ifndef STUB_ESP_TIMER_H
#define STUB_ESP_TIMER_H

#include <stdint.h>


int64_t esp_timer_get_time(void);       /* us */

#endif
