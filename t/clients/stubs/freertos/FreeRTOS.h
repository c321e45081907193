/* As much of FreeRTOS as clients/c uses. */

#ifndef STUB_FREERTOS_H
#define STUB_FREERTOS_H

#include <stdint.h>


typedef uint32_t  TickType_t;


#define pdMS_TO_TICKS(ms)  ((TickType_t) ((ms) / 10))

#endif
