
/*
 * The module: directives and what they may be together, the handler that
 * tells the faces apart by method, variables, and the life of a process.
 */

#include "ngx_cometa_http.h"
#include "ngx_cometa_event.h"
#include "ngx_cometa_interest.h"
#include "ngx_cometa_webhook.h"


#define NGX_COMETA_JOIN_WAIT    5000    /* ms, between tries for a slot */
#define NGX_COMETA_DRAIN_WAIT   1000    /* ms, for workers to succeed us */
#define NGX_COMETA_DRAIN_LOOK   500     /* ms, between looks for them */
#define NGX_COMETA_DRAIN_EVENTS 5000    /* ms, for events to the webhook */
#define NGX_COMETA_DRAIN_STEP   10      /* ms, between batches of devices */
#define NGX_COMETA_DRAIN_BATCH  500


typedef struct {
    ngx_str_t   name;
    uintptr_t   what;
} ngx_cometa_variable_t;


static ngx_int_t ngx_cometa_handler(ngx_http_request_t *r);

static ngx_int_t ngx_cometa_add_variables(ngx_conf_t *cf);
static ngx_int_t ngx_cometa_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);

static void *ngx_cometa_create_main_conf(ngx_conf_t *cf);
static char *ngx_cometa_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_cometa_create_loc_conf(ngx_conf_t *cf);
static char *ngx_cometa_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static char *ngx_cometa_check_loc_conf(ngx_conf_t *cf,
    ngx_cometa_loc_conf_t *conf);
static ngx_int_t ngx_cometa_default_value(ngx_conf_t *cf, char *name,
    ngx_http_complex_value_t **value);
static ngx_int_t ngx_cometa_init_devices(ngx_conf_t *cf,
    ngx_cometa_loc_conf_t *conf);
static ngx_int_t ngx_cometa_init_sockets(ngx_conf_t *cf,
    ngx_cometa_loc_conf_t *conf);
static ngx_int_t ngx_cometa_init_webhook(ngx_conf_t *cf,
    ngx_cometa_loc_conf_t *conf);

