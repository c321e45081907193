/* As much of Arduino as clients/c uses. */

#ifndef STUB_ARDUINO_H
#define STUB_ARDUINO_H

#include <stdint.h>


unsigned long millis(void);
void delay(unsigned long ms);

#endif
