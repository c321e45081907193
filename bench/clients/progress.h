/*
 * What is told of the devices while they run.
 */

#ifndef COMETA_BENCH_PROGRESS_H
#define COMETA_BENCH_PROGRESS_H

#include <stdint.h>

#include "device.h"

/*
 * Progress goes to standard error if "tell" is set; how many are attached
 * goes to the file of this name too, NULL for none.
 */
void cometa_progress_start(uint32_t devices, int tell, const char *log);

/* to be called often: says by itself what is worth a line */
void cometa_progress(const cometa_device_counts_t *c);

#endif
