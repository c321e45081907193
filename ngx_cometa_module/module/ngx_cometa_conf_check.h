/*
 * What a location with a handler must have, and what it must not.
 */

#ifndef _NGX_COMETA_CONF_CHECK_H_INCLUDED_
#define _NGX_COMETA_CONF_CHECK_H_INCLUDED_


#include "ngx_cometa_loc.h"


/*
 * Each returns NGX_ERROR, after a message that names the mend, if the location
 * must not be as it is.
 */

/* Its handlers, among themselves and without a zone. */
ngx_int_t ngx_cometa_conf_check_handlers(ngx_conf_t *cf,
    ngx_cometa_loc_conf_t *conf);

/* Other directives that would answer in place of its handlers. */
ngx_int_t ngx_cometa_conf_check_location(ngx_conf_t *cf,
    ngx_cometa_loc_conf_t *conf);

/* What its handlers need, once the default values are known. */
ngx_int_t ngx_cometa_conf_check_values(ngx_conf_t *cf,
    ngx_cometa_loc_conf_t *conf);


#endif /* _NGX_COMETA_CONF_CHECK_H_INCLUDED_ */
