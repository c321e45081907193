
/*
 * The configuration of the http block and of a location, and what is made from
 * it. The files of the folder module fill it, the handlers read it.
 */

#ifndef _NGX_COMETA_LOC_H_INCLUDED_
#define _NGX_COMETA_LOC_H_INCLUDED_


#include "ngx_cometa.h"
#include "ngx_cometa_device.h"
#include "ngx_cometa_device_state.h"
#include "ngx_cometa_webhook_types.h"
#include "ngx_cometa_ws.h"

#include <ngx_http.h>


/* The handlers that a location may have; several may stand together. */

#define NGX_COMETA_ATTACH     0x01      /* POST */
#define NGX_COMETA_SEND       0x02      /* POST */
#define NGX_COMETA_STATS      0x04      /* GET */
#define NGX_COMETA_WEBSOCKET  0x08      /* GET, and GET with Upgrade */
#define NGX_COMETA_DETACH     0x10      /* DELETE */
#define NGX_COMETA_CHANNEL    0x20      /* GET, and GET with Upgrade */


typedef struct {
    ngx_cycle_t               *cycle;
    ngx_shm_zone_t            *zone;            /* its data: the head */
    uint32_t                   offline;         /* places for devices that
                                                   have left, of the zone */
    size_t                     max_message;     /* of all locations */
    ngx_msec_t                 stats_window;
    ngx_uint_t                 drain_rate;      /* devices a second */
    ngx_array_t                devices;         /* of pointers to them */
    ngx_array_t                ws;              /* ngx_cometa_ws_conf_t * */
    ngx_array_t                webhooks;        /* of pointers to them */
    ngx_array_t                parking;         /* servers, by their
                                                   ngx_http_conf_ctx_t * */
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
    ngx_http_complex_value_t  *devices_max;     /* NULL: no bound */
    ngx_http_complex_value_t  *token;           /* NULL: Authorization */
    ngx_flag_t                 guarded;         /* cometa_secret off */

    ngx_msec_t                 heartbeat;
    ngx_msec_t                 heartbeat_timeout;
    ngx_msec_t                 heartbeat_min;   /* that may be granted */
    ngx_msec_t                 heartbeat_max;
    ngx_msec_t                 send_timeout;
    ngx_msec_t                 send_timeout_max;
    ngx_msec_t                 send_wait;
    ngx_uint_t                 queue;
    ngx_uint_t                 pipeline;        /* that a device may get */
    ngx_msec_t                 request_timeout;
    size_t                     max_message;
    ngx_uint_t                 max_given;       /* not the default */
    ngx_flag_t                 intercept;       /* errors, by error_page */
    ngx_flag_t                 takeover;
    ngx_uint_t                 takeover_limit;  /* in 10 s; 0: none */

    ngx_msec_t                 websocket_key_timeout;
    ngx_msec_t                 websocket_timeout;
    ngx_str_t                  websocket_protocol;  /* empty: none */
    ngx_flag_t                 websocket_move;
    ngx_flag_t                 tls_park;
    ngx_cometa_webhook_conf_t *webhook;         /* NULL: not set */

    ngx_cometa_webhook_conf_t *replies;         /* of this server, or NULL */

    ngx_cometa_device_conf_t  *devices;         /* if attach stands here */
    ngx_cometa_ws_conf_t      *ws;              /* if websocket or
                                                        channel does */
} ngx_cometa_loc_conf_t;


extern ngx_module_t  ngx_http_cometa_module;


#endif /* _NGX_COMETA_LOC_H_INCLUDED_ */