static char *ngx_cometa_zone_directive(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_cometa_handler_directive(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_cometa_secret_directive(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_cometa_webhook_directive(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_cometa_time_directive(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static ngx_int_t ngx_cometa_zone_ready(ngx_shm_zone_t *shm_zone, void *data);

static ngx_int_t ngx_cometa_init_module(ngx_cycle_t *cycle);
static ngx_int_t ngx_cometa_init_process(ngx_cycle_t *cycle);
static ngx_int_t ngx_cometa_join(ngx_cycle_t *cycle);
static void ngx_cometa_rejoin(ngx_event_t *ev);
static void ngx_cometa_exit_process(ngx_cycle_t *cycle);
static void ngx_cometa_deliver(ngx_cometa_mail_t *mail, u_char *body,
    size_t len);
static void ngx_cometa_deaths(void);
static void ngx_cometa_exiting(ngx_event_t *ev);
static void ngx_cometa_drain(ngx_event_t *ev);


static ngx_conf_num_bounds_t  ngx_cometa_queue_bounds = {
    ngx_conf_check_num_bounds, 1, 65535
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
      NGX_COMETA_SOCKET,
      NULL },

    { ngx_string("cometa_stats"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE1,
      ngx_cometa_handler_directive,
      NGX_HTTP_LOC_CONF_OFFSET,
      NGX_COMETA_STATS,
      NULL },

    { ngx_string("cometa_application"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_set_complex_value_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_cometa_loc_conf_t, application),
      NULL },

    { ngx_string("cometa_device"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_set_complex_value_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_cometa_loc_conf_t, device),
      NULL },

    { ngx_string("cometa_app_name"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_set_complex_value_slot,
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
      ngx_http_set_complex_value_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_cometa_loc_conf_t, device_secret),
      NULL },

    { ngx_string("cometa_heartbeat"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE12,
      ngx_cometa_time_directive,
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
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_cometa_loc_conf_t, send_wait),
      NULL },

    { ngx_string("cometa_queue"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_cometa_loc_conf_t, queue),
      &ngx_cometa_queue_bounds },

    { ngx_string("cometa_max_message_size"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_cometa_loc_conf_t, max_message),
      NULL },

    { ngx_string("cometa_takeover"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_cometa_loc_conf_t, takeover),
      NULL },

    { ngx_string("cometa_websocket_key"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_set_complex_value_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_cometa_loc_conf_t, websocket_key),
      NULL },

    { ngx_string("cometa_websocket_key_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_cometa_loc_conf_t, websocket_key_timeout),
      NULL },

    { ngx_string("cometa_websocket_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_cometa_loc_conf_t, websocket_timeout),
      NULL },

    { ngx_string("cometa_webhook"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE12,
      ngx_cometa_webhook_directive,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("cometa_stats_window"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_cometa_main_conf_t, stats_window),
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_cometa_module_ctx = {
    ngx_cometa_add_variables,              /* preconfiguration */
    NULL,                                  /* postconfiguration */

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


static ngx_int_t
ngx_cometa_handler(ngx_http_request_t *r)
{
    ngx_cometa_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_cometa_module);

    if (r->method == NGX_HTTP_POST) {

        if (lcf->handlers & NGX_COMETA_ATTACH) {
            return ngx_cometa_attach_handler(r);
        }

        if (lcf->handlers & NGX_COMETA_SEND) {
            return ngx_cometa_send_handler(r);
        }
    }

    if (r->method == NGX_HTTP_GET
        && (lcf->handlers & NGX_COMETA_SOCKET)
        && (r->headers_in.upgrade || !(lcf->handlers & NGX_COMETA_STATS)))
    {
        return ngx_cometa_websocket_handler(r);
    }

    if ((r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))
        && (lcf->handlers & NGX_COMETA_STATS))
    {
        return ngx_cometa_status_handler(r);
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


static void *
ngx_cometa_create_main_conf(ngx_conf_t *cf)
{
    ngx_cometa_main_conf_t  *mcf;

    mcf = ngx_pcalloc(cf->pool, sizeof(ngx_cometa_main_conf_t));
    if (mcf == NULL) {
        return NULL;
    }

    mcf->stats_window = NGX_CONF_UNSET_MSEC;

    return mcf;
}


static char *
ngx_cometa_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_cometa_main_conf_t *mcf = conf;

    ngx_conf_init_msec_value(mcf->stats_window, 15000);

    if (mcf->stats_window < 100 || mcf->stats_window > 86400000) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"cometa_stats_window\" must be between 100ms "
                           "and 1d");
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static void *
ngx_cometa_create_loc_conf(ngx_conf_t *cf)
{
    ngx_cometa_loc_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_cometa_loc_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     conf->handlers = 0;
     *     conf->application = NULL;
     *     conf->device = NULL;
     *     conf->app_name = NULL;
     *     conf->secret = NULL;
     *     conf->device_secret = NULL;
     *     conf->websocket_key = NULL;
     *     conf->webhook = { 0, NULL };
     *     conf->webhook_events = 0;
     *     conf->devices = NULL;
     *     conf->sockets = NULL;
     */

    conf->guarded = NGX_CONF_UNSET;
    conf->heartbeat = NGX_CONF_UNSET_MSEC;
    conf->heartbeat_timeout = NGX_CONF_UNSET_MSEC;
    conf->send_timeout = NGX_CONF_UNSET_MSEC;
    conf->send_timeout_max = NGX_CONF_UNSET_MSEC;
    conf->send_wait = NGX_CONF_UNSET_MSEC;
    conf->queue = NGX_CONF_UNSET_UINT;
    conf->max_message = NGX_CONF_UNSET_SIZE;
    conf->takeover = NGX_CONF_UNSET;
    conf->websocket_key_timeout = NGX_CONF_UNSET_MSEC;
    conf->websocket_timeout = NGX_CONF_UNSET_MSEC;

    return conf;
}


static char *
ngx_cometa_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_cometa_loc_conf_t  *prev = parent;
    ngx_cometa_loc_conf_t  *conf = child;

    ngx_cometa_main_conf_t    *mcf;
    ngx_http_core_loc_conf_t  *clcf;

    if (conf->application == NULL) {
        conf->application = prev->application;
    }

    if (conf->device == NULL) {
        conf->device = prev->device;
    }

    if (conf->app_name == NULL) {
        conf->app_name = prev->app_name;
    }

    if (conf->device_secret == NULL) {
        conf->device_secret = prev->device_secret;
    }

    if (conf->websocket_key == NULL) {
        conf->websocket_key = prev->websocket_key;
    }

    if (conf->webhook.data == NULL) {
        conf->webhook = prev->webhook;
        conf->webhook_events = prev->webhook_events;
    }

    /* "off" and a value are one directive: they are inherited together */

    if (conf->guarded == NGX_CONF_UNSET) {
        conf->secret = prev->secret;
        conf->guarded = (prev->guarded == NGX_CONF_UNSET) ? 0
                                                          : prev->guarded;
    }

    /* so are the two times of these */

    if (conf->heartbeat == NGX_CONF_UNSET_MSEC) {
        conf->heartbeat_timeout = prev->heartbeat_timeout;
    }

    ngx_conf_merge_msec_value(conf->heartbeat, prev->heartbeat, 60000);

    if (conf->heartbeat_timeout == NGX_CONF_UNSET_MSEC) {
        conf->heartbeat_timeout = conf->heartbeat / 2 * 3;
    }

    if (conf->send_timeout == NGX_CONF_UNSET_MSEC) {
        conf->send_timeout_max = prev->send_timeout_max;
    }

    ngx_conf_merge_msec_value(conf->send_timeout, prev->send_timeout, 30000);

    if (conf->send_timeout_max == NGX_CONF_UNSET_MSEC) {
        conf->send_timeout_max = ngx_max(conf->send_timeout, 300000);
    }

    ngx_conf_merge_msec_value(conf->send_wait, prev->send_wait, 0);
    ngx_conf_merge_uint_value(conf->queue, prev->queue, 16);
    ngx_conf_merge_value(conf->takeover, prev->takeover, 1);
    ngx_conf_merge_msec_value(conf->websocket_key_timeout,
                              prev->websocket_key_timeout, 60000);
    ngx_conf_merge_msec_value(conf->websocket_timeout,
                              prev->websocket_timeout, 60000);

    if (conf->websocket_timeout < 2 || conf->websocket_timeout > 86400000) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"cometa_websocket_timeout\" must be between 2ms "
                           "and 1d");
        return NGX_CONF_ERROR;
    }

    conf->max_given = (conf->max_message != NGX_CONF_UNSET_SIZE)
                      || prev->max_given;

    ngx_conf_merge_size_value(conf->max_message, prev->max_message, 65536);

    if (conf->max_message == 0 || conf->max_message > 16 * 1024 * 1024) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"cometa_max_message_size\" must be between 1 "
                           "and 16m");
        return NGX_CONF_ERROR;
    }

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cometa_module);
    mcf->max_message = ngx_max(mcf->max_message, conf->max_message);

    /* "if" and "limit_except" in a location keep its handlers */

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->noname && conf->handlers == 0 && prev->handlers) {
        conf->handlers = prev->handlers;
        clcf->handler = ngx_cometa_handler;
    }

    if (conf->handlers == 0) {
        return NGX_CONF_OK;
    }

    return ngx_cometa_check_loc_conf(cf, conf);
}


/* What a location with a handler must have, and must not. */

static char *
ngx_cometa_check_loc_conf(ngx_conf_t *cf, ngx_cometa_loc_conf_t *conf)
{
    ngx_cometa_main_conf_t    *mcf;
    ngx_http_core_loc_conf_t  *clcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cometa_module);
    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (mcf->zone == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "location \"%V\" has a cometa handler, but there "
                           "is no \"cometa_zone\": add \"cometa_zone "
                           "zone=cometa:32m;\" to the http block",
                           &clcf->name);
        return NGX_CONF_ERROR;
    }

    if ((conf->handlers & NGX_COMETA_ATTACH)
        && (conf->handlers & NGX_COMETA_SEND))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"cometa_attach\" and \"cometa_send\" both serve "
                           "POST: location \"%V\" can have one of them",
                           &clcf->name);
        return NGX_CONF_ERROR;
    }

    if (ngx_cometa_default_value(cf, "app", &conf->application) != NGX_OK
        || ngx_cometa_default_value(cf, "device", &conf->device) != NGX_OK
        || ngx_cometa_default_value(cf, "key", &conf->websocket_key)
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    /* where a WebSocket is opened its key is enough */

    if ((conf->handlers & ~NGX_COMETA_ATTACH)
        && !(conf->handlers == NGX_COMETA_SOCKET && conf->websocket_key)
        && conf->secret == NULL && !conf->guarded)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "location \"%V\" needs \"cometa_secret\": the "
                           "secret of the application, usually a variable "
                           "from a map, or \"off\" if another module guards "
                           "the location", &clcf->name);
        return NGX_CONF_ERROR;
    }

    if (conf->max_given
        && clcf->client_max_body_size
        && (off_t) conf->max_message > clcf->client_max_body_size)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"cometa_max_message_size\" of location \"%V\" is "
                           "more than its \"client_max_body_size\", lower "
                           "the one or raise the other", &clcf->name);
        return NGX_CONF_ERROR;
    }

    if ((conf->handlers & NGX_COMETA_ATTACH)
        && clcf->chunked_transfer_encoding == 0)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"cometa_attach\" needs "
                           "\"chunked_transfer_encoding on\" in location "
                           "\"%V\"", &clcf->name);
        return NGX_CONF_ERROR;
    }

    if (conf->application == NULL
        && !conf->prometheus
        && !(conf->handlers == NGX_COMETA_SOCKET && conf->websocket_key))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "location \"%V\" needs \"cometa_application\", or "
                           "a regular expression with (?<app>...)",
                           &clcf->name);
        return NGX_CONF_ERROR;
    }

    if ((conf->handlers & ~NGX_COMETA_STATS) && conf->device == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "location \"%V\" needs \"cometa_device\", or a "
                           "regular expression with (?<device>...)",
                           &clcf->name);
        return NGX_CONF_ERROR;
    }

    if ((conf->handlers & NGX_COMETA_ATTACH)
        && ngx_cometa_init_devices(cf, conf) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    if ((conf->handlers & NGX_COMETA_SOCKET)
        && ngx_cometa_init_sockets(cf, conf) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/*
 * $app and $device are the defaults wherever the configuration defines them,
 * as a rule by a named capture: all of it has been read by now.
 */

static ngx_int_t
ngx_cometa_default_value(ngx_conf_t *cf, char *name,
    ngx_http_complex_value_t **value)
{
    size_t                              len;
    ngx_str_t                           text;
    ngx_uint_t                          i;
    ngx_hash_key_t                     *key;
    ngx_http_core_main_conf_t          *cmcf;
    ngx_http_compile_complex_value_t    ccv;

    if (*value) {
        return NGX_OK;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    key = cmcf->variables_keys->keys.elts;
    len = ngx_strlen(name);

    for (i = 0; i < cmcf->variables_keys->keys.nelts; i++) {
        if (key[i].key.len == len
            && ngx_strncmp(key[i].key.data, name, len) == 0)
        {
            break;
        }
    }

    if (i == cmcf->variables_keys->keys.nelts) {
        return NGX_OK;
    }

    text.data = ngx_pnalloc(cf->pool, len + 1);
    *value = ngx_palloc(cf->pool, sizeof(ngx_http_complex_value_t));

    if (text.data == NULL || *value == NULL) {
        return NGX_ERROR;
    }

    text.len = ngx_sprintf(text.data, "$%s", name) - text.data;

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = &text;
    ccv.complex_value = *value;

    return ngx_http_compile_complex_value(&ccv);
}


static ngx_int_t
ngx_cometa_init_devices(ngx_conf_t *cf, ngx_cometa_loc_conf_t *conf)
{
    ngx_cometa_device_conf_t  *devices;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    devices = ngx_pcalloc(cf->pool, sizeof(ngx_cometa_device_conf_t));
    if (devices == NULL) {
        return NGX_ERROR;
    }

    devices->heartbeat = conf->heartbeat;
    devices->timeout = conf->heartbeat_timeout;
    devices->body_timeout = ngx_min(clcf->client_body_timeout, 86400000);
    devices->max_message = conf->max_message;

    ngx_cometa_device_conf_init(devices, clcf->error_log);

    conf->devices = devices;

    return conf->webhook.len ? ngx_cometa_init_webhook(cf, conf) : NGX_OK;
}


static ngx_int_t
ngx_cometa_init_webhook(ngx_conf_t *cf, ngx_cometa_loc_conf_t *conf)
{
    u_char                     *p;
    ngx_http_core_srv_conf_t   *cscf;
    ngx_cometa_webhook_conf_t  *webhook;

    cscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_core_module);

    webhook = ngx_pcalloc(cf->pool, sizeof(ngx_cometa_webhook_conf_t));
    if (webhook == NULL) {
        return NGX_ERROR;
    }

    webhook->uri = conf->webhook;
    webhook->events = conf->webhook_events;
    webhook->ctx = cscf->ctx;

    p = (u_char *) ngx_strchr(webhook->uri.data, '?');

    if (p) {
        webhook->args.data = p + 1;
        webhook->args.len = webhook->uri.data + webhook->uri.len - (p + 1);
        webhook->uri.len = p - webhook->uri.data;
    }

    conf->devices->webhook = webhook;

    return NGX_OK;
}


static ngx_int_t
ngx_cometa_init_sockets(ngx_conf_t *cf, ngx_cometa_loc_conf_t *conf)
{
    ngx_cometa_socket_conf_t  *sockets;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    sockets = ngx_pcalloc(cf->pool, sizeof(ngx_cometa_socket_conf_t));
    if (sockets == NULL) {
        return NGX_ERROR;
    }

    sockets->timeout = conf->websocket_timeout;
    sockets->send_timeout = conf->send_timeout;
    sockets->queue = conf->queue;
    sockets->max_message = conf->max_message;
    sockets->max_output = 262144 + 4 * conf->max_message;

    ngx_cometa_socket_conf_init(sockets, clcf->error_log);

    conf->sockets = sockets;

    return NGX_OK;
}


static char *
ngx_cometa_zone_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_cometa_main_conf_t *mcf = conf;

    u_char     *p;
    ssize_t     size;
    ngx_str_t  *value, name, s;

    if (mcf->zone) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strncmp(value[1].data, "zone=", 5) != 0) {
        goto invalid;
    }

    name.data = value[1].data + 5;

    p = (u_char *) ngx_strchr(name.data, ':');
    if (p == NULL || p == name.data) {
        goto invalid;
    }

    name.len = p - name.data;

    s.data = p + 1;
    s.len = value[1].data + value[1].len - s.data;

    size = ngx_parse_size(&s);

    if (size == NGX_ERROR || size == 0) {
        goto invalid;
    }

    mcf->zone = ngx_shared_memory_add(cf, &name, size,
                                      &ngx_http_cometa_module);
    if (mcf->zone == NULL) {
        return NGX_CONF_ERROR;
    }

    mcf->zone->init = ngx_cometa_zone_ready;
    mcf->zone->data = mcf;
    mcf->cycle = cf->cycle;

    return NGX_CONF_OK;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"%V\", expected zone=name:size, "
                       "for example zone=cometa:32m", &value[1]);

    return NGX_CONF_ERROR;
}


