/* As much of FreeRTOS as clients/c uses. */

#ifndef STUB_FREERTOS_TASK_H
#define STUB_FREERTOS_TASK_H

#include "FreeRTOS.h"


void vTaskDelay(TickType_t ticks);

#endif
