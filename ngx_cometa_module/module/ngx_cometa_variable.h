
/*
 * The variables of a request, for logs and headers.
 */

#ifndef _NGX_COMETA_VARIABLE_H_INCLUDED_
#define _NGX_COMETA_VARIABLE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* To be called before the configuration is read. */
ngx_int_t ngx_cometa_variable_init(ngx_conf_t *cf);


#endif /* _NGX_COMETA_VARIABLE_H_INCLUDED_ */
