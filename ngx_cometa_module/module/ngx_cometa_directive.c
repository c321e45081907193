
/*
 * The functions of the directives that take more than one value. Each reads its
 * own parameters; which of them may stand together is checked in
 * ngx_cometa_conf.c.
 */

#include "ngx_cometa_conf.h"
#include "ngx_cometa_drain.h"
#include "ngx_cometa_handler.h"
#include "ngx_cometa_loc.h"
#include "ngx_cometa_annex.h"
#include "ngx_cometa_offline.h"
#include "ngx_cometa_slot.h"
#include "ngx_cometa_zone.h"
#include "cometa_flap.h"


#define NGX_COMETA_ZONE_MAX  ((off_t) 1 << 40)


static char *ngx_cometa_zone_size(ngx_conf_t *cf, ngx_str_t *value,
    ngx_str_t *s, off_t *size);
static char *ngx_cometa_zone_offline_arg(ngx_conf_t *cf, uint32_t *offline);
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

    if (ngx_cometa_zone_offline_arg(cf, &mcf->offline) != NGX_CONF_OK) {
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
 * nginx itself crashes if a zone has less than eight pages. Other sizes that
 * are too small are refused when the zone is planned.
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


/* How many devices that have left are kept, if that is given. */

static char *
ngx_cometa_zone_offline_arg(ngx_conf_t *cf, uint32_t *offline)
{
    ngx_int_t   n;
    ngx_str_t  *value;

    *offline = NGX_COMETA_NONE;

    if (cf->args->nelts == 2) {
        return NGX_CONF_OK;
    }

    value = cf->args->elts;

    if (ngx_strncmp(value[2].data, "offline=", 8) == 0) {

        n = ngx_atoi(value[2].data + 8, value[2].len - 8);

        if (n >= 0 && n <= NGX_COMETA_OFFLINE_MAX) {
            *offline = n;
            return NGX_CONF_OK;
        }
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "cometa_zone: invalid parameter \"%V\", expected "
                       "offline= and a number from 0 to %d, for example "
                       "offline=10000",
                       &value[2], NGX_COMETA_OFFLINE_MAX);

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
ngx_cometa_takeover_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_cometa_loc_conf_t *lcf = conf;

    char       *rv;
    ngx_int_t   n;
    ngx_str_t  *value;

    rv = ngx_conf_set_flag_slot(cf, cmd, conf);

    if (rv != NGX_CONF_OK || cf->args->nelts == 2) {
        return rv;
    }

    value = cf->args->elts;

    if (!lcf->takeover || ngx_strncmp(value[2].data, "limit=", 6) != 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\", expected \"on\" alone, "
                           "\"on limit=number\", \"on limit=off\" or "
                           "\"off\"", &value[2]);
        return NGX_CONF_ERROR;
    }

    if (ngx_strcmp(value[2].data + 6, "off") == 0) {
        lcf->takeover_limit = 0;
        return NGX_CONF_OK;
    }

    n = ngx_atoi(value[2].data + 6, value[2].len - 6);

    if (n < 1 || n > COMETA_FLAP_LIMIT) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\", expected limit= and a "
                           "number from 1 to %d, or \"off\"", &value[2],
                           COMETA_FLAP_LIMIT);
        return NGX_CONF_ERROR;
    }

    lcf->takeover_limit = n;

    return NGX_CONF_OK;
}


char *
ngx_cometa_drain_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_cometa_main_conf_t *mcf = conf;

    ngx_int_t   n;
    ngx_str_t  *value;

    if (mcf->drain_rate != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        mcf->drain_rate = NGX_COMETA_DRAIN_FASTEST;
        return NGX_CONF_OK;
    }

    if (value[1].len <= 7
        || ngx_strncmp(value[1].data, "rate=", 5) != 0
        || ngx_strcmp(value[1].data + value[1].len - 2, "/s") != 0)
    {
        goto invalid;
    }

    n = ngx_atoi(value[1].data + 5, value[1].len - 7);

    if (n < 1 || n > NGX_COMETA_DRAIN_FASTEST) {
        goto invalid;
    }

    mcf->drain_rate = n;

    return NGX_CONF_OK;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"%V\", expected rate= and a number "
                       "from 1 to %d followed by \"/s\", for example "
                       "rate=500/s, or \"off\"", &value[1],
                       NGX_COMETA_DRAIN_FASTEST);

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
                             ccf->worker_processes, mcf->offline, data)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (data) {
        return ngx_cometa_annex_keep(data, cycle->pool);
    }

    return ngx_cometa_annex_make(shm_zone->data, cycle->pool,
                                 shm_zone->shm.log);
}
