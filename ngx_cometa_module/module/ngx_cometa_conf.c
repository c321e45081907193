
/*
 * The configuration, in the process that reads it. Every refusal names the
 * location or the parameter, and says what to change.
 */

#include "ngx_cometa_conf.h"
#include "ngx_cometa_handler.h"
#include "ngx_cometa_loc.h"
#include "ngx_cometa_conf_check.h"
#include "ngx_cometa_tls_conf.h"
#include "ngx_cometa_value.h"
#include "ngx_cometa_drain.h"
#include "ngx_cometa_device.h"
#include "ngx_cometa_device_state.h"
#include "ngx_cometa_webhook.h"
#include "ngx_cometa_ws.h"
#include "ngx_cometa_zone.h"
#include "cometa_hash.h"


static void ngx_cometa_merge_values(ngx_cometa_loc_conf_t *conf,
    ngx_cometa_loc_conf_t *prev);
static void ngx_cometa_merge_times(ngx_cometa_loc_conf_t *conf,
    ngx_cometa_loc_conf_t *prev);
static void ngx_cometa_default_heartbeats(ngx_cometa_loc_conf_t *conf);
static char *ngx_cometa_init_location(ngx_conf_t *cf,
    ngx_cometa_loc_conf_t *conf);
static ngx_int_t ngx_cometa_default_values(ngx_conf_t *cf,
    ngx_cometa_loc_conf_t *conf);
static ngx_int_t ngx_cometa_default_value(ngx_conf_t *cf, char *name,
    ngx_http_complex_value_t **value);
static ngx_int_t ngx_cometa_init_devices(ngx_conf_t *cf,
    ngx_cometa_loc_conf_t *conf);
static ngx_int_t ngx_cometa_init_ws(ngx_conf_t *cf,
    ngx_cometa_loc_conf_t *conf);
static uint64_t ngx_cometa_location_id(ngx_conf_t *cf, ngx_array_t *confs,
    size_t id);


/* ms: of the intervals that devices may ask for, if nothing is set. */
#define NGX_COMETA_HEARTBEAT_LEAST  10000
#define NGX_COMETA_HEARTBEAT_MOST   1800000

#define NGX_COMETA_INFO_READ  1024      /* bytes of an info, in one piece */

/* Output that may wait for a client: this, and so many of the largest. */
#define NGX_COMETA_WS_OUTPUT    (256 * 1024)
#define NGX_COMETA_WS_MESSAGES  4


/* How many configurations this process and its parents have read. */

static uint32_t  ngx_cometa_generation;


void *
ngx_cometa_create_main_conf(ngx_conf_t *cf)
{
    ngx_cometa_main_conf_t  *mcf;

    mcf = ngx_pcalloc(cf->pool, sizeof(ngx_cometa_main_conf_t));
    if (mcf == NULL) {
        return NULL;
    }

    mcf->stats_window = NGX_CONF_UNSET_MSEC;
    mcf->drain_rate = NGX_CONF_UNSET_UINT;
    mcf->generation = ++ngx_cometa_generation;

    if (ngx_array_init(&mcf->devices, cf->pool, 4,
                       sizeof(ngx_cometa_device_conf_t *))
        != NGX_OK
        || ngx_array_init(&mcf->ws, cf->pool, 4,
                          sizeof(ngx_cometa_ws_conf_t *))
           != NGX_OK
        || ngx_array_init(&mcf->parking, cf->pool, 4,
                          sizeof(ngx_http_conf_ctx_t *))
           != NGX_OK
        || ngx_array_init(&mcf->webhooks, cf->pool, 4,
                          sizeof(ngx_cometa_webhook_conf_t *))
           != NGX_OK)
    {
        return NULL;
    }

    return mcf;
}


char *
ngx_cometa_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_cometa_main_conf_t *mcf = conf;

    if (mcf->zone == NULL && ngx_cometa_zone.claimed) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"cometa_zone\" cannot be removed by a reload "
                           "with \"master_process off\", restart nginx");
        return NGX_CONF_ERROR;
    }

    ngx_conf_init_msec_value(mcf->stats_window, 15000);
    ngx_conf_init_uint_value(mcf->drain_rate, NGX_COMETA_DRAIN_RATE);

    return NGX_CONF_OK;
}


