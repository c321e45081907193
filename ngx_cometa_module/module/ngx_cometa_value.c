/*
 * Values of directives, see ngx_cometa_value.h. Which values may stand together
 * is checked in ngx_cometa_conf.c and ngx_cometa_conf_check.c.
 */

#include "ngx_cometa_value.h"
#include "ngx_cometa_http.h"
#include "ngx_cometa_loc.h"


static char *ngx_cometa_value_refuse(ngx_conf_t *cf, ngx_str_t *value,
    const char *expected);
static char *ngx_cometa_value_range(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf, ngx_int_t n);
static char *ngx_cometa_value_second(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_msec_t *first, ngx_msec_t *second);
static char *ngx_cometa_value_refuse_secret(ngx_conf_t *cf, ngx_str_t *value);
static char *ngx_cometa_value_set(ngx_conf_t *cf,
    ngx_http_complex_value_t **value);
static ngx_uint_t ngx_cometa_value_is(ngx_str_t *value, const char *word);
static ngx_uint_t ngx_cometa_value_varies(ngx_str_t *value);
static ngx_uint_t ngx_cometa_value_presentable(ngx_str_t *value);


static char *
ngx_cometa_value_refuse(ngx_conf_t *cf, ngx_str_t *value, const char *expected)
{
    ngx_str_t  *args;

    args = cf->args->elts;

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid value \"%V\" in \"%V\" directive, expected %s",
                       value, &args[0], expected);

    return NGX_CONF_ERROR;
}


/* size_t, ngx_msec_t and ngx_uint_t have one size, and one "unset" value. */

static char *
ngx_cometa_value_range(ngx_conf_t *cf, ngx_command_t *cmd, void *conf,
    ngx_int_t n)
{
    char *p = conf;

    ngx_str_t           *value;
    ngx_int_t           *field;
    ngx_cometa_range_t  *range = cmd->post;

    field = (ngx_int_t *) (p + cmd->offset);

    if (*field != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (n == NGX_ERROR || n < range->min || n > range->max) {
        return ngx_cometa_value_refuse(cf, &value[1], range->expected);
    }

    *field = n;

    return NGX_CONF_OK;
}


char *
ngx_cometa_number_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t  *value = cf->args->elts;

    return ngx_cometa_value_range(cf, cmd, conf,
                                  ngx_atoi(value[1].data, value[1].len));
}


char *
ngx_cometa_size_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t  *value = cf->args->elts;

    return ngx_cometa_value_range(cf, cmd, conf, ngx_parse_size(&value[1]));
}


char *
ngx_cometa_msec_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t  *value = cf->args->elts;

    return ngx_cometa_value_range(cf, cmd, conf, ngx_parse_time(&value[1], 0));
}


char *
ngx_cometa_time_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char *p = conf;

    ngx_int_t    n;
    ngx_str_t   *value;
    ngx_msec_t  *first;

    first = (ngx_msec_t *) (p + cmd->offset);

    if (*first != NGX_CONF_UNSET_MSEC) {
        return "is duplicate";
    }

    value = cf->args->elts;
    n = ngx_parse_time(&value[1], 0);

    if (n == NGX_ERROR || n == 0 || n > NGX_COMETA_DAY) {
        return ngx_cometa_value_refuse(cf, &value[1],
                                       "a time of more than zero and at most "
                                       "1d");
    }

    *first = n;

    return (cf->args->nelts == 2)
           ? NGX_CONF_OK
           : ngx_cometa_value_second(cf, cmd, first, first + 1);
}


static char *
ngx_cometa_value_second(ngx_conf_t *cf, ngx_command_t *cmd, ngx_msec_t *first,
    ngx_msec_t *second)
{
    size_t      len;
    ngx_int_t   n;
    ngx_str_t  *value, s;

    value = cf->args->elts;
    len = ngx_strlen(cmd->post);

    if (value[2].len < len || ngx_strncmp(value[2].data, cmd->post, len) != 0)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\" in \"%V\" directive, "
                           "expected %stime",
                           &value[2], &value[0], cmd->post);
        return NGX_CONF_ERROR;
    }

    s.data = value[2].data + len;
    s.len = value[2].len - len;

    n = ngx_parse_time(&s, 0);

    if (n == NGX_ERROR || n > NGX_COMETA_DAY) {
        return ngx_cometa_value_refuse(cf, &value[2],
                                       "a time of at most 1d");
    }

    if ((ngx_msec_t) n < *first) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" in \"%V\" directive is less than \"%V\", "
                           "raise it", &value[2], &value[0], &value[1]);
        return NGX_CONF_ERROR;
    }

    *second = n;

    return NGX_CONF_OK;
}


char *
ngx_cometa_id_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char *p = conf;

    ngx_str_t                 *value;
    ngx_uint_t                 device;
    ngx_http_complex_value_t **id;

    id = (ngx_http_complex_value_t **) (p + cmd->offset);

    if (*id) {
        return "is duplicate";
    }

    value = cf->args->elts;
    device = (cmd->offset == offsetof(ngx_cometa_loc_conf_t, device));

    if (ngx_cometa_value_varies(&value[1])) {
        return ngx_cometa_value_set(cf, id);
    }

    if (device && (value[1].len == 0 || ngx_cometa_value_is(&value[1], "*"))) {
        return ngx_cometa_value_set(cf, id);
    }

    if (!ngx_cometa_http_id_valid(&value[1])
        || ngx_cometa_value_is(&value[1], "off"))
    {
        return ngx_cometa_value_refuse(cf, &value[1],
                                       "a variable, or 1 to 64 characters out "
                                       "of A-Z a-z 0-9 . _ ~ : @ + - that are "
                                       "not \"off\"");
    }

    return ngx_cometa_value_set(cf, id);
}


