
/*
 * The module: its commands and contexts.
 */

#include "ngx_cometa_conf.h"
#include "ngx_cometa_process.h"
#include "ngx_cometa_tls_conf.h"
#include "ngx_cometa_value.h"
#include "ngx_cometa_variable.h"
#include "ngx_cometa_loc.h"
#include "ngx_cometa_asked.h"
#include "ngx_cometa_annex.h"
#include "ngx_cometa_zone.h"
#include "ngx_cometa_slot.h"


static ngx_int_t ngx_cometa_postconfiguration(ngx_conf_t *cf);
static ngx_int_t ngx_cometa_init_module(ngx_cycle_t *cycle);


static ngx_cometa_range_t  ngx_cometa_queue_range = {
    1, 65535, "a number from 1 to 65535"
};

static ngx_cometa_range_t  ngx_cometa_pipeline_range = {
    1, NGX_COMETA_PIPELINE_MAX, "a number from 1 (off) to 128"
};

static ngx_cometa_range_t  ngx_cometa_request_range = {
    1, NGX_COMETA_DAY, "a time from 1ms to 1d, for example 10s"
};

static ngx_cometa_range_t  ngx_cometa_size_range = {
    1, 16 * 1024 * 1024, "a size from 1 to 16m, for example 64k"
};

static ngx_cometa_range_t  ngx_cometa_wait_range = {
    0, NGX_COMETA_DAY, "a time from 0 to 1d, for example 5s"
};

static ngx_cometa_range_t  ngx_cometa_key_timeout_range = {
    1, NGX_COMETA_DAY, "a time from 1ms to 1d, for example 60s"
};

static ngx_cometa_range_t  ngx_cometa_websocket_timeout_range = {
    2, NGX_COMETA_DAY, "a time from 2ms to 1d, for example 60s"
};

static ngx_cometa_range_t  ngx_cometa_window_range = {
    100, NGX_COMETA_DAY, "a time from 100ms to 1d, for example 15s"
};


static ngx_command_t  ngx_cometa_commands[] = {

    { ngx_string("cometa_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE12,
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

    { ngx_string("cometa_channel"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_cometa_handler_directive,
      NGX_HTTP_LOC_CONF_OFFSET,
      NGX_COMETA_CHANNEL,
      NULL },

    { ngx_string("cometa_stats"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE1,
      ngx_cometa_handler_directive,
      NGX_HTTP_LOC_CONF_OFFSET,
      NGX_COMETA_STATS,
      NULL },

    { ngx_string("cometa_detach"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_cometa_handler_directive,
      NGX_HTTP_LOC_CONF_OFFSET,
      NGX_COMETA_DETACH,
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

    { ngx_string("cometa_token"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_cometa_variable_directive,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_cometa_loc_conf_t, token),
      "a variable with the presented secret, such as $cookie_token, or "
      "\"off\" for the header Authorization" },

    { ngx_string("cometa_devices_max"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_cometa_devices_max_directive,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_cometa_loc_conf_t, devices_max),
      NULL },

    { ngx_string("cometa_intercept_errors"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_cometa_loc_conf_t, intercept),
      NULL },

    { ngx_string("cometa_heartbeat"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1234,
      ngx_cometa_heartbeat_directive,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

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

    { ngx_string("cometa_pipeline"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_cometa_number_directive,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_cometa_loc_conf_t, pipeline),
      &ngx_cometa_pipeline_range },

    { ngx_string("cometa_request_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_cometa_msec_directive,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_cometa_loc_conf_t, request_timeout),
      &ngx_cometa_request_range },

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

    { ngx_string("cometa_websocket_protocol"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_cometa_protocol_directive,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_cometa_loc_conf_t, websocket_protocol),
      NULL },

    { ngx_string("cometa_websocket_move"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_cometa_loc_conf_t, websocket_move),
      NULL },

    { ngx_string("cometa_tls_park"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_cometa_loc_conf_t, tls_park),
      &ngx_cometa_tls_post },

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
    ngx_cometa_variable_init,              /* preconfiguration */
    ngx_cometa_postconfiguration,          /* postconfiguration */

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


static ngx_int_t
ngx_cometa_postconfiguration(ngx_conf_t *cf)
{
    if (ngx_cometa_tls_conf_hook(cf) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_cometa_webhook_postconfiguration(cf);
}


static ngx_int_t
ngx_cometa_init_module(ngx_cycle_t *cycle)
{
    ngx_cometa_head_t       *head;
    ngx_cometa_main_conf_t  *mcf;

    mcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_cometa_module);

    if (mcf && mcf->zone && !ngx_test_config) {
        head = mcf->zone->data;
        __atomic_store_n(&head->generation, mcf->generation, __ATOMIC_RELEASE);
    }

    if (!ngx_test_config) {
        ngx_cometa_annex_commit(mcf && mcf->zone ? mcf->zone->data : NULL,
                               cycle->log);
    }

    return NGX_OK;
}
