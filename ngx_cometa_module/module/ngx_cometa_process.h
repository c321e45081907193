
/*
 * The life of a worker process: it takes a slot of the zone, reads its mail,
 * and leaves.
 */

#ifndef _NGX_COMETA_PROCESS_H_INCLUDED_
#define _NGX_COMETA_PROCESS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


ngx_int_t ngx_cometa_init_process(ngx_cycle_t *cycle);
void ngx_cometa_exit_process(ngx_cycle_t *cycle);


#endif /* _NGX_COMETA_PROCESS_H_INCLUDED_ */
