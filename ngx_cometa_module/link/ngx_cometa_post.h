
/*
 * What a mailbox has to know of a letter: its bytes, in two parts, and its
 * class and application, which decide how much room it may take.
 */

#ifndef _NGX_COMETA_POST_H_INCLUDED_
#define _NGX_COMETA_POST_H_INCLUDED_


#include "ngx_cometa.h"


#define NGX_COMETA_LETTER_MIN  16       /* bytes, of the first part */


/*
 * Events may be dropped if their addressee does not keep up. Something waits
 * for an answer: a call, a device or a WebSocket. A reply is an answer that
 * must not overtake the events of its application.
 */

typedef enum {
    NGX_COMETA_CLASS_EVENT = 0,
    NGX_COMETA_CLASS_ANSWER,
    NGX_COMETA_CLASS_REPLY
} ngx_cometa_class_e;


/* In which room letters wait, and how they are counted. */

typedef enum {
    NGX_COMETA_EVENTS = 0,
    NGX_COMETA_ANSWERS,
    NGX_COMETA_KINDS
} ngx_cometa_kind_e;


typedef struct {
    ngx_cometa_class_e  class;
    uint32_t            app;            /* of the device; or none */
    void               *head;
    size_t              head_len;
    void               *body;
    size_t              body_len;
} ngx_cometa_post_t;


static ngx_inline ngx_cometa_kind_e
ngx_cometa_post_kind(ngx_cometa_class_e class)
{
    return (class == NGX_COMETA_CLASS_EVENT) ? NGX_COMETA_EVENTS
                                             : NGX_COMETA_ANSWERS;
}


#endif /* _NGX_COMETA_POST_H_INCLUDED_ */
