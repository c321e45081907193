
/*
 * How a notice is written into a letter, and found again. No state.
 */

#include "ngx_cometa_notice.h"
#include "ngx_cometa.h"


static u_char *ngx_cometa_notice_text(u_char *p, ngx_str_t *text, size_t len);


size_t
ngx_cometa_notice_pack(ngx_cometa_notice_t *notice, ngx_cometa_texts_t *texts)
{
    u_char  *p;

    texts->time = notice->time;
    texts->sequence = notice->sequence;
    texts->kind = notice->kind;
    texts->name = ngx_min(notice->device.len, NGX_COMETA_ID_MAX);
    texts->extra = ngx_min(notice->extra.len, NGX_COMETA_EXTRA_MAX);
    texts->word = ngx_min(notice->word.len, NGX_COMETA_WORD_MAX);

    p = (u_char *) (texts + 1);
    p = ngx_cometa_notice_text(p, &notice->device, texts->name);
    p = ngx_cometa_notice_text(p, &notice->extra, texts->extra);
    p = ngx_cometa_notice_text(p, &notice->word, texts->word);

    return p - (u_char *) (texts + 1);
}


/* What an event does not have is NULL, which memcpy() must not get. */

static u_char *
ngx_cometa_notice_text(u_char *p, ngx_str_t *text, size_t len)
{
    return len ? ngx_cpymem(p, text->data, len) : p;
}


ngx_int_t
ngx_cometa_notice_unpack(ngx_cometa_notice_t *notice,
    ngx_cometa_texts_t *texts, u_char *body, size_t len)
{
    if ((size_t) texts->name + texts->extra + texts->word > len) {
        return NGX_ERROR;
    }

    notice->time = texts->time;
    notice->sequence = texts->sequence;
    notice->kind = texts->kind;

    notice->device.data = body;
    notice->device.len = texts->name;

    notice->extra.data = notice->device.data + texts->name;
    notice->extra.len = texts->extra;

    notice->word.data = notice->extra.data + texts->extra;
    notice->word.len = texts->word;

    notice->data.data = notice->word.data + texts->word;
    notice->data.len = body + len - notice->data.data;

    return NGX_OK;
}