static char *
ngx_cometa_handler_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_cometa_loc_conf_t *lcf = conf;

    ngx_str_t                 *value;
    ngx_http_core_loc_conf_t  *clcf;

    if (lcf->handlers & cmd->offset) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (cf->args->nelts == 2) {

        if (ngx_strcmp(value[1].data, "prometheus") == 0) {
            lcf->prometheus = 1;

        } else if (ngx_strcmp(value[1].data, "json") != 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\", expected \"json\" "
                               "or \"prometheus\"", &value[1]);
            return NGX_CONF_ERROR;
        }
    }

    lcf->handlers |= cmd->offset;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_cometa_handler;

    return NGX_CONF_OK;
}


static char *
ngx_cometa_secret_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_cometa_loc_conf_t *lcf = conf;

    ngx_str_t  *value;

    if (lcf->guarded != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        lcf->guarded = 1;
        return NGX_CONF_OK;
    }

    if (value[1].len == 0) {
        return "is empty: give a secret, a variable, or \"off\"";
    }

    lcf->guarded = 0;

    return ngx_http_set_complex_value_slot(cf, cmd, conf);
}


static char *
ngx_cometa_webhook_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_cometa_loc_conf_t *lcf = conf;

    u_char      *p, *last, *begin;
    ngx_str_t   *value, word;

    if (lcf->webhook.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        lcf->webhook.data = value[1].data;
        return NGX_CONF_OK;
    }

    if (value[1].len == 0 || value[1].data[0] != '/') {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid URI \"%V\": it must begin with \"/\" and "
                           "lead to a location of this server with "
                           "\"proxy_pass\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    lcf->webhook = value[1];
    lcf->webhook_events = NGX_COMETA_EVENT_DATA;

    if (cf->args->nelts == 2) {
        return NGX_CONF_OK;
    }

    if (ngx_strncmp(value[2].data, "events=", 7) != 0) {
        goto invalid;
    }

    lcf->webhook_events = 0;

    last = value[2].data + value[2].len;

    for (begin = value[2].data + 7; begin <= last; begin = p + 1) {

        p = ngx_strlchr(begin, last, ',');
        if (p == NULL) {
            p = last;
        }

        word.data = begin;
        word.len = p - begin;

        if (word.len == 4 && ngx_strncmp(begin, "data", 4) == 0) {
            lcf->webhook_events |= NGX_COMETA_EVENT_DATA;

        } else if (word.len == 6 && ngx_strncmp(begin, "attach", 6) == 0) {
            lcf->webhook_events |= NGX_COMETA_EVENT_ATTACH;

        } else if (word.len == 6 && ngx_strncmp(begin, "detach", 6) == 0) {
            lcf->webhook_events |= NGX_COMETA_EVENT_DETACH;

        } else {
            goto invalid;
        }
    }

    return NGX_CONF_OK;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"%V\", expected events= and a list "
                       "of data, attach, detach", &value[2]);

    return NGX_CONF_ERROR;
}


