
/*
 * Events of devices as POST requests to an internal location, from the worker
 * that owns the device, with no client's request behind them.
 */

#ifndef _NGX_COMETA_WEBHOOK_H_INCLUDED_
#define _NGX_COMETA_WEBHOOK_H_INCLUDED_


#include "ngx_cometa_device.h"
#include "ngx_cometa_device_state.h"
#include "ngx_cometa_share.h"

#include <ngx_http.h>


#define NGX_COMETA_EVENT_DATA    0x01
#define NGX_COMETA_EVENT_ATTACH  0x02
#define NGX_COMETA_EVENT_DETACH  0x04

/* Bytes of one place in the queue; a longer event takes several. */
#define NGX_COMETA_WEBHOOK_PLACE  2048


/* What is still to be logged; the texts name the last device. */

typedef struct {
    ngx_uint_t            dropped;
    ngx_uint_t            failed;
    ngx_uint_t            status;           /* of the last one that failed */
    ngx_err_t             error;            /* no request could be made */
    size_t                dropped_len;
    size_t                failed_len;
    u_char                dropped_who[256];
    u_char                failed_who[256];
    ngx_event_t           timer;
    ngx_queue_t           link;             /* while the timer is set */
} ngx_cometa_report_t;


/*
 * One directive in one server. What it bounds it bounds for all locations
 * that have it from there, in each worker.
 */

typedef struct ngx_cometa_webhook_conf_s  ngx_cometa_webhook_conf_t;

struct ngx_cometa_webhook_conf_s {
    ngx_cometa_webhook_conf_t  *directive;  /* as it was read */
    ngx_http_conf_ctx_t        *ctx;        /* of the server */

    ngx_str_t                   name;       /* as written; empty: off */
    ngx_str_t                   uri;
    ngx_str_t                   args;
    ngx_uint_t                  events;     /* wanted, of the above */
    ngx_uint_t                  tries;
    ngx_msec_t                  retry;
    ngx_msec_t                  max_retry;
    ngx_uint_t                  concurrency;
    ngx_uint_t                  queue;

    /* the state of this process */

    ngx_uint_t                  held;       /* places of the queue */
    ngx_uint_t                  running;    /* requests */
    ngx_cometa_shares_t         tenants;    /* by what waits of theirs */
    ngx_queue_t                 turns;      /* tenants with ready lanes */
    ngx_queue_t                 turn;       /* among those that have turns */
    ngx_uint_t                  listed;     /* it is in that queue */

    time_t                      failing;    /* when the last try failed */
    ngx_uint_t                  speaking;   /* tries under way that may log */
    ngx_uint_t                  spoken;     /* such that failed, ... */
    time_t                      second;     /* ... in this second */
    ngx_cometa_report_t         report;
};


/* In the configuration phase. */
void ngx_cometa_webhook_conf_init(ngx_cometa_webhook_conf_t *conf);

ngx_int_t ngx_cometa_webhook_start(ngx_cycle_t *cycle);

/*
 * Queues an event; what does not fit is counted as dropped. `reason` is NULL
 * for data. All is copied.
 */
void ngx_cometa_webhook_push(ngx_cometa_webhook_conf_t *conf,
    ngx_cometa_device_t *dev, ngx_uint_t event, ngx_str_t *reason,
    u_char *data, size_t len);


/* How many events wait or are being sent. */
ngx_uint_t ngx_cometa_webhook_count(void);

/* The process ends: all of them have failed, running ones too. */
void ngx_cometa_webhook_abandon(void);

/* The same, when nothing waits any more: logs what was not logged yet. */
void ngx_cometa_webhook_stop(void);

/* Whether a request was made by the webhook. */
ngx_uint_t ngx_cometa_webhook_made(ngx_http_request_t *r);

/* Handlers of phases, for requests that the webhook made. */
ngx_int_t ngx_cometa_webhook_unsized(ngx_http_request_t *r);
ngx_int_t ngx_cometa_webhook_quiet(ngx_http_request_t *r);
ngx_int_t ngx_cometa_webhook_sized(ngx_http_request_t *r);


#endif /* _NGX_COMETA_WEBHOOK_H_INCLUDED_ */
