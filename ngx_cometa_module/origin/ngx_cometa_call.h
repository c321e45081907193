
/*
 * A call at its origin, the worker that holds the caller: finds the device,
 * keeps the deadline, and ends exactly once.
 */

#ifndef _NGX_COMETA_CALL_H_INCLUDED_
#define _NGX_COMETA_CALL_H_INCLUDED_


#include "ngx_cometa.h"
#include "ngx_cometa_mail.h"
#include "ngx_cometa_call_table.h"
#include "ngx_cometa_registry.h"


/* A call whose public part is all zero. NULL: no memory. */
ngx_cometa_call_t *ngx_cometa_call_create(void);

/* Starts the call. Its handler may be called before this returns. */
void ngx_cometa_call_begin(ngx_cometa_call_t *call);

/* The caller has gone: ends the call without calling its handler. */
void ngx_cometa_call_cancel(ngx_cometa_call_t *call);

/* Handlers of letters from the owner of a device. */
void ngx_cometa_call_reply(ngx_cometa_mail_reply_t *mail, u_char *data,
    size_t len);
void ngx_cometa_call_fail(ngx_cometa_mail_fail_t *mail);
void ngx_cometa_call_queued(ngx_cometa_mail_queued_t *mail);
void ngx_cometa_call_written(ngx_cometa_mail_written_t *mail);

/* A device has attached, on any worker: the calls that wait for it go on. */
void ngx_cometa_call_attached(ngx_cometa_key_t *key);

/*
 * Looks for its device and sends it there. The last thing that is done with
 * the call: it may have ended.
 */
void ngx_cometa_call_route(ngx_cometa_call_t *call);

/*
 * Where its device is. The application may have become known while the call
 * waited. NGX_DECLINED: nowhere.
 */
ngx_int_t ngx_cometa_call_find(ngx_cometa_call_t *call,
    ngx_cometa_place_t *place);


#endif /* _NGX_COMETA_CALL_H_INCLUDED_ */
