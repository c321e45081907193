
/*
 * What is said to WebSockets that speak JSON: events, and the ends of calls. A
 * text is valid until the next one of its kind is made.
 */

#ifndef _NGX_COMETA_WS_TEXT_H_INCLUDED_
#define _NGX_COMETA_WS_TEXT_H_INCLUDED_


#include "ngx_cometa.h"
#include "ngx_cometa_mail.h"
#include "ngx_cometa_notice.h"


/* An event of this device. NGX_ERROR: no memory. */
ngx_int_t ngx_cometa_ws_text_event(ngx_cometa_mail_event_t *mail,
    ngx_str_t *device, ngx_cometa_notice_t *notice, ngx_str_t *text);


/*
 * The end of a call: a reply, or the word of an error, perhaps with what to
 * mend. Its name is written as it was read; what is not known is empty, or 0.
 */

typedef struct {
    ngx_str_t    call;
    ngx_uint_t   number;        /* the name is one, not a string */
    ngx_str_t    device;
    uint64_t     session;
    ngx_str_t   *error;         /* or NULL */
    const char  *detail;        /* or NULL */
    ngx_str_t    reply;
} ngx_cometa_ws_end_t;

ngx_int_t ngx_cometa_ws_text_end(ngx_cometa_ws_end_t *end, ngx_str_t *text);


#endif /* _NGX_COMETA_WS_TEXT_H_INCLUDED_ */
