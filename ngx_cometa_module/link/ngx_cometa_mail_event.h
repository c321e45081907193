
/*
 * The letter EVENT, which has texts in front of its body.
 */

#ifndef _NGX_COMETA_MAIL_EVENT_H_INCLUDED_
#define _NGX_COMETA_MAIL_EVENT_H_INCLUDED_


#include "ngx_cometa_mail.h"


typedef void (*ngx_cometa_mail_event_pt)(ngx_cometa_mail_event_t *mail,
    ngx_cometa_notice_t *notice);

/*
 * To all workers that are interested in the device or in its application, this
 * one included; see ngx_cometa_interest.h.
 */
void ngx_cometa_mail_event(uint64_t hash, ngx_cometa_mail_head_t *from,
    ngx_cometa_notice_t *notice);

/* Who is told of events; set before the mailbox is opened. */
extern ngx_cometa_mail_event_pt  ngx_cometa_mail_event_handler;

/* The handler of the letter: ignores it if its texts are longer than it is. */
void ngx_cometa_mail_event_read(ngx_cometa_mail_event_t *mail, u_char *body,
    size_t len);


#endif /* _NGX_COMETA_MAIL_EVENT_H_INCLUDED_ */
