/*
 * What came of a load, for a program or for people to read, and as an exit
 * status.
 */

#ifndef COMETA_BENCH_REPORT_H
#define COMETA_BENCH_REPORT_H

#include "load.h"

void cometa_report_json(const cometa_load_t *l);
void cometa_report_text(const cometa_load_t *l, int websocket);

/* 1: a reply or an event was not right; 2: calls failed, or connections */
int cometa_report_verdict(const cometa_load_result_t *r);

#endif
