
/*
 * The directive "cometa_heartbeat": the interval of a location, the time after
 * which a silent device is closed, and the intervals that devices may ask for.
 */

#include "ngx_cometa_value.h"
#include "ngx_cometa_loc.h"


static char *ngx_cometa_heartbeat_parameter(ngx_conf_t *cf, ngx_str_t *arg,
    ngx_cometa_loc_conf_t *lcf);
static char *ngx_cometa_heartbeat_time(ngx_conf_t *cf, ngx_str_t *arg,
    size_t skip, ngx_msec_t *time);
static char *ngx_cometa_heartbeat_seconds(ngx_conf_t *cf, ngx_str_t *arg,
    size_t skip, ngx_msec_t *time);
static char *ngx_cometa_heartbeat_refuse(ngx_conf_t *cf, ngx_str_t *arg,
    const char *expected);


char *
ngx_cometa_heartbeat_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_cometa_loc_conf_t *lcf = conf;

    ngx_str_t   *value;
    ngx_uint_t   i;

    if (lcf->heartbeat != NGX_CONF_UNSET_MSEC) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_cometa_heartbeat_seconds(cf, &value[1], 0, &lcf->heartbeat)
        != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    for (i = 2; i < cf->args->nelts; i++) {
        if (ngx_cometa_heartbeat_parameter(cf, &value[i], lcf) != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    if (lcf->heartbeat_min != NGX_CONF_UNSET_MSEC
        && lcf->heartbeat_max != NGX_CONF_UNSET_MSEC
        && lcf->heartbeat_min > lcf->heartbeat_max)
    {
        return "has a \"min=\" above its \"max=\", lower it";
    }

    return NGX_CONF_OK;
}


static char *
ngx_cometa_heartbeat_parameter(ngx_conf_t *cf, ngx_str_t *arg,
    ngx_cometa_loc_conf_t *lcf)
{
    ngx_str_t  *value;

    value = cf->args->elts;

    if (ngx_strncmp(arg->data, "min=", 4) == 0
        && lcf->heartbeat_min == NGX_CONF_UNSET_MSEC)
    {
        return ngx_cometa_heartbeat_seconds(cf, arg, 4, &lcf->heartbeat_min);
    }

    if (ngx_strncmp(arg->data, "max=", 4) == 0
        && lcf->heartbeat_max == NGX_CONF_UNSET_MSEC)
    {
        return ngx_cometa_heartbeat_seconds(cf, arg, 4, &lcf->heartbeat_max);
    }

    if (ngx_strncmp(arg->data, "timeout=", 8) != 0
        || lcf->heartbeat_timeout != NGX_CONF_UNSET_MSEC)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\" in \"%V\" directive, "
                           "expected timeout=time, min=time, max=time, each "
                           "at most once", arg, &value[0]);
        return NGX_CONF_ERROR;
    }

    if (ngx_cometa_heartbeat_time(cf, arg, 8, &lcf->heartbeat_timeout)
        != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (lcf->heartbeat_timeout < lcf->heartbeat) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" in \"%V\" directive is less than \"%V\", "
                           "raise it", arg, &value[0], &value[1]);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* The time in `arg` behind so many bytes. */

static char *
ngx_cometa_heartbeat_time(ngx_conf_t *cf, ngx_str_t *arg, size_t skip,
    ngx_msec_t *time)
{
    ngx_int_t  n;
    ngx_str_t  s;

    s.data = arg->data + skip;
    s.len = arg->len - skip;

    n = ngx_parse_time(&s, 0);

    if (n == NGX_ERROR || n > NGX_COMETA_DAY) {
        return ngx_cometa_heartbeat_refuse(cf, arg, "a time of at most 1d");
    }

    *time = n;

    return NGX_CONF_OK;
}


static char *
ngx_cometa_heartbeat_seconds(ngx_conf_t *cf, ngx_str_t *arg, size_t skip,
    ngx_msec_t *time)
{
    ngx_int_t  n;
    ngx_str_t  s;

    s.data = arg->data + skip;
    s.len = arg->len - skip;

    n = ngx_parse_time(&s, 0);

    if (n == NGX_ERROR || n == 0 || n > NGX_COMETA_DAY) {
        return ngx_cometa_heartbeat_refuse(cf, arg,
                                           "a time of more than zero and at "
                                           "most 1d");
    }

    if (n % 1000) {
        return ngx_cometa_heartbeat_refuse(cf, arg,
                                           "whole seconds, as devices are "
                                           "told");
    }

    *time = n;

    return NGX_CONF_OK;
}


static char *
ngx_cometa_heartbeat_refuse(ngx_conf_t *cf, ngx_str_t *arg,
    const char *expected)
{
    ngx_str_t  *value;

    value = cf->args->elts;

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid value \"%V\" in \"%V\" directive, expected %s",
                       arg, &value[0], expected);

    return NGX_CONF_ERROR;
}
