
/*
 * The module: its commands and contexts, the handler that tells the faces
 * apart by method, and variables.
 */

#include "ngx_cometa_conf.h"
#include "ngx_cometa_process.h"
#include "ngx_cometa_value.h"
#include "ngx_cometa.h"
#include "ngx_cometa_http.h"
#include "ngx_cometa_webhook_request.h"
#include "ngx_cometa_fdpass.h"
#include "ngx_cometa_slot.h"
#include "ngx_cometa_zone.h"


typedef struct {
    ngx_str_t   name;
    uintptr_t   what;
} ngx_cometa_variable_t;


static ngx_int_t ngx_cometa_add_variables(ngx_conf_t *cf);
static ngx_int_t ngx_cometa_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);


static ngx_int_t ngx_cometa_init_module(ngx_cycle_t *cycle);


static ngx_cometa_range_t  ngx_cometa_queue_range = {
    1, 65535, "a number from 1 to 65535"
};

static ngx_cometa_range_t  ngx_cometa_size_range = {
    1, 16 * 1024 * 1024, "a size from 1 to 16m, for example 64k"
};

static ngx_cometa_range_t  ngx_cometa_wait_range = {
    0, 86400000, "a time from 0 to 1d, for example 5s"
};

static ngx_cometa_range_t  ngx_cometa_key_timeout_range = {
    1, 86400000, "a time from 1ms to 1d, for example 60s"
};

static ngx_cometa_range_t  ngx_cometa_websocket_timeout_range = {
    2, 86400000, "a time from 2ms to 1d, for example 60s"
};

static ngx_cometa_range_t  ngx_cometa_window_range = {
    100, 86400000, "a time from 100ms to 1d, for example 15s"
};


