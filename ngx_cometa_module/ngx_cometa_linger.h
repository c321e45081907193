
/*
 * The end of a connection whose peer may still be sending. If it were closed
 * with bytes of the peer unread, the kernel would answer with a reset, which
 * overtakes what was written last. So the writing side is closed, and what
 * comes is thrown away until the peer closes, for a few seconds at most.
 *
 * In any worker; no lock. The connection belongs to this file from then on.
 */

#ifndef _NGX_COMETA_LINGER_H_INCLUDED_
#define _NGX_COMETA_LINGER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>


/*
 * Takes the connection, whose owner has written all that it has to say and does
 * not use it any more.
 */
void ngx_cometa_linger(ngx_connection_t *c);


#endif /* _NGX_COMETA_LINGER_H_INCLUDED_ */