/* A time, and a second one that must not be shorter, named by cmd->post. */

static char *
ngx_cometa_time_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char *p = conf;

    size_t       len;
    ngx_str_t   *value, s;
    ngx_msec_t  *first, *second;

    first = (ngx_msec_t *) (p + cmd->offset);
    second = first + 1;

    if (*first != NGX_CONF_UNSET_MSEC) {
        return "is duplicate";
    }

    value = cf->args->elts;

    *first = ngx_parse_time(&value[1], 0);

    if (*first == (ngx_msec_t) NGX_ERROR || *first == 0
        || *first > 86400 * 1000)
    {
        return "must be a time of more than zero and at most 1d";
    }

    if (cf->args->nelts == 2) {
        return NGX_CONF_OK;
    }

    len = ngx_strlen(cmd->post);

    if (value[2].len <= len
        || ngx_strncmp(value[2].data, cmd->post, len) != 0)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\", expected %stime",
                           &value[2], cmd->post);
        return NGX_CONF_ERROR;
    }

    s.data = value[2].data + len;
    s.len = value[2].len - len;

    *second = ngx_parse_time(&s, 0);

    if (*second == (ngx_msec_t) NGX_ERROR || *second > 86400 * 1000) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid time in \"%V\", expected at most 1d",
                           &value[2]);
        return NGX_CONF_ERROR;
    }

    if (*second < *first) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" is less than \"%V\", raise it",
                           &value[2], &value[1]);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_cometa_zone_ready(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_cycle_t             *cycle;
    ngx_core_conf_t         *ccf;
    ngx_cometa_main_conf_t  *mcf;

    mcf = shm_zone->data;
    cycle = mcf->cycle;

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    return ngx_cometa_zone_init(shm_zone, mcf->max_message,
                                ccf->worker_processes, data);
}


