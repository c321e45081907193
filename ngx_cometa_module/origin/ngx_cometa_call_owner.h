
/*
 * Calls at other workers, when those go: with the device of a call that was
 * written to a worker that is alive, or by their death.
 */

#ifndef _NGX_COMETA_CALL_OWNER_H_INCLUDED_
#define _NGX_COMETA_CALL_OWNER_H_INCLUDED_


#include "ngx_cometa_mail.h"


/* At the start of a worker. */
ngx_int_t ngx_cometa_call_start(ngx_cycle_t *cycle);

/* Mail from the old owner of a device: it has gone with the written call. */
void ngx_cometa_call_follow(ngx_cometa_mail_follow_t *mail);

/* Workers have died: calls written to their devices are lost. */
void ngx_cometa_call_deaths(void);


#endif /* _NGX_COMETA_CALL_OWNER_H_INCLUDED_ */
