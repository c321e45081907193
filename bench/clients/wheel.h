/*
 * Timers: a hashed wheel of intrusive lists. Adding and removing are O(1);
 * a timer further away than one turn stays in its slot for the next.
 */

#ifndef COMETA_BENCH_WHEEL_H
#define COMETA_BENCH_WHEEL_H

#include <stdint.h>

#define COMETA_WHEEL_SLOTS  4096
#define COMETA_WHEEL_TICK   5       /* ms */

typedef struct cometa_timer_s  cometa_timer_t;

struct cometa_timer_s {
    cometa_timer_t  *prev;          /* NULL: not set */
    cometa_timer_t  *next;
    uint32_t         due;           /* in ticks since the wheel was made */
};

typedef struct {
    uint64_t         start;
    uint32_t         tick;          /* all slots up to this one have run */
    cometa_timer_t   slots[COMETA_WHEEL_SLOTS];
} cometa_wheel_t;

void cometa_wheel_init(cometa_wheel_t *w);
void cometa_wheel_set(cometa_wheel_t *w, cometa_timer_t *t, uint64_t ms);
void cometa_wheel_unset(cometa_timer_t *t);
void cometa_wheel_run(cometa_wheel_t *w, void (*fire)(cometa_timer_t *t));

#endif
