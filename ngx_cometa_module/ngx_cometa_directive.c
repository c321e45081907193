
/*
 * What the directives do that take more than a value: each reads its own
 * parameters, and what they may be together is in ngx_cometa_conf.c.
 */

#include "ngx_cometa_conf.h"
#include "ngx_cometa_webhook.h"


#define NGX_COMETA_ZONE_MAX  ((off_t) 1 << 40)


static char *ngx_cometa_zone_size(ngx_conf_t *cf, ngx_str_t *value,
    ngx_str_t *s, off_t *size);
static ngx_int_t ngx_cometa_zone_ready(ngx_shm_zone_t *shm_zone, void *data);


char *
ngx_cometa_zone_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_cometa_main_conf_t *mcf = conf;

    u_char     *p;
    off_t       size;
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

    if (ngx_cometa_zone_size(cf, &value[1], &s, &size) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
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


/*
 * nginx itself cannot make a zone of less than eight pages: it crashes. What
 * else is too small is refused when the zone is planned.
 */

static char *
ngx_cometa_zone_size(ngx_conf_t *cf, ngx_str_t *value, ngx_str_t *s,
    off_t *size)
{
    *size = ngx_parse_offset(s);

    if (*size == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "cometa_zone: invalid size \"%V\" in \"%V\", "
                           "expected for example 32m", s, value);
        return NGX_CONF_ERROR;
    }

    if (*size > NGX_COMETA_ZONE_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "cometa_zone: size \"%V\" in \"%V\" is too large, "
                           "use at most 1024g", s, value);
        return NGX_CONF_ERROR;
    }

    if (*size >= (off_t) (8 * ngx_pagesize)) {
        return NGX_CONF_OK;
    }

    if (*size && s->data[s->len - 1] <= '9') {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "cometa_zone: size \"%V\" in \"%V\" is in bytes: "
                           "was the unit forgotten? for example \"%Vm\"", s,
                           value, s);
        return NGX_CONF_ERROR;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "cometa_zone: size \"%V\" in \"%V\" is too small, use "
                       "for example 32m", s, value);

    return NGX_CONF_ERROR;
}


char *
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


char *
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


char *
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

char *
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

    if (ngx_cometa_zone_init(shm_zone, mcf->max_message,
                             ccf->worker_processes, data)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (data) {
        return NGX_OK;
    }

    return ngx_cometa_slot_equip(shm_zone->data, cycle->pool,
                                 shm_zone->shm.log);
}