void *
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
     *     conf->secret = NULL;
     *     conf->webhook = NULL;
     *     conf->devices = NULL;
     *     conf->ws = NULL;
     */

    conf->app_name = NGX_CONF_UNSET_PTR;
    conf->device_secret = NGX_CONF_UNSET_PTR;
    conf->websocket_key = NGX_CONF_UNSET_PTR;
    conf->devices_max = NGX_CONF_UNSET_PTR;
    conf->token = NGX_CONF_UNSET_PTR;
    conf->intercept = NGX_CONF_UNSET;
    conf->guarded = NGX_CONF_UNSET;
    conf->heartbeat = NGX_CONF_UNSET_MSEC;
    conf->heartbeat_timeout = NGX_CONF_UNSET_MSEC;
    conf->heartbeat_min = NGX_CONF_UNSET_MSEC;
    conf->heartbeat_max = NGX_CONF_UNSET_MSEC;
    conf->send_timeout = NGX_CONF_UNSET_MSEC;
    conf->send_timeout_max = NGX_CONF_UNSET_MSEC;
    conf->send_wait = NGX_CONF_UNSET_MSEC;
    conf->queue = NGX_CONF_UNSET_UINT;
    conf->pipeline = NGX_CONF_UNSET_UINT;
    conf->request_timeout = NGX_CONF_UNSET_MSEC;
    conf->max_message = NGX_CONF_UNSET_SIZE;
    conf->takeover = NGX_CONF_UNSET;
    conf->takeover_limit = NGX_CONF_UNSET_UINT;
    conf->websocket_key_timeout = NGX_CONF_UNSET_MSEC;
    conf->websocket_timeout = NGX_CONF_UNSET_MSEC;
    conf->websocket_move = NGX_CONF_UNSET;
    conf->tls_park = NGX_CONF_UNSET;

    return conf;
}


char *
ngx_cometa_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_cometa_loc_conf_t  *prev = parent;
    ngx_cometa_loc_conf_t  *conf = child;

    ngx_cometa_main_conf_t    *mcf;
    ngx_http_core_loc_conf_t  *clcf;

    ngx_cometa_merge_values(conf, prev);
    ngx_cometa_merge_times(conf, prev);

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cometa_module);
    mcf->max_message = ngx_max(mcf->max_message, conf->max_message);

    /* "if" and "limit_except" inherit the handlers, if they have none */

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->noname
        && conf->handlers == 0
        && prev->handlers
        && clcf->handler == NULL)
    {
        conf->handlers = prev->handlers;
        conf->prometheus = prev->prometheus;
        clcf->handler = ngx_cometa_handler;
    }

    if (conf->handlers == 0) {
        return NGX_CONF_OK;
    }

    return ngx_cometa_init_location(cf, conf);
}


static void
ngx_cometa_merge_values(ngx_cometa_loc_conf_t *conf,
    ngx_cometa_loc_conf_t *prev)
{
    if (conf->application == NULL) {
        conf->application = prev->application;
    }

    if (conf->device == NULL) {
        conf->device = prev->device;
    }

    if (conf->webhook == NULL) {
        conf->webhook = prev->webhook;
    }

    ngx_conf_merge_ptr_value(conf->app_name, prev->app_name, NULL);
    ngx_conf_merge_ptr_value(conf->device_secret, prev->device_secret, NULL);
    ngx_conf_merge_ptr_value(conf->devices_max, prev->devices_max, NULL);
    ngx_conf_merge_ptr_value(conf->token, prev->token, NULL);

    /* if the directive is not set, a location takes $key as the default */

    if (conf->websocket_key == NGX_CONF_UNSET_PTR) {
        conf->websocket_key = prev->websocket_key;
    }

    /* "off" and a value are one directive: they are inherited together */

    if (conf->guarded == NGX_CONF_UNSET) {
        conf->secret = prev->secret;
        conf->guarded = (prev->guarded == NGX_CONF_UNSET) ? 0
                                                          : prev->guarded;
    }

    /* "on" and its limit are inherited together, too */

    if (conf->takeover == NGX_CONF_UNSET) {
        conf->takeover_limit = prev->takeover_limit;
    }

    ngx_conf_merge_value(conf->takeover, prev->takeover, 1);
    ngx_conf_init_uint_value(conf->takeover_limit, 5);
    ngx_conf_merge_value(conf->intercept, prev->intercept, 0);
    ngx_conf_merge_str_value(conf->websocket_protocol,
                             prev->websocket_protocol, "");
    ngx_conf_merge_value(conf->websocket_move, prev->websocket_move, 1);
    ngx_conf_merge_value(conf->tls_park, prev->tls_park, 0);
    ngx_conf_merge_uint_value(conf->queue, prev->queue, 16);
    ngx_conf_merge_uint_value(conf->pipeline, prev->pipeline, 16);
    ngx_conf_merge_msec_value(conf->request_timeout, prev->request_timeout,
                              10000);

    conf->max_given = (conf->max_message != NGX_CONF_UNSET_SIZE)
                      || prev->max_given;

    ngx_conf_merge_size_value(conf->max_message, prev->max_message, 65536);
}


