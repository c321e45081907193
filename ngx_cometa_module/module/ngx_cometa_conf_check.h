/*
 * What other directives of a location would make of its handlers.
 */

#ifndef _NGX_COMETA_CONF_CHECK_H_INCLUDED_
#define _NGX_COMETA_CONF_CHECK_H_INCLUDED_


#include "ngx_cometa_loc.h"


/* NGX_ERROR, and a message: the location must not have its handlers. */
ngx_int_t ngx_cometa_conf_check_location(ngx_conf_t *cf,
    ngx_cometa_loc_conf_t *conf);


#endif /* _NGX_COMETA_CONF_CHECK_H_INCLUDED_ */
