
/*
 * What the directives do that take more than a value: each reads its own
 * parameters, and what they may be together is in ngx_cometa_conf.c.
 */

#include "ngx_cometa_conf.h"
#include "ngx_cometa_webhook.h"


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

    size = ngx_parse_offset(&s);

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
                               "invalid parameter \"%V\" in \"%V\" "
                               "directive, expected json or prometheus",
                               &value[1], &value[0]);
            return NGX_CONF_ERROR;
        }
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler && clcf->handler != ngx_cometa_handler) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" and the handler that location \"%V\" has "
                           "already, such as \"proxy_pass\", exclude each "
                           "other", &value[0], &clcf->name);
        return NGX_CONF_ERROR;
    }

    lcf->handlers |= cmd->offset;
    clcf->handler = ngx_cometa_handler;

    return NGX_CONF_OK;
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

    return ngx_cometa_slot_equip(shm_zone->data, shm_zone->shm.log);
}
