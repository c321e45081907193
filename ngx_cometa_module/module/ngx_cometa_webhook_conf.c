
/*
 * The directive cometa_webhook: its parameters, and which locations share one.
 */

#include "ngx_cometa_conf.h"
#include "ngx_cometa.h"
#include "ngx_cometa_value.h"
#include "ngx_cometa_loc.h"
#include "ngx_cometa_share.h"
#include "ngx_cometa_webhook.h"
#include "ngx_cometa_webhook_request.h"
#include "ngx_cometa_webhook_types.h"


typedef struct {
    ngx_str_t   name;
    char     *(*read)(ngx_str_t *value, ngx_cometa_webhook_conf_t *conf);
    char       *expected;
} ngx_cometa_webhook_param_t;


static char *ngx_cometa_webhook_uri(ngx_conf_t *cf, ngx_str_t *value,
    ngx_cometa_webhook_conf_t *conf);
static char *ngx_cometa_webhook_params(ngx_conf_t *cf,
    ngx_cometa_webhook_conf_t *conf);
static char *ngx_cometa_webhook_defaults(ngx_conf_t *cf,
    ngx_cometa_webhook_conf_t *conf);
static char *ngx_cometa_webhook_events(ngx_str_t *value,
    ngx_cometa_webhook_conf_t *conf);
static char *ngx_cometa_webhook_tries(ngx_str_t *value,
    ngx_cometa_webhook_conf_t *conf);
static char *ngx_cometa_webhook_retry(ngx_str_t *value,
    ngx_cometa_webhook_conf_t *conf);
static char *ngx_cometa_webhook_max_retry(ngx_str_t *value,
    ngx_cometa_webhook_conf_t *conf);
static char *ngx_cometa_webhook_concurrency(ngx_str_t *value,
    ngx_cometa_webhook_conf_t *conf);
static char *ngx_cometa_webhook_queue(ngx_str_t *value,
    ngx_cometa_webhook_conf_t *conf);
static char *ngx_cometa_webhook_number(ngx_str_t *value, ngx_int_t max,
    ngx_uint_t *number);
static char *ngx_cometa_webhook_time(ngx_str_t *value, ngx_msec_t *time);
static void ngx_cometa_webhook_use(ngx_cometa_loc_conf_t *conf,
    ngx_cometa_webhook_conf_t *webhook);
static ngx_int_t ngx_cometa_webhook_phase(ngx_conf_t *cf, ngx_uint_t phase,
    ngx_http_handler_pt handler);


static ngx_cometa_webhook_param_t  ngx_cometa_webhook_list[] = {
    { ngx_string("events="), ngx_cometa_webhook_events,
      "events= and a list of data, attach, detach, reply" },
    { ngx_string("tries="), ngx_cometa_webhook_tries,
      "tries= and a number from 1 to 255" },
    { ngx_string("retry="), ngx_cometa_webhook_retry,
      "retry= and a time from 1ms to 1d" },
    { ngx_string("max_retry="), ngx_cometa_webhook_max_retry,
      "max_retry= and a time from 1ms to 1d" },
    { ngx_string("concurrency="), ngx_cometa_webhook_concurrency,
      "concurrency= and a number from 1 to 65535" },
    { ngx_string("queue="), ngx_cometa_webhook_queue,
      "queue= and a number from 1 to 1048576" },
    { ngx_null_string, NULL, NULL }
};


char *
ngx_cometa_webhook_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_cometa_loc_conf_t *lcf = conf;

    ngx_str_t                  *value;
    ngx_cometa_webhook_conf_t  *webhook;

    if (lcf->webhook) {
        return "is duplicate";
    }

    webhook = ngx_pcalloc(cf->pool, sizeof(ngx_cometa_webhook_conf_t));
    if (webhook == NULL) {
        return NGX_CONF_ERROR;
    }

    lcf->webhook = webhook;
    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        return (cf->args->nelts == 2) ? NGX_CONF_OK
                                      : "takes no parameters with \"off\"";
    }

    if (ngx_cometa_webhook_uri(cf, &value[1], webhook) != NGX_CONF_OK
        || ngx_cometa_webhook_params(cf, webhook) != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    return ngx_cometa_webhook_defaults(cf, webhook);
}


