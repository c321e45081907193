
/*
 * What happened to a device, as WebSockets are told of it, and how it stands in
 * a letter:
 *
 *     +-------+------+-------+------+------+
 *     | texts | name | extra | word | data |
 *     +-------+------+-------+------+------+
 *               .name  .extra  .word         bytes
 */

#ifndef _NGX_COMETA_NOTICE_H_INCLUDED_
#define _NGX_COMETA_NOTICE_H_INCLUDED_


#include "ngx_cometa.h"


#define NGX_COMETA_EXTRA_MAX  NGX_SOCKADDR_STRLEN
#define NGX_COMETA_WORD_MAX   32

#define NGX_COMETA_TEXTS_MAX  (NGX_COMETA_ID_MAX + NGX_COMETA_EXTRA_MAX       \
                               + NGX_COMETA_WORD_MAX)


/*
 * An info is the data of an attach. The texts belong to whoever tells it, and
 * live as long as that lasts.
 */

typedef struct {
    ngx_uint_t              kind;       /* NGX_COMETA_EVENT_... */
    uint32_t                sequence;   /* in the session; 0: none */
    uint64_t                time;       /* ms since 1970 */
    ngx_str_t               device;
    ngx_str_t               extra;      /* of an attach, the address; of a
                                           reply, the call */
    ngx_str_t               word;       /* the reason; or the error of a reply
                                           that did not come */
    ngx_str_t               data;
} ngx_cometa_notice_t;


typedef struct {
    uint64_t                time;
    uint32_t                sequence;
    uint8_t                 kind;
    uint8_t                 name;       /* bytes of each text */
    uint8_t                 extra;
    uint8_t                 word;
} ngx_cometa_texts_t;


/*
 * Writes all but the data: what is longer than it may be is cut. Returns the
 * bytes behind *texts, at most NGX_COMETA_TEXTS_MAX.
 */
size_t ngx_cometa_notice_pack(ngx_cometa_notice_t *notice,
    ngx_cometa_texts_t *texts);

/* From what stands behind *texts. NGX_ERROR: it is too short. */
ngx_int_t ngx_cometa_notice_unpack(ngx_cometa_notice_t *notice,
    ngx_cometa_texts_t *texts, u_char *body, size_t len);


#endif /* _NGX_COMETA_NOTICE_H_INCLUDED_ */
