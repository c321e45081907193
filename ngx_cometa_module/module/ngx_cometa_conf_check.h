/*
 * What a location with a handler must have, and what it must not have.
 */

#ifndef _NGX_COMETA_CONF_CHECK_H_INCLUDED_
#define _NGX_COMETA_CONF_CHECK_H_INCLUDED_


#include "ngx_cometa_loc.h"


/*
 * If the location is not allowed, each logs a message that says what to change,
 * and returns NGX_ERROR.
 */

/* Whether its handlers go together, and whether there is a zone. */
ngx_int_t ngx_cometa_conf_check_handlers(ngx_conf_t *cf,
    ngx_cometa_loc_conf_t *conf);

/* Whether another directive would answer in place of its handlers. */
ngx_int_t ngx_cometa_conf_check_location(ngx_conf_t *cf,
    ngx_cometa_loc_conf_t *conf);

/* Whether its handlers have what they need, once defaults are set. */
ngx_int_t ngx_cometa_conf_check_values(ngx_conf_t *cf,
    ngx_cometa_loc_conf_t *conf);


#endif /* _NGX_COMETA_CONF_CHECK_H_INCLUDED_ */