static ngx_int_t
ngx_cometa_init_module(ngx_cycle_t *cycle)
{
    ngx_cometa_main_conf_t  *mcf;

    mcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_cometa_module);

    if (!ngx_test_config) {
        ngx_cometa_zone_commit(mcf && mcf->zone ? mcf->zone->data : NULL);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_cometa_init_process(ngx_cycle_t *cycle)
{
    ngx_cometa_main_conf_t  *mcf;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    mcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_cometa_module);

    if (mcf == NULL || mcf->zone == NULL) {
        return NGX_OK;
    }

    return ngx_cometa_join(cycle);
}


/* Without a slot the worker serves all but cometa's requests, and tries on. */

static ngx_int_t
ngx_cometa_join(ngx_cycle_t *cycle)
{
    static ngx_event_t  retry;

    ngx_cometa_main_conf_t  *mcf;

    mcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_cometa_module);

    if (ngx_cometa_zone_claim(mcf->zone->data, cycle->log) != NGX_OK) {
        retry.handler = ngx_cometa_rejoin;
        retry.data = cycle;
        retry.log = cycle->log;
        retry.cancelable = 1;

        ngx_add_timer(&retry, NGX_COMETA_JOIN_WAIT);

        return NGX_OK;
    }

    ngx_cometa_line_start();
    ngx_cometa_event_start();

    if (ngx_cometa_stats_start(cycle, mcf->stats_window) != NGX_OK
        || ngx_cometa_device_start(cycle) != NGX_OK
        || ngx_cometa_interest_start(cycle) != NGX_OK
        || ngx_cometa_call_init_process(cycle) != NGX_OK
        || ngx_cometa_socket_start(cycle) != NGX_OK
        || ngx_cometa_webhook_start(cycle) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_cometa_mailbox_open(cycle, ngx_cometa_deliver,
                                   ngx_cometa_deaths, ngx_cometa_exiting);
}


