
/*
 * Log lines that a flood must not multiply: the first occurrence is reported
 * at once, those of the second after it together at its end. What is left when
 * the process ends is reported then, so the last burst is not lost.
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


/* All zero but the handler, at first. */

struct ngx_cometa_throttle_s {
    ngx_cometa_throttle_pt  handler;
    ngx_uint_t              n;          /* not reported yet */
    ngx_event_t             timer;
    ngx_queue_t             link;       /* while the timer is set */
};


/* It has happened once more. `log` is that of a line that is due at once. */
void ngx_cometa_throttle(ngx_cometa_throttle_t *throttle, ngx_log_t *log);

/* The process ends: reports what is left, of all. */
void ngx_cometa_throttle_flush(void);


#endif /* _NGX_COMETA_THROTTLE_H_INCLUDED_ */