/* The times of one directive are inherited together. */

static void
ngx_cometa_merge_times(ngx_cometa_loc_conf_t *conf,
    ngx_cometa_loc_conf_t *prev)
{
    if (conf->heartbeat == NGX_CONF_UNSET_MSEC) {
        conf->heartbeat_timeout = prev->heartbeat_timeout;
        conf->heartbeat_min = prev->heartbeat_min;
        conf->heartbeat_max = prev->heartbeat_max;
    }

    ngx_conf_merge_msec_value(conf->heartbeat, prev->heartbeat, 60000);
    ngx_conf_init_msec_value(conf->heartbeat_timeout,
                             conf->heartbeat / 2 * 3);
    ngx_cometa_default_heartbeats(conf);

    if (conf->send_timeout == NGX_CONF_UNSET_MSEC) {
        conf->send_timeout_max = prev->send_timeout_max;
    }

    ngx_conf_merge_msec_value(conf->send_timeout, prev->send_timeout, 30000);
    ngx_conf_init_msec_value(conf->send_timeout_max,
                             ngx_max(conf->send_timeout, 300000));

    ngx_conf_merge_msec_value(conf->send_wait, prev->send_wait, 0);
    ngx_conf_merge_msec_value(conf->websocket_key_timeout,
                              prev->websocket_key_timeout, 60000);
    ngx_conf_merge_msec_value(conf->websocket_timeout,
                              prev->websocket_timeout, 60000);
}


/*
 * What a device may ask for. The interval of the location is always good, and
 * each limit gives way to the other one if only that is set.
 */

static void
ngx_cometa_default_heartbeats(ngx_cometa_loc_conf_t *conf)
{
    if (conf->heartbeat_min == NGX_CONF_UNSET_MSEC) {
        conf->heartbeat_min = ngx_min(NGX_COMETA_HEARTBEAT_LEAST,
                                      conf->heartbeat);
        conf->heartbeat_min = ngx_min(conf->heartbeat_min,
                                      conf->heartbeat_max);
    }

    if (conf->heartbeat_max == NGX_CONF_UNSET_MSEC) {
        conf->heartbeat_max = ngx_max(NGX_COMETA_HEARTBEAT_MOST,
                                      conf->heartbeat);
        conf->heartbeat_max = ngx_max(conf->heartbeat_max,
                                      conf->heartbeat_min);
    }
}


/* Checks a location with a handler, and sets up what the handler needs. */