static void
ngx_cometa_rejoin(ngx_event_t *ev)
{
    if (!ngx_exiting) {
        (void) ngx_cometa_join(ev->data);
    }
}


static void
ngx_cometa_exit_process(ngx_cycle_t *cycle)
{
    if (ngx_cometa_zone.claimed) {
        ngx_cometa_mailbox_close();
        ngx_cometa_zone_release();
    }
}


static void
ngx_cometa_deliver(ngx_cometa_mail_t *mail, u_char *body, size_t len)
{
    if (mail->type <= NGX_COMETA_MAIL_WATCH) {
        ngx_cometa_line_deliver(mail, body, len);
        return;
    }

    if (mail->type <= NGX_COMETA_MAIL_ONLINE) {
        ngx_cometa_call_deliver(mail, body, len);
    }

    if (mail->type >= NGX_COMETA_MAIL_ONLINE) {
        ngx_cometa_socket_deliver(mail, body, len);
    }
}


static void
ngx_cometa_deaths(void)
{
    ngx_cometa_line_deaths();
    ngx_cometa_call_deaths();
}


/*
 * This worker leaves. After a reload its devices stay, callable from the new
 * workers, until they leave themselves. If there is nobody to succeed it,
 * nginx stops: then they are told to go, so that it does not wait for them.
 */

