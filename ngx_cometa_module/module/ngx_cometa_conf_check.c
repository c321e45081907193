/*
 * Checks of a location with a handler. Also refused here is another directive
 * that would make the handler useless: another handler in its place, a "return"
 * before it, or a "cometa_device" that can name no device.
 */

#include "ngx_cometa_conf_check.h"
#include "ngx_cometa_handler.h"


static ngx_int_t ngx_cometa_conf_check_secret(ngx_conf_t *cf,
    ngx_cometa_loc_conf_t *conf);
static ngx_int_t ngx_cometa_conf_check_body(ngx_conf_t *cf,
    ngx_cometa_loc_conf_t *conf);
static ngx_int_t ngx_cometa_conf_check_ids(ngx_conf_t *cf,
    ngx_cometa_loc_conf_t *conf);
static ngx_uint_t ngx_cometa_conf_check_keyed(ngx_cometa_loc_conf_t *conf);
static ngx_uint_t ngx_cometa_conf_check_returns(ngx_conf_t *cf);
static size_t ngx_cometa_conf_check_code(u_char *ip);


ngx_int_t
ngx_cometa_conf_check_handlers(ngx_conf_t *cf, ngx_cometa_loc_conf_t *conf)
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
        return NGX_ERROR;
    }

    if ((conf->handlers & NGX_COMETA_ATTACH)
        && (conf->handlers & NGX_COMETA_SEND))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"cometa_attach\" and \"cometa_send\" both serve "
                           "POST: location \"%V\" can have one of them",
                           &clcf->name);
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_cometa_conf_check_location(ngx_conf_t *cf, ngx_cometa_loc_conf_t *conf)
{
    ngx_str_t                 *device;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler != ngx_cometa_handler) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "location \"%V\" has a cometa handler and another "
                           "one, such as \"proxy_pass\": only one of them can "
                           "answer", &clcf->name);
        return NGX_ERROR;
    }

    if (!clcf->noname && ngx_cometa_conf_check_returns(cf)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "location \"%V\" has a \"return\", so its cometa "
                           "handler is never reached: remove it, or put it in "
                           "an \"if\"", &clcf->name);
        return NGX_ERROR;
    }

    if ((conf->handlers & ~(NGX_COMETA_STATS|NGX_COMETA_DETACH)) == 0
        || conf->device == NULL
        || conf->device->lengths)
    {
        return NGX_OK;
    }

    /* a constant "*" or "" means something to these two only */

    device = &conf->device->value;

    if (device->len == 0 || device->data[0] == '*') {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"cometa_device\" of location \"%V\" is \"%V\", "
                           "which names no device: only \"cometa_stats\" "
                           "and \"cometa_detach\" can use that",
                           &clcf->name, device);
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_cometa_conf_check_values(ngx_conf_t *cf, ngx_cometa_loc_conf_t *conf)
{
    if (ngx_cometa_conf_check_secret(cf, conf) != NGX_OK
        || ngx_cometa_conf_check_body(cf, conf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_cometa_conf_check_ids(cf, conf);
}


static ngx_int_t
ngx_cometa_conf_check_secret(ngx_conf_t *cf, ngx_cometa_loc_conf_t *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if ((conf->handlers & ~NGX_COMETA_ATTACH)
        && !ngx_cometa_conf_check_keyed(conf)
        && conf->secret == NULL && !conf->guarded)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "location \"%V\" needs \"cometa_secret\": the "
                           "secret of the application, usually a variable "
                           "from a map, or \"off\" if another module controls "
                           "access", &clcf->name);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_cometa_conf_check_body(ngx_conf_t *cf, ngx_cometa_loc_conf_t *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (conf->max_given
        && clcf->client_max_body_size
        && (off_t) conf->max_message > clcf->client_max_body_size)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"cometa_max_message_size\" of location \"%V\" is "
                           "more than its \"client_max_body_size\", lower "
                           "the one or raise the other", &clcf->name);
        return NGX_ERROR;
    }

    if ((conf->handlers & NGX_COMETA_ATTACH)
        && clcf->chunked_transfer_encoding == 0)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"cometa_attach\" needs "
                           "\"chunked_transfer_encoding on\" in location "
                           "\"%V\"", &clcf->name);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_cometa_conf_check_ids(ngx_conf_t *cf, ngx_cometa_loc_conf_t *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (conf->application == NULL
        && !conf->prometheus
        && !ngx_cometa_conf_check_keyed(conf))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "location \"%V\" needs \"cometa_application\", or "
                           "a regular expression with (?<app>...)",
                           &clcf->name);
        return NGX_ERROR;
    }

    if ((conf->handlers & ~(NGX_COMETA_STATS|NGX_COMETA_DETACH))
        && conf->device == NULL)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "location \"%V\" needs \"cometa_device\", or a "
                           "regular expression with (?<device>...)",
                           &clcf->name);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* To open a WebSocket its key is enough, because it names the application. */

