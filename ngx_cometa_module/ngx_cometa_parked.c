
/*
 * State: the functions of tls/ that this process has, see ngx_cometa_parked.h.
 */

#include "ngx_cometa_parked.h"


ngx_cometa_parked_t  ngx_cometa_parked;