static ngx_command_t  ngx_cometa_commands[] = {

    { ngx_string("cometa_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_cometa_zone_directive,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("cometa_attach"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_cometa_handler_directive,
      NGX_HTTP_LOC_CONF_OFFSET,
      NGX_COMETA_ATTACH,
      NULL },

    { ngx_string("cometa_send"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_cometa_handler_directive,
      NGX_HTTP_LOC_CONF_OFFSET,
      NGX_COMETA_SEND,
      NULL },

    { ngx_string("cometa_websocket"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_cometa_handler_directive,
      NGX_HTTP_LOC_CONF_OFFSET,
      NGX_COMETA_WEBSOCKET,
      NULL },

    { ngx_string("cometa_stats"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE1,
      ngx_cometa_handler_directive,
      NGX_HTTP_LOC_CONF_OFFSET,
      NGX_COMETA_STATS,
      NULL },

    { ngx_string("cometa_application"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_cometa_id_directive,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_cometa_loc_conf_t, application),
      NULL },

    { ngx_string("cometa_device"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_cometa_id_directive,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_cometa_loc_conf_t, device),
      NULL },

    { ngx_string("cometa_app_name"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_cometa_name_directive,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_cometa_loc_conf_t, app_name),
      NULL },

    { ngx_string("cometa_secret"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_cometa_secret_directive,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_cometa_loc_conf_t, secret),
      NULL },

    { ngx_string("cometa_device_secret"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_cometa_device_secret_directive,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_cometa_loc_conf_t, device_secret),
      NULL },

    { ngx_string("cometa_heartbeat"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE12,
      ngx_cometa_heartbeat_directive,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_cometa_loc_conf_t, heartbeat),
      "timeout=" },

    { ngx_string("cometa_send_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE12,
      ngx_cometa_time_directive,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_cometa_loc_conf_t, send_timeout),
      "max=" },

    { ngx_string("cometa_send_wait"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_cometa_msec_directive,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_cometa_loc_conf_t, send_wait),
      &ngx_cometa_wait_range },

    { ngx_string("cometa_queue"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_cometa_number_directive,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_cometa_loc_conf_t, queue),
      &ngx_cometa_queue_range },

    { ngx_string("cometa_max_message_size"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_cometa_size_directive,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_cometa_loc_conf_t, max_message),
      &ngx_cometa_size_range },

    { ngx_string("cometa_takeover"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE12,
      ngx_cometa_takeover_directive,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_cometa_loc_conf_t, takeover),
      NULL },

    { ngx_string("cometa_websocket_key"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_cometa_key_directive,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_cometa_loc_conf_t, websocket_key),
      NULL },

    { ngx_string("cometa_websocket_key_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_cometa_msec_directive,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_cometa_loc_conf_t, websocket_key_timeout),
      &ngx_cometa_key_timeout_range },

    { ngx_string("cometa_websocket_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_cometa_msec_directive,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_cometa_loc_conf_t, websocket_timeout),
      &ngx_cometa_websocket_timeout_range },

    { ngx_string("cometa_websocket_move"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_cometa_loc_conf_t, websocket_move),
      NULL },

    { ngx_string("cometa_webhook"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_cometa_webhook_directive,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("cometa_drain"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_cometa_drain_directive,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("cometa_stats_window"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_cometa_msec_directive,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_cometa_main_conf_t, stats_window),
      &ngx_cometa_window_range },

      ngx_null_command
};


static ngx_http_module_t  ngx_cometa_module_ctx = {
    ngx_cometa_add_variables,              /* preconfiguration */
    ngx_cometa_webhook_postconfiguration,  /* postconfiguration */

    ngx_cometa_create_main_conf,           /* create main configuration */
    ngx_cometa_init_main_conf,             /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_cometa_create_loc_conf,            /* create location configuration */
    ngx_cometa_merge_loc_conf              /* merge location configuration */
};


ngx_module_t  ngx_http_cometa_module = {
    NGX_MODULE_V1,
    &ngx_cometa_module_ctx,                /* module context */
    ngx_cometa_commands,                   /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    ngx_cometa_init_module,                /* init module */
    ngx_cometa_init_process,               /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_cometa_exit_process,               /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


enum {
    NGX_COMETA_VAR_APPLICATION = 0,
    NGX_COMETA_VAR_DEVICE,
    NGX_COMETA_VAR_ERROR,
    NGX_COMETA_VAR_LATENCY,
    NGX_COMETA_VAR_SESSION,
    NGX_COMETA_VAR_HOP
};


static ngx_cometa_variable_t  ngx_cometa_variables[] = {
    { ngx_string("cometa_application"), NGX_COMETA_VAR_APPLICATION },
    { ngx_string("cometa_device"), NGX_COMETA_VAR_DEVICE },
    { ngx_string("cometa_error"), NGX_COMETA_VAR_ERROR },
    { ngx_string("cometa_latency"), NGX_COMETA_VAR_LATENCY },
    { ngx_string("cometa_session"), NGX_COMETA_VAR_SESSION },
    { ngx_string("cometa_hop"), NGX_COMETA_VAR_HOP },
    { ngx_null_string, 0 }
};


ngx_int_t
ngx_cometa_handler(ngx_http_request_t *r)
{
    ngx_cometa_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_cometa_module);

    /* led here by a rewrite: an event is neither a device nor a call */

    if (ngx_cometa_webhook_made(r)) {
        return NGX_HTTP_NOT_FOUND;
    }

    if (ngx_cometa_zone.claimed) {
        ngx_cometa_fdpass_crowd();
    }

    /* no answer of ours is a representation that a client might have */

    r->disable_not_modified = 1;

    if (r->method == NGX_HTTP_POST) {

        if (lcf->handlers & NGX_COMETA_ATTACH) {
            return ngx_cometa_attach_handler(r);
        }

        if (lcf->handlers & NGX_COMETA_SEND) {
            return ngx_cometa_send_handler(r);
        }
    }

    /* a client may offer other protocols, such as h2c: that means nothing */

    if (r->method == NGX_HTTP_GET
        && (lcf->handlers & NGX_COMETA_WEBSOCKET)
        && (!(lcf->handlers & NGX_COMETA_STATS)
            || ngx_cometa_http_token(r, "Upgrade", 7, "websocket")))
    {
        return ngx_cometa_websocket_handler(r);
    }

    if ((r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))
        && (lcf->handlers & NGX_COMETA_STATS))
    {
        return ngx_cometa_stats_json_handler(r);
    }

    return ngx_cometa_http_error(r, NGX_COMETA_NOT_ALLOWED);
}


static ngx_int_t
ngx_cometa_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t    *var;
    ngx_cometa_variable_t  *v;

    for (v = ngx_cometa_variables; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, NGX_HTTP_VAR_NOCACHEABLE);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = ngx_cometa_variable;
        var->data = v->what;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_cometa_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data)
{
    u_char            *p;
    ngx_str_t          value;
    ngx_cometa_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_cometa_module);

    ngx_str_null(&value);

    if (ctx) {
        switch (data) {

        case NGX_COMETA_VAR_APPLICATION:
            value = ctx->key.app;
            break;

        case NGX_COMETA_VAR_DEVICE:
            value = ctx->key.device;
            break;

        case NGX_COMETA_VAR_ERROR:
            if (ctx->error) {
                value = *ngx_cometa_http_word(ctx->error);
            }

            break;

        case NGX_COMETA_VAR_HOP:
            if (ctx->placed && ctx->remote) {
                ngx_str_set(&value, "remote");

            } else if (ctx->placed) {
                ngx_str_set(&value, "local");
            }

            break;

        case NGX_COMETA_VAR_LATENCY:
        case NGX_COMETA_VAR_SESSION:

            if (!(data == NGX_COMETA_VAR_LATENCY ? ctx->called : ctx->placed))
            {
                break;
            }

            p = ngx_pnalloc(r->pool, NGX_INT64_LEN + 4);
            if (p == NULL) {
                return NGX_ERROR;
            }

            value.data = p;

            if (data == NGX_COMETA_VAR_SESSION) {
                p = ngx_sprintf(p, "%uL", ctx->session);

            } else {
                p = ngx_sprintf(p, "%uL.%03uL", ctx->latency / 1000,
                                ctx->latency % 1000);
            }

            value.len = p - value.data;
            break;
        }
    }

    if (value.len == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    v->data = value.data;
    v->len = value.len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_cometa_init_module(ngx_cycle_t *cycle)
{
    ngx_cometa_main_conf_t  *mcf;

    mcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_cometa_module);

    if (!ngx_test_config) {
        ngx_cometa_slot_commit(mcf && mcf->zone ? mcf->zone->data : NULL,
                               cycle->log);
    }

    return NGX_OK;
}
