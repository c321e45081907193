
/*
 * The end of many devices of an application, those whose ids begin in one way:
 * first they are counted, then they are ended at the rate of cometa_drain. A
 * device that attaches later than that is not meant.
 */

#ifndef _NGX_COMETA_KICK_H_INCLUDED_
#define _NGX_COMETA_KICK_H_INCLUDED_


#include "ngx_cometa.h"


typedef struct ngx_cometa_kick_s  ngx_cometa_kick_t;


/* At the start of a worker. */
void ngx_cometa_kick_init(ngx_cycle_t *cycle);

/*
 * The names are copied; an empty prefix means all devices. NULL: no memory, or
 * this worker or this application has too many of them under way.
 */
ngx_cometa_kick_t *ngx_cometa_kick_create(ngx_str_t *app, ngx_str_t *prefix);

/* Counts on, a part of the devices. NGX_OK: *total is what they are. */
ngx_int_t ngx_cometa_kick_count(ngx_cometa_kick_t *kick, ngx_uint_t *total);

/* Begins with the end of those that were counted, and frees it at last. */
void ngx_cometa_kick_start(ngx_cometa_kick_t *kick);

/* Frees one that was not started. */
void ngx_cometa_kick_free(ngx_cometa_kick_t *kick);


#endif /* _NGX_COMETA_KICK_H_INCLUDED_ */