static ngx_uint_t
ngx_cometa_conf_check_keyed(ngx_cometa_loc_conf_t *conf)
{
    return conf->handlers == NGX_COMETA_WEBSOCKET && conf->websocket_key;
}


/*
 * Whether the location has a "return" outside of any "if". Its codes are looked
 * at up to the first one that is not known here. The configuration of the
 * rewrite module is private to it, but begins with the array of codes in every
 * version.
 */

static ngx_uint_t
ngx_cometa_conf_check_returns(ngx_conf_t *cf)
{
    size_t                      size;
    u_char                     *ip, *last;
    ngx_uint_t                  i;
    ngx_array_t                *codes;
    ngx_module_t              **modules;
    ngx_http_conf_ctx_t        *ctx;

    ctx = cf->ctx;
    modules = cf->cycle->modules;

    for (i = 0; modules[i]; i++) {
        if (ngx_strcmp(modules[i]->name, "ngx_http_rewrite_module") == 0) {
            break;
        }
    }

    if (modules[i] == NULL) {
        return 0;
    }

    codes = *(ngx_array_t **) ctx->loc_conf[modules[i]->ctx_index];

    if (codes == NULL) {
        return 0;
    }

    ip = codes->elts;
    last = ip + codes->nelts;

    while (last - ip >= (ssize_t) sizeof(uintptr_t)) {

        if (*(ngx_http_script_code_pt *) ip == ngx_http_script_return_code) {
            return 1;
        }

        size = ngx_cometa_conf_check_code(ip);

        if (size == 0) {
            return 0;
        }

        ip += size;
    }

    return 0;
}


/*
 * The size of a code, including all that stands in its "if". 0: no code after
 * it is reached, or its layout differs between versions, as that of a value
 * with variables does; then the location is not checked further.
 */

static size_t
ngx_cometa_conf_check_code(u_char *ip)
{
    ngx_http_script_code_pt  code;

    code = *(ngx_http_script_code_pt *) ip;

    if (code == ngx_http_script_if_code) {
        return ((ngx_http_script_if_code_t *) ip)->next;
    }

    if (code == ngx_http_script_value_code) {
        return sizeof(ngx_http_script_value_code_t);
    }

    if (code == ngx_http_script_var_code
        || code == ngx_http_script_set_var_code)
    {
        return sizeof(ngx_http_script_var_code_t);
    }

    if (code == ngx_http_script_var_set_handler_code) {
        return sizeof(ngx_http_script_var_handler_code_t);
    }

    if (code == ngx_http_script_file_code) {
        return sizeof(ngx_http_script_file_code_t);
    }

    if (code == ngx_http_script_equal_code
        || code == ngx_http_script_not_equal_code)
    {
        return sizeof(uintptr_t);
    }

#if (NGX_PCRE)

    if (code == ngx_http_script_regex_start_code
        && ((ngx_http_script_regex_code_t *) ip)->test)
    {
        return sizeof(ngx_http_script_regex_code_t);
    }

#endif

    return 0;
}
