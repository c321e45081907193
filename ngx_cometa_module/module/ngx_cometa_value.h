/*
 * Values of directives: each setter refuses a value that can never be right,
 * and logs the directive, the value, and what is expected instead.
 */

#ifndef _NGX_COMETA_VALUE_H_INCLUDED_
#define _NGX_COMETA_VALUE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


#define NGX_COMETA_DAY  86400000        /* ms */


/* cmd->post of a number, size or time: its bounds, as numbers and in words. */

typedef struct {
    ngx_int_t    min;
    ngx_int_t    max;
    const char  *expected;
} ngx_cometa_range_t;


char *ngx_cometa_number_directive(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_cometa_size_directive(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_cometa_msec_directive(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* A time, and a second one that must not be shorter, named by cmd->post. */
char *ngx_cometa_time_directive(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/*
 * An interval in whole seconds, because devices are told, and its parameters:
 * in ngx_cometa_heartbeat_conf.c.
 */
char *ngx_cometa_heartbeat_directive(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* An id, which may contain variables; that of a device may be "*" or "". */
char *ngx_cometa_id_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/*
 * Values that may be "off". The result is NGX_CONF_UNSET_PTR if the directive
 * is not set, and NULL if it is "off".
 */
char *ngx_cometa_name_directive(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_cometa_key_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_cometa_devices_max_directive(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_cometa_device_secret_directive(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* The same for a value with variables only; cmd->post says what is expected. */
char *ngx_cometa_variable_directive(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* The same, but "off" means that other modules control access. */
char *ngx_cometa_secret_directive(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* Compiles a text that may contain variables. */
ngx_int_t ngx_cometa_value_compile(ngx_conf_t *cf, ngx_str_t *text,
    ngx_http_complex_value_t **value);


#endif /* _NGX_COMETA_VALUE_H_INCLUDED_ */