static void
ngx_cometa_exiting(ngx_event_t *ev)
{
    static ngx_event_t  drain;

    ngx_cometa_zone.slots[ngx_cometa_zone.slot].draining = 1;

    drain.handler = ngx_cometa_drain;
    drain.log = ev->log;
    drain.data = &drain;

    if (ngx_cometa_device_count() || ngx_cometa_socket_count()
        || ngx_cometa_webhook_count())
    {
        ngx_add_timer(&drain, NGX_COMETA_DRAIN_WAIT);
    }
}


static void
ngx_cometa_drain(ngx_event_t *ev)
{
    static ngx_msec_t  since;

    if (ngx_cometa_device_count() == 0 && ngx_cometa_socket_count() == 0
        && ngx_cometa_webhook_count() == 0)
    {
        return;
    }

    if (ngx_cometa_slot_successor()) {
        ngx_add_timer(ev, NGX_COMETA_DRAIN_LOOK);
        since = 0;
        return;
    }

    if (since == 0) {
        since = ngx_current_msec;
    }

    if (ngx_current_msec - since >= NGX_COMETA_DRAIN_EVENTS) {
        ngx_cometa_webhook_abandon();
    }

    (void) ngx_cometa_socket_release(NGX_COMETA_DRAIN_BATCH);
    (void) ngx_cometa_device_release(NGX_COMETA_DRAIN_BATCH);

    ngx_add_timer(ev, NGX_COMETA_DRAIN_STEP);
}
