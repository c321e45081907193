
/*
 * What the HTTP faces have in common: the configuration of a location, the
 * state of a request, ids, authorization, bodies, and errors as JSON.
 */

#ifndef _NGX_COMETA_HTTP_H_INCLUDED_
#define _NGX_COMETA_HTTP_H_INCLUDED_


#include "ngx_cometa.h"
#include "ngx_cometa_compat.h"
#include "ngx_cometa_call.h"
#include "ngx_cometa_device.h"
#include "ngx_cometa_webhook_types.h"
#include "ngx_cometa_ws.h"


/* The handlers that a location may have; several may stand together. */

#define NGX_COMETA_ATTACH  0x01         /* POST */
#define NGX_COMETA_SEND    0x02         /* POST */
#define NGX_COMETA_STATS   0x04         /* GET */
#define NGX_COMETA_WEBSOCKET  0x08         /* GET, and GET with Upgrade */


typedef struct {
    ngx_cycle_t               *cycle;
    ngx_shm_zone_t            *zone;            /* its data: the head */
    size_t                     max_message;     /* of all locations */
    ngx_msec_t                 stats_window;
    ngx_uint_t                 drain_rate;      /* devices a second */
    ngx_array_t                ws;             /* ngx_cometa_ws_conf_t * */
    ngx_array_t                webhooks;        /* of pointers to them */
    uint32_t                   generation;      /* of the configuration */
} ngx_cometa_main_conf_t;


typedef struct {
    ngx_uint_t                 handlers;
    ngx_uint_t                 prometheus;      /* the form of statistics */

    ngx_http_complex_value_t  *application;
    ngx_http_complex_value_t  *device;
    ngx_http_complex_value_t  *app_name;
    ngx_http_complex_value_t  *secret;          /* NULL: not set */
    ngx_http_complex_value_t  *device_secret;
    ngx_http_complex_value_t  *websocket_key;
    ngx_flag_t                 guarded;         /* cometa_secret off */

    ngx_msec_t                 heartbeat;
    ngx_msec_t                 heartbeat_timeout;
    ngx_msec_t                 send_timeout;
    ngx_msec_t                 send_timeout_max;
    ngx_msec_t                 send_wait;
    ngx_uint_t                 queue;
    size_t                     max_message;
    ngx_uint_t                 max_given;       /* not the default */
    ngx_flag_t                 takeover;
    ngx_uint_t                 takeover_limit;  /* in 10 s; 0: none */

    ngx_msec_t                 websocket_key_timeout;
    ngx_msec_t                 websocket_timeout;
    ngx_flag_t                 websocket_move;
    ngx_cometa_webhook_conf_t *webhook;         /* NULL: not set */

    ngx_cometa_device_conf_t  *devices;         /* if attach stands here */
    ngx_cometa_ws_conf_t  *ws;         /* if websocket does */
} ngx_cometa_loc_conf_t;


typedef struct {
    ngx_cometa_key_t           key;
    ngx_uint_t                 error;           /* the word of an answer */
    ngx_uint_t                 retry;           /* s, Retry-After of it; 0:
                                                   what the word has */
    ngx_str_t                  info;            /* of an attach, form A */
    uint64_t                   latency;         /* us */
    uint64_t                   session;
    unsigned                   called:1;        /* latency is known */
    unsigned                   placed:1;        /* session and hop are */
    unsigned                   remote:1;
    unsigned                   starting:1;      /* the call, on the stack */
    unsigned                   lingering:1;     /* the body is not discarded */
    unsigned                   moving:1;        /* the adoptee is a move */

    ngx_cometa_call_t         *call;            /* under way */
    void                      *adoptee;         /* see ngx_cometa_adopt.h */
    void                     (*adopt)(ngx_connection_t *c, void *data,
                                      u_char *rest, size_t len);
    void                      *list;            /* being sent */
} ngx_cometa_ctx_t;


extern ngx_module_t  ngx_http_cometa_module;


/* The handler of all locations, and those it chooses from. */

ngx_int_t ngx_cometa_handler(ngx_http_request_t *r);
ngx_int_t ngx_cometa_attach_handler(ngx_http_request_t *r);
ngx_int_t ngx_cometa_send_handler(ngx_http_request_t *r);
ngx_int_t ngx_cometa_websocket_handler(ngx_http_request_t *r);
ngx_int_t ngx_cometa_stats_json_handler(ngx_http_request_t *r);

/* Two kinds of statistics; what to finalize the request with. */
ngx_int_t ngx_cometa_stats_list(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx);
ngx_int_t ngx_cometa_stats_prometheus(ngx_http_request_t *r);


/* The request's state, made when first asked for. NULL: no memory. */
ngx_cometa_ctx_t *ngx_cometa_http_ctx(ngx_http_request_t *r);

/*
 * Evaluates and checks the ids into ctx->key; with `device` 0 the device may
 * be anything. Returns NGX_COMETA_OK or the error to answer with.
 */
ngx_uint_t ngx_cometa_http_key(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx,
    ngx_uint_t device);

/* Evaluates and checks only the id of the device. */
ngx_uint_t ngx_cometa_http_device(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx);

/* Whether this may be the id of an application or a device. */
ngx_uint_t ngx_cometa_http_id_valid(ngx_str_t *id);

/* Whether the request presents the secret of its application. */
ngx_uint_t ngx_cometa_http_authorize(ngx_http_request_t *r);

/* Whether it presents `secret` by Authorization: OAuth or Bearer. */
ngx_uint_t ngx_cometa_http_presents(ngx_http_request_t *r, ngx_str_t *secret);

/*
 * The body that was read, in one piece, in the request's pool or in place.
 * NGX_DECLINED: it has more than `max` bytes.
 */
ngx_int_t ngx_cometa_http_body(ngx_http_request_t *r, size_t max,
    ngx_str_t *body);

/* NULL: there is no such header, or none behind `prev`. */
ngx_str_t *ngx_cometa_http_header(ngx_http_request_t *r, const char *name,
    size_t len, ngx_str_t *prev);

/* Whether a header, a list of tokens in one or more lines, has this one. */
ngx_uint_t ngx_cometa_http_token(ngx_http_request_t *r, const char *name,
    size_t len, const char *token);

/* Answers with a body of JSON, or with an error. Return what to finalize
 * with. */
ngx_int_t ngx_cometa_http_json(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *body);
ngx_int_t ngx_cometa_http_error(ngx_http_request_t *r, ngx_uint_t error);

/*
 * From now on a caller that goes away ends the request, also one that has gone
 * already. NGX_ERROR: its connection cannot be watched.
 */
ngx_int_t ngx_cometa_http_watch(ngx_http_request_t *r);

/*
 * Starts ctx->call, whose handler ends the request by ngx_cometa_http_end(),
 * perhaps before this returns. The request stays until it does.
 */
void ngx_cometa_http_start(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx);
void ngx_cometa_http_end(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx,
    ngx_int_t rc);

/* The stable word of an error. */
ngx_str_t *ngx_cometa_http_word(ngx_uint_t error);

/* The methods that the location serves, for Allow. */
ngx_str_t *ngx_cometa_http_allow(ngx_http_request_t *r);


#endif /* _NGX_COMETA_HTTP_H_INCLUDED_ */
