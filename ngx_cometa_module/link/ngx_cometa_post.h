
/*
 * What a mailbox has to know of a letter: its bytes, in two parts, and what
 * decides about its room.
 */

#ifndef _NGX_COMETA_POST_H_INCLUDED_
#define _NGX_COMETA_POST_H_INCLUDED_


#include "ngx_cometa.h"


#define NGX_COMETA_LETTER_MIN  16       /* bytes, of the first part */


/*
 * Events may be dropped when their addressee does not keep up. An answer has
 * a call, a device or a WebSocket that waits for it. A reply is an answer that
 * does not overtake the events of its application.
 */

typedef enum {
    NGX_COMETA_CLASS_EVENT = 0,
    NGX_COMETA_CLASS_ANSWER,
    NGX_COMETA_CLASS_REPLY
} ngx_cometa_class_e;


/* Where they wait, and how they are counted. */

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