static char *
ngx_cometa_init_location(ngx_conf_t *cf, ngx_cometa_loc_conf_t *conf)
{
    if (ngx_cometa_conf_check_handlers(cf, conf) != NGX_OK
        || ngx_cometa_default_values(cf, conf) != NGX_OK
        || ngx_cometa_conf_check_location(cf, conf) != NGX_OK
        || ngx_cometa_conf_check_values(cf, conf) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    if ((conf->handlers & NGX_COMETA_ATTACH)
        && ngx_cometa_init_devices(cf, conf) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    if ((conf->handlers & NGX_COMETA_SEND)
        && ngx_cometa_webhook_init(cf, conf) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    if ((conf->handlers & (NGX_COMETA_WEBSOCKET|NGX_COMETA_CHANNEL))
        && ngx_cometa_init_ws(cf, conf) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (ngx_cometa_tls_conf_add(cf, conf) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_cometa_default_values(ngx_conf_t *cf, ngx_cometa_loc_conf_t *conf)
{
    if (conf->websocket_key == NGX_CONF_UNSET_PTR) {
        conf->websocket_key = NULL;

        if (ngx_cometa_default_value(cf, "key", &conf->websocket_key)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (ngx_cometa_default_value(cf, "app", &conf->application) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_cometa_default_value(cf, "device", &conf->device);
}


/*
 * $app, $device and $key are the defaults if the configuration defines them
 * anywhere, as a rule by a named capture: all of it has been read by now.
 */

static ngx_int_t
ngx_cometa_default_value(ngx_conf_t *cf, char *name,
    ngx_http_complex_value_t **value)
{
    size_t                      len;
    ngx_str_t                   text;
    ngx_uint_t                  i;
    ngx_hash_key_t             *key;
    ngx_http_core_main_conf_t  *cmcf;

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
    if (text.data == NULL) {
        return NGX_ERROR;
    }

    text.len = ngx_sprintf(text.data, "$%s", name) - text.data;

    return ngx_cometa_value_compile(cf, &text, value);
}


static ngx_int_t
ngx_cometa_init_devices(ngx_conf_t *cf, ngx_cometa_loc_conf_t *conf)
{
    ngx_cometa_main_conf_t     *mcf;
    ngx_cometa_device_conf_t   *devices, **place;
    ngx_http_core_loc_conf_t   *clcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cometa_module);
    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    devices = ngx_pcalloc(cf->pool, sizeof(ngx_cometa_device_conf_t));
    if (devices == NULL) {
        return NGX_ERROR;
    }

    place = ngx_array_push(&mcf->devices);
    if (place == NULL) {
        return NGX_ERROR;
    }

    *place = devices;

    /* a longer info is read in pieces, and only its beginning is kept */

    clcf->client_body_buffer_size = ngx_min(clcf->client_body_buffer_size,
                                            NGX_COMETA_INFO_READ);

    devices->life.heartbeat = conf->heartbeat;
    devices->life.timeout = conf->heartbeat_timeout;
    devices->heartbeat_min = conf->heartbeat_min;
    devices->heartbeat_max = conf->heartbeat_max;
    devices->body_timeout = ngx_min(clcf->client_body_timeout,
                                    NGX_COMETA_DAY);
    devices->max_message = conf->max_message;
    devices->pipeline = conf->pipeline;
    devices->request_timeout = conf->request_timeout;

    devices->id = ngx_cometa_location_id(cf, &mcf->devices,
                                         offsetof(ngx_cometa_device_conf_t,
                                                  id));

    ngx_cometa_device_conf_init(devices, clcf->error_log);

    conf->devices = devices;

    return ngx_cometa_webhook_init(cf, conf);
}


static ngx_int_t
ngx_cometa_init_ws(ngx_conf_t *cf, ngx_cometa_loc_conf_t *conf)
{
    ngx_cometa_ws_conf_t      *sockets, **place;
    ngx_cometa_main_conf_t    *mcf;
    ngx_http_core_loc_conf_t  *clcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cometa_module);
    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    sockets = ngx_pcalloc(cf->pool, sizeof(ngx_cometa_ws_conf_t));
    if (sockets == NULL) {
        return NGX_ERROR;
    }

    place = ngx_array_push(&mcf->ws);
    if (place == NULL) {
        return NGX_ERROR;
    }

    *place = sockets;

    sockets->index = mcf->ws.nelts - 1;
    sockets->generation = mcf->generation;
    sockets->timeout = conf->websocket_timeout;
    sockets->send_timeout = conf->send_timeout;
    sockets->send_timeout_max = conf->send_timeout_max;
    sockets->send_wait = conf->send_wait;
    sockets->queue = conf->queue;
    sockets->max_message = conf->max_message;
    sockets->max_output = NGX_COMETA_WS_OUTPUT
                          + NGX_COMETA_WS_MESSAGES * conf->max_message;

    sockets->id = ngx_cometa_location_id(cf, &mcf->ws,
                                         offsetof(ngx_cometa_ws_conf_t, id));

    ngx_cometa_ws_conf_init(sockets, clcf->error_log);

    conf->ws = sockets;

    return NGX_OK;
}


/*
 * By what connections that come from workers of an older configuration find
 * their location: the names of server and location, and the how many of that
 * name it is. It has to be the same in each configuration, so the key of the
 * hash is a constant. `confs` are pointers to what has such an id, the last of
 * them has none yet.
 */

static uint64_t
ngx_cometa_location_id(ngx_conf_t *cf, ngx_array_t *confs, size_t id)
{
    uint64_t                    hash;
    ngx_uint_t                  i, n;
    cometa_hash_t               h;
    ngx_http_core_srv_conf_t   *cscf;
    ngx_http_core_loc_conf_t   *clcf;

    static const uint64_t  key[2];

    cscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_core_module);
    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    for (n = 0; /* void */; n++) {
        cometa_hash_init(&h, key);
        cometa_hash_update(&h, cscf->server_name.data, cscf->server_name.len);
        cometa_hash_update(&h, "", 1);
        cometa_hash_update(&h, clcf->name.data, clcf->name.len);
        cometa_hash_update(&h, &n, sizeof(ngx_uint_t));
        hash = cometa_hash_final(&h);

        for (i = 0; i < confs->nelts - 1; i++) {
            if (*(uint64_t *) (((u_char **) confs->elts)[i] + id) == hash) {
                break;
            }
        }

        if (i == confs->nelts - 1) {
            return hash;
        }
    }
}