static char *
ngx_cometa_webhook_uri(ngx_conf_t *cf, ngx_str_t *value,
    ngx_cometa_webhook_conf_t *conf)
{
    u_char  *p;

    if (value->len == 0 || value->data[0] != '/') {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid URI \"%V\": it must begin with \"/\" and "
                           "lead to a location of this server with "
                           "\"proxy_pass\"", value);
        return NGX_CONF_ERROR;
    }

    if (ngx_strchr(value->data, '$')) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid URI \"%V\": it must not contain "
                           "variables, because an event has no client's "
                           "request; its location may use "
                           "$http_cometa_application and "
                           "$http_cometa_device", value);
        return NGX_CONF_ERROR;
    }

    conf->name = *value;
    conf->uri = *value;

    p = (u_char *) ngx_strchr(value->data, '?');

    if (p) {
        conf->args.data = p + 1;
        conf->args.len = value->data + value->len - (p + 1);
        conf->uri.len = p - value->data;
    }

    return NGX_CONF_OK;
}


static char *
ngx_cometa_webhook_params(ngx_conf_t *cf, ngx_cometa_webhook_conf_t *conf)
{
    char                        *rc;
    ngx_str_t                   *value, s;
    ngx_uint_t                   i, n, seen;
    ngx_cometa_webhook_param_t  *param;

    value = cf->args->elts;
    seen = 0;

    for (i = 2; i < cf->args->nelts; i++) {

        param = ngx_cometa_webhook_list;

        for (n = 0; param[n].name.len; n++) {
            if (value[i].len >= param[n].name.len
                && ngx_strncmp(value[i].data, param[n].name.data,
                               param[n].name.len)
                   == 0)
            {
                break;
            }
        }

        if (param[n].name.len == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\", expected events=, "
                               "tries=, retry=, max_retry=, concurrency= or "
                               "queue=", &value[i]);
            return NGX_CONF_ERROR;
        }

        if (seen & (1 << n)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate parameter \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        seen |= 1 << n;

        s.data = value[i].data + param[n].name.len;
        s.len = value[i].len - param[n].name.len;

        rc = param[n].read(&s, conf);

        if (rc != NGX_CONF_OK) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\", expected %s",
                               &value[i], param[n].expected);
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_cometa_webhook_defaults(ngx_conf_t *cf, ngx_cometa_webhook_conf_t *conf)
{
    if (conf->events == 0) {
        conf->events = NGX_COMETA_EVENT_DATA|NGX_COMETA_EVENT_REPLY;
    }

    if (conf->tries == 0) {
        conf->tries = 6;
    }

    if (conf->retry == 0) {
        conf->retry = conf->max_retry ? ngx_min(conf->max_retry, 100) : 100;
    }

    if (conf->max_retry == 0) {
        conf->max_retry = ngx_max(conf->retry, 60000);
    }

    if (conf->concurrency == 0) {
        conf->concurrency = 64;
    }

    if (conf->queue == 0) {
        conf->queue = 16384;
    }

    /* a running event takes a place of the queue, and cannot be dropped */

    conf->concurrency = ngx_min(conf->concurrency, conf->queue);

    if (conf->max_retry < conf->retry) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "max_retry= of \"cometa_webhook\" is less than "
                           "retry=, raise it");
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_cometa_webhook_events(ngx_str_t *value, ngx_cometa_webhook_conf_t *conf)
{
    u_char      *p, *last, *begin;
    size_t       len;
    ngx_uint_t   event;

    last = value->data + value->len;

    for (begin = value->data; begin <= last; begin = p + 1) {

        p = ngx_strlchr(begin, last, ',');
        if (p == NULL) {
            p = last;
        }

        len = p - begin;

        if (len == 4 && ngx_strncmp(begin, "data", 4) == 0) {
            event = NGX_COMETA_EVENT_DATA;

        } else if (len == 6 && ngx_strncmp(begin, "attach", 6) == 0) {
            event = NGX_COMETA_EVENT_ATTACH;

        } else if (len == 6 && ngx_strncmp(begin, "detach", 6) == 0) {
            event = NGX_COMETA_EVENT_DETACH;

        } else if (len == 5 && ngx_strncmp(begin, "reply", 5) == 0) {
            event = NGX_COMETA_EVENT_REPLY;

        } else {
            return NGX_CONF_ERROR;
        }

        if (conf->events & event) {
            return NGX_CONF_ERROR;
        }

        conf->events |= event;
    }

    return NGX_CONF_OK;
}


static char *
ngx_cometa_webhook_tries(ngx_str_t *value, ngx_cometa_webhook_conf_t *conf)
{
    return ngx_cometa_webhook_number(value, 255, &conf->tries);
}


static char *
ngx_cometa_webhook_retry(ngx_str_t *value, ngx_cometa_webhook_conf_t *conf)
{
    return ngx_cometa_webhook_time(value, &conf->retry);
}


static char *
ngx_cometa_webhook_max_retry(ngx_str_t *value,
    ngx_cometa_webhook_conf_t *conf)
{
    return ngx_cometa_webhook_time(value, &conf->max_retry);
}


static char *
ngx_cometa_webhook_concurrency(ngx_str_t *value,
    ngx_cometa_webhook_conf_t *conf)
{
    return ngx_cometa_webhook_number(value, 65535, &conf->concurrency);
}


static char *
ngx_cometa_webhook_queue(ngx_str_t *value, ngx_cometa_webhook_conf_t *conf)
{
    return ngx_cometa_webhook_number(value, NGX_COMETA_SHARE_MAX,
                                     &conf->queue);
}


static char *
ngx_cometa_webhook_number(ngx_str_t *value, ngx_int_t max, ngx_uint_t *number)
{
    ngx_int_t  n;

    n = ngx_atoi(value->data, value->len);

    if (n < 1 || n > max) {
        return NGX_CONF_ERROR;
    }

    *number = n;

    return NGX_CONF_OK;
}


static char *
ngx_cometa_webhook_time(ngx_str_t *value, ngx_msec_t *time)
{
    ngx_int_t  ms;

    ms = ngx_parse_time(value, 0);

    if (ms < 1 || ms > NGX_COMETA_DAY) {
        return NGX_CONF_ERROR;
    }

    *time = ms;

    return NGX_CONF_OK;
}


/* Locations of one server that inherit it from one place share a webhook. */

ngx_int_t
ngx_cometa_webhook_init(ngx_conf_t *cf, ngx_cometa_loc_conf_t *conf)
{
    ngx_uint_t                   i;
    ngx_cometa_main_conf_t      *mcf;
    ngx_http_core_srv_conf_t    *cscf;
    ngx_cometa_webhook_conf_t   *webhook, **webhooks;

    if (conf->webhook == NULL || conf->webhook->uri.len == 0) {
        return NGX_OK;
    }

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cometa_module);
    cscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_core_module);

    webhooks = mcf->webhooks.elts;

    for (i = 0; i < mcf->webhooks.nelts; i++) {
        if (webhooks[i]->directive == conf->webhook
            && webhooks[i]->ctx == cscf->ctx)
        {
            ngx_cometa_webhook_use(conf, webhooks[i]);
            return NGX_OK;
        }
    }

    webhook = ngx_palloc(cf->pool, sizeof(ngx_cometa_webhook_conf_t));
    webhooks = ngx_array_push(&mcf->webhooks);

    if (webhook == NULL || webhooks == NULL) {
        return NGX_ERROR;
    }

    *webhook = *conf->webhook;
    webhook->directive = conf->webhook;
    webhook->ctx = cscf->ctx;
    webhook->replies = 1;

    ngx_cometa_webhook_conf_init(webhook);

    *webhooks = webhook;
    ngx_cometa_webhook_use(conf, webhook);

    return NGX_OK;
}


