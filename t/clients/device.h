/*
 * How a test's device in C gets its connection: a file for each transport.
 */

#ifndef TEST_DEVICE_H
#define TEST_DEVICE_H

#include "cometa.h"


#ifdef __cplusplus
extern "C"
#endif
void transport(cometa_config_t *config);

#endif
