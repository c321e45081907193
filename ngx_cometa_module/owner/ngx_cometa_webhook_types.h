
/*
 * What the files of the webhook share: a webhook, that is one directive in one
 * server, and the tenants, lanes and events that it holds.
 *
 *     webhook --> tenants --> lanes --> events
 *                 (applications)  (devices)
 */

#ifndef _NGX_COMETA_WEBHOOK_TYPES_H_INCLUDED_
#define _NGX_COMETA_WEBHOOK_TYPES_H_INCLUDED_


#include "ngx_cometa.h"
#include "ngx_cometa_debug.h"
#include "ngx_cometa_throttle.h"
#include "ngx_cometa_share.h"

#include <ngx_http.h>


#define NGX_COMETA_LANE_MAGIC    0x4c414e45     /* "LANE" */

/* "application: ..., device: ..., session: ..." of a line in the log. */
#define NGX_COMETA_REPORT_WHO    256


/* What is still to be logged; the texts name the device of the last event. */

typedef struct {
    ngx_cometa_throttle_t  throttle;
    ngx_uint_t             dropped;
    ngx_uint_t             failed;
    ngx_uint_t             status;          /* of the last one that failed */
    ngx_err_t              error;           /* no request could be made */
    size_t                 dropped_len;
    size_t                 failed_len;
    u_char                 dropped_who[NGX_COMETA_REPORT_WHO];
    u_char                 failed_who[NGX_COMETA_REPORT_WHO];
} ngx_cometa_report_t;


/*
 * What happened to a device, as a webhook is told of it. All is copied, but
 * `word`, which must be static.
 */

typedef struct {
    ngx_uint_t             event;           /* which of the above */
    uint32_t               sequence;        /* in its session */
    ngx_str_t             *word;            /* the reason of an attach or */
                                            /* detach, the error of a reply */
    ngx_str_t              call;            /* id, of a reply or request */
    ngx_str_t              info;            /* of an attach */
    ngx_str_t              address;         /* of an attach, as text */
    u_char                *data;            /* the body */
    size_t                 len;
} ngx_cometa_news_t;


/*
 * One directive in one server. Its bounds apply to all locations together that
 * inherit it there, in each worker.
 */

typedef struct ngx_cometa_webhook_conf_s  ngx_cometa_webhook_conf_t;

struct ngx_cometa_webhook_conf_s {
    ngx_cometa_webhook_conf_t  *directive;  /* as it was configured */
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
    ngx_uint_t                  replies;    /* its server has no devices */

    /* the state of this process */

    ngx_uint_t                  held;       /* places of the queue */
    ngx_uint_t                  running;    /* requests */
    ngx_cometa_shares_t         tenants;    /* by places that they hold */
    ngx_queue_t                 turns;      /* tenants with ready lanes */
    ngx_queue_t                 turn;       /* among those that have turns */
    ngx_uint_t                  listed;     /* it is in that queue */

    time_t                      failing;    /* when the last try failed */
    ngx_uint_t                  speaking;   /* tries under way that may log */
    ngx_uint_t                  spoken;     /* of these, failed ... */
    time_t                      second;     /* ... in this second */
    ngx_cometa_report_t         report;
};


typedef struct ngx_cometa_lane_s  ngx_cometa_lane_t;


/*
 * Who waits for the answer to a request of a device. The handler is called once
 * when it has ended, on any stack, and the lane is gone by then; `ok` says
 * whether the body is that of an answer 2xx, all of it. The body is freed by
 * whoever waits.
 */

typedef struct ngx_cometa_answer_s  ngx_cometa_answer_t;

struct ngx_cometa_answer_s {
    void                      (*handler)(ngx_cometa_answer_t *answer,
                                         ngx_uint_t ok);
    size_t                      max;        /* bytes, more are a failure */
    size_t                      len;
    size_t                      size;
    u_char                     *body;       /* NULL: none yet */
    unsigned                    complete:1;
    unsigned                    too_long:1; /* or no memory for it */
};


/* One event; its data follows, then its call, info and address. */

typedef struct {
    ngx_queue_t                 link;
    ngx_cometa_lane_t          *lane;
    ngx_str_t                  *word;       /* or NULL, as in the news */
    uint64_t                    session;    /* 0: none */
    uint64_t                    time;       /* ms since 1970 */
    uint32_t                    sequence;   /* a reply has none */
    uint32_t                    len;        /* of the data */
    uint32_t                    places;     /* of the queue */
    uint8_t                     event;
    uint8_t                     tries;
    uint8_t                     call;       /* length */
    uint8_t                     address;    /* length */
    uint16_t                    info;       /* length */
} ngx_cometa_event_t;


typedef struct {
    ngx_queue_t                 link;       /* in the table */
    ngx_queue_t                 turn;       /* of the webhook, if any ready */
    ngx_queue_t                 ready;      /* lanes */
    ngx_cometa_share_t          share;      /* of the webhook's queue */
    ngx_cometa_shares_t         shares;     /* of its lanes */
    ngx_cometa_webhook_conf_t  *conf;
    ngx_uint_t                  lanes;
    ngx_uint_t                  running;    /* requests */
    uint32_t                    app;
} ngx_cometa_tenant_t;


/* A request of a device has a lane of its own, besides that of its events. */

struct ngx_cometa_lane_s {
    ngx_queue_t                 link;       /* in the table */
    ngx_queue_t                 ready;      /* in the tenant's, if queued */
    ngx_queue_t                 events;
    ngx_cometa_share_t          share;      /* of the tenant's */
    ngx_cometa_tenant_t        *tenant;
    ngx_event_t                 timer;      /* until the next try */
    ngx_http_request_t         *request;    /* running */
    ngx_uint_t                  status;     /* of its answer */
    ngx_cometa_answer_t        *answer;     /* NULL: nobody waits for it */
    ngx_cometa_key_t            key;
    u_char                      app[NGX_COMETA_ID_MAX];
    u_char                      device[NGX_COMETA_ID_MAX];
    socklen_t                   socklen;
    ngx_sockaddr_t              addr;
    unsigned                    queued:1;
    unsigned                    running:1;
    unsigned                    speaks:1;   /* nginx may log its try */
    unsigned                    asks:1;     /* of a request */
    ngx_cometa_magic_field
};


#endif /* _NGX_COMETA_WEBHOOK_TYPES_H_INCLUDED_ */
