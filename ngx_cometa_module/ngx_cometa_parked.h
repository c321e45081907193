
/*
 * What the files below and beside tls/ have to tell it: that a connection ends,
 * and that one over TLS is idle. Nothing is set in a process that parks none.
 */

#ifndef _NGX_COMETA_PARKED_H_INCLUDED_
#define _NGX_COMETA_PARKED_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>


typedef struct {

    /*
     * The connection is about to be closed: a parked one says so to its peer,
     * unless `quiet` is set, and its keys are wiped.
     */
    void  (*close)(ngx_connection_t *c, ngx_uint_t quiet);

    /* All that has come on a connection with an SSL object was read. */
    void  (*idle)(ngx_connection_t *c);

} ngx_cometa_parked_t;


extern ngx_cometa_parked_t  ngx_cometa_parked;


#endif /* _NGX_COMETA_PARKED_H_INCLUDED_ */