char *
ngx_cometa_name_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t              *value;
    ngx_cometa_loc_conf_t  *lcf = conf;

    if (lcf->app_name != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_cometa_value_is(&value[1], "off")) {
        lcf->app_name = NULL;
        return NGX_CONF_OK;
    }

    if (value[1].len == 0) {
        return ngx_cometa_value_refuse(cf, &value[1],
                                       "a name, or \"off\" for the id");
    }

    return ngx_cometa_value_set(cf, &lcf->app_name);
}


char *
ngx_cometa_key_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t              *value;
    ngx_cometa_loc_conf_t  *lcf = conf;

    if (lcf->websocket_key != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_cometa_value_is(&value[1], "off")) {
        lcf->websocket_key = NULL;
        return NGX_CONF_OK;
    }

    /* a key can be used only once, so it cannot be a constant */

    if (!ngx_cometa_value_varies(&value[1])) {
        return ngx_cometa_value_refuse(cf, &value[1],
                                       "a variable, such as $arg_key, or "
                                       "\"off\"");
    }

    return ngx_cometa_value_set(cf, &lcf->websocket_key);
}


/* A constant would be presented by every request. */

char *
ngx_cometa_variable_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char *p = conf;

    ngx_str_t                  *value;
    ngx_http_complex_value_t  **field;

    field = (ngx_http_complex_value_t **) (p + cmd->offset);

    if (*field != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_cometa_value_is(&value[1], "off")) {
        *field = NULL;
        return NGX_CONF_OK;
    }

    if (!ngx_cometa_value_varies(&value[1])) {
        return ngx_cometa_value_refuse(cf, &value[1], cmd->post);
    }

    return ngx_cometa_value_set(cf, field);
}


char *
ngx_cometa_devices_max_directive(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_int_t               n;
    ngx_str_t              *value;
    ngx_cometa_loc_conf_t  *lcf = conf;

    if (lcf->devices_max != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_cometa_value_is(&value[1], "off")) {
        lcf->devices_max = NULL;
        return NGX_CONF_OK;
    }

    n = ngx_atoi(value[1].data, value[1].len);

    if (!ngx_cometa_value_varies(&value[1]) && (n == NGX_ERROR || n == 0)) {
        return ngx_cometa_value_refuse(cf, &value[1],
                                       "a number of devices from 1, a "
                                       "variable, or \"off\"");
    }

    return ngx_cometa_value_set(cf, &lcf->devices_max);
}


char *
ngx_cometa_device_secret_directive(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_str_t              *value;
    ngx_cometa_loc_conf_t  *lcf = conf;

    if (lcf->device_secret != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_cometa_value_is(&value[1], "off")) {
        lcf->device_secret = NULL;
        return NGX_CONF_OK;
    }

    if (!ngx_cometa_value_presentable(&value[1])) {
        return ngx_cometa_value_refuse_secret(cf, &value[1]);
    }

    return ngx_cometa_value_set(cf, &lcf->device_secret);
}


char *
ngx_cometa_secret_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t              *value;
    ngx_cometa_loc_conf_t  *lcf = conf;

    if (lcf->guarded != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_cometa_value_is(&value[1], "off")) {
        lcf->guarded = 1;
        return NGX_CONF_OK;
    }

    if (!ngx_cometa_value_presentable(&value[1])) {
        return ngx_cometa_value_refuse_secret(cf, &value[1]);
    }

    lcf->guarded = 0;

    return ngx_cometa_value_set(cf, &lcf->secret);
}


static char *
ngx_cometa_value_refuse_secret(ngx_conf_t *cf, ngx_str_t *value)
{
    return ngx_cometa_value_refuse(cf, value,
                                   "a secret that a header can present, a "
                                   "variable, or \"off\"");
}


static char *
ngx_cometa_value_set(ngx_conf_t *cf, ngx_http_complex_value_t **value)
{
    ngx_str_t  *args;

    args = cf->args->elts;

    return (ngx_cometa_value_compile(cf, &args[1], value) == NGX_OK)
           ? NGX_CONF_OK : NGX_CONF_ERROR;
}


ngx_int_t
ngx_cometa_value_compile(ngx_conf_t *cf, ngx_str_t *text,
    ngx_http_complex_value_t **value)
{
    ngx_http_compile_complex_value_t  ccv;

    *value = ngx_palloc(cf->pool, sizeof(ngx_http_complex_value_t));
    if (*value == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = text;
    ccv.complex_value = *value;

    return ngx_http_compile_complex_value(&ccv);
}


static ngx_uint_t
ngx_cometa_value_is(ngx_str_t *value, const char *word)
{
    return value->len == ngx_strlen(word)
           && ngx_strncmp(value->data, word, value->len) == 0;
}


static ngx_uint_t
ngx_cometa_value_varies(ngx_str_t *value)
{
    return ngx_strlchr(value->data, value->data + value->len, '$') != NULL;
}


/*
 * Whether a header can present this secret: nginx drops a space at either end
 * of a header, and refuses a control character. "on" and "none" are not
 * secrets: whoever writes them has mistaken the syntax.
 */

static ngx_uint_t
ngx_cometa_value_presentable(ngx_str_t *value)
{
    size_t  i;

    if (value->len == 0
        || value->data[0] == ' '
        || value->data[value->len - 1] == ' '
        || ngx_cometa_value_is(value, "on")
        || ngx_cometa_value_is(value, "none"))
    {
        return 0;
    }

    for (i = 0; i < value->len; i++) {
        if (value->data[i] < ' ' || value->data[i] == 0x7f) {
            return 0;
        }
    }

    return 1;
}
