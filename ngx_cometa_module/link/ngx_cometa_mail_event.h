
/*
 * What the files of letters share: the debug lines of all, and the letter that
 * has texts in front of its body.
 */

#ifndef _NGX_COMETA_MAIL_EVENT_H_INCLUDED_
#define _NGX_COMETA_MAIL_EVENT_H_INCLUDED_


#include "ngx_cometa_mail.h"


#if (NGX_DEBUG)

void ngx_cometa_mail_log(const char *what, uint32_t slot,
    ngx_cometa_mail_head_t *head, size_t len);

#define ngx_cometa_mail_trace(what, slot, mail, len)                          \
    if (((ngx_cometa_mail_head_t *) mail)->debug                              \
        || (ngx_cycle->log->log_level & NGX_LOG_DEBUG_HTTP))                  \
    {                                                                         \
        ngx_cometa_mail_log(what, slot, mail, len);                           \
    }

#else
#define ngx_cometa_mail_trace(what, slot, mail, len)
#endif


/* Calls the handler of an EVENT, unless its texts are longer than it is. */
void ngx_cometa_mail_event_read(ngx_cometa_mail_event_t *mail, u_char *body,
    size_t len);


#endif /* _NGX_COMETA_MAIL_EVENT_H_INCLUDED_ */
