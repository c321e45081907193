
/*
 * Log lines that a flood must not multiply: the first occurrence is logged at
 * once, and all others of the second after it with one line at the end of that
 * second. What is left when the process ends is logged then, so the last burst
 * is not lost.
 */

#ifndef _NGX_COMETA_THROTTLE_H_INCLUDED_
#define _NGX_COMETA_THROTTLE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>


typedef struct ngx_cometa_throttle_s  ngx_cometa_throttle_t;

/* Writes the line; `n` of *throttle is how many occurrences it stands for. */
typedef void (*ngx_cometa_throttle_pt)(ngx_cometa_throttle_t *throttle,
    ngx_log_t *log);


/* At first all is zero except the handler. */

struct ngx_cometa_throttle_s {
    ngx_cometa_throttle_pt  handler;
    ngx_uint_t              n;          /* not reported yet */
    ngx_event_t             timer;
    ngx_queue_t             link;       /* while the timer is set */
};


/* Counts one more. `log` is for a line that is written at once. */
void ngx_cometa_throttle(ngx_cometa_throttle_t *throttle, ngx_log_t *log);

/* The process ends: logs what is left of all throttles. */
void ngx_cometa_throttle_flush(void);


#endif /* _NGX_COMETA_THROTTLE_H_INCLUDED_ */
