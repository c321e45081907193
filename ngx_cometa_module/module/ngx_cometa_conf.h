
/*
 * The configuration: the functions of the directives, what locations inherit,
 * and which directives may stand together.
 */

#ifndef _NGX_COMETA_CONF_H_INCLUDED_
#define _NGX_COMETA_CONF_H_INCLUDED_


#include "ngx_cometa_loc.h"
#include "ngx_cometa_webhook_types.h"


/* For the module's context and its commands. */

void *ngx_cometa_create_main_conf(ngx_conf_t *cf);
char *ngx_cometa_init_main_conf(ngx_conf_t *cf, void *conf);
void *ngx_cometa_create_loc_conf(ngx_conf_t *cf);
char *ngx_cometa_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child);
char *ngx_cometa_zone_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_cometa_handler_directive(ngx_conf_t *cf, ngx_command_t *cmd, void
    *conf);
char *ngx_cometa_takeover_directive(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_cometa_webhook_directive(ngx_conf_t *cf, ngx_command_t *cmd, void
    *conf);
char *ngx_cometa_drain_directive(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* Sets the webhook of a location; all locations must be known by then. */
ngx_int_t ngx_cometa_webhook_init(ngx_conf_t *cf, ngx_cometa_loc_conf_t *conf);
ngx_int_t ngx_cometa_webhook_postconfiguration(ngx_conf_t *cf);
ngx_int_t ngx_cometa_webhook_check(ngx_conf_t *cf,
    ngx_cometa_webhook_conf_t *webhook);


#endif /* _NGX_COMETA_CONF_H_INCLUDED_ */