/* It gets the events of the devices of a location, or replies to its calls. */

static void
ngx_cometa_webhook_use(ngx_cometa_loc_conf_t *conf,
    ngx_cometa_webhook_conf_t *webhook)
{
    if (conf->devices) {
        conf->devices->webhook = webhook;
        webhook->replies = 0;
    }

    if (conf->handlers & NGX_COMETA_SEND) {
        conf->replies = webhook;
    }
}


ngx_int_t
ngx_cometa_webhook_postconfiguration(ngx_conf_t *cf)
{
    ngx_uint_t                   i;
    ngx_cometa_main_conf_t      *mcf;
    ngx_cometa_webhook_conf_t  **webhooks;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cometa_module);
    webhooks = mcf->webhooks.elts;

    if (mcf->webhooks.nelts == 0) {
        return NGX_OK;
    }

    for (i = 0; i < mcf->webhooks.nelts; i++) {
        if (ngx_cometa_webhook_check(cf, webhooks[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (ngx_cometa_webhook_phase(cf, NGX_HTTP_SERVER_REWRITE_PHASE,
                                 ngx_cometa_webhook_unsized)
           != NGX_OK
        || ngx_cometa_webhook_phase(cf, NGX_HTTP_REWRITE_PHASE,
                                    ngx_cometa_webhook_quiet)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_cometa_webhook_phase(cf, NGX_HTTP_PREACCESS_PHASE,
                                    ngx_cometa_webhook_sized);
}


static ngx_int_t
ngx_cometa_webhook_phase(ngx_conf_t *cf, ngx_uint_t phase,
    ngx_http_handler_pt handler)
{
    ngx_http_handler_pt        *h;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[phase].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = handler;

    return NGX_OK;
}
