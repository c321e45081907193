
/*
 * The timer of a throttle is set for one second after each line. All state is
 * this process's own.
 */

#include "ngx_cometa_throttle.h"


#define NGX_COMETA_THROTTLE_WAIT  1000      /* ms, between lines */


static void ngx_cometa_throttle_report(ngx_cometa_throttle_t *throttle,
    ngx_log_t *log);
static void ngx_cometa_throttle_timer(ngx_event_t *ev);


static ngx_queue_t  ngx_cometa_throttles;   /* whose timer is set */


void
ngx_cometa_throttle(ngx_cometa_throttle_t *throttle, ngx_log_t *log)
{
    throttle->n++;

    if (throttle->timer.timer_set) {
        return;
    }

    throttle->timer.handler = ngx_cometa_throttle_timer;
    throttle->timer.data = throttle;
    throttle->timer.log = ngx_cycle->log;
    throttle->timer.cancelable = 1;

    ngx_cometa_throttle_report(throttle, log);
}


static void
ngx_cometa_throttle_report(ngx_cometa_throttle_t *throttle, ngx_log_t *log)
{
    if (ngx_cometa_throttles.next == NULL) {
        ngx_queue_init(&ngx_cometa_throttles);
    }

    ngx_queue_insert_tail(&ngx_cometa_throttles, &throttle->link);
    ngx_add_timer(&throttle->timer, NGX_COMETA_THROTTLE_WAIT);

    throttle->handler(throttle, log);
    throttle->n = 0;
}


static void
ngx_cometa_throttle_timer(ngx_event_t *ev)
{
    ngx_cometa_throttle_t  *throttle;

    throttle = ev->data;

    ngx_queue_remove(&throttle->link);

    if (throttle->n) {
        ngx_cometa_throttle_report(throttle, ngx_cycle->log);
    }
}


void
ngx_cometa_throttle_flush(void)
{
    ngx_queue_t            *q;
    ngx_cometa_throttle_t  *throttle;

    if (ngx_cometa_throttles.next == NULL) {
        return;
    }

    while (!ngx_queue_empty(&ngx_cometa_throttles)) {
        q = ngx_queue_head(&ngx_cometa_throttles);
        throttle = ngx_queue_data(q, ngx_cometa_throttle_t, link);

        ngx_queue_remove(q);
        ngx_del_timer(&throttle->timer);

        if (throttle->n) {
            throttle->handler(throttle, ngx_cycle->log);
            throttle->n = 0;
        }
    }
}
