
/*
 * JSON for WebSockets. State of this process: a buffer for each kind of text,
 * for the end of one call may be told while an event is.
 */

#include "ngx_cometa_ws_text.h"
#include "ngx_cometa_notice.h"
#include "cometa_base64.h"
#include "cometa_json.h"
#include "cometa_utf8.h"


/* All that is no text of others: names of members, numbers, quotes. */
#define NGX_COMETA_WS_TEXT_FRAME  512


static u_char *ngx_cometa_ws_text_member(u_char *p, const char *name,
    ngx_str_t *value);
static u_char *ngx_cometa_ws_text_data(u_char *p, const char *name,
    ngx_str_t *data);
static u_char *ngx_cometa_ws_text_time(u_char *p, uint64_t ms);
static u_char *ngx_cometa_ws_text_buffer(ngx_str_t *buffer, size_t len);


static ngx_str_t  ngx_cometa_ws_text_events;
static ngx_str_t  ngx_cometa_ws_text_ends;


ngx_int_t
ngx_cometa_ws_text_event(ngx_cometa_mail_event_t *mail, ngx_str_t *device,
    ngx_cometa_notice_t *notice, ngx_str_t *text)
{
    u_char  *p;

    p = ngx_cometa_ws_text_buffer(&ngx_cometa_ws_text_events,
                                  device->len + notice->extra.len
                                  + notice->word.len + notice->data.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    text->data = p;

    p = ngx_sprintf(p, "{\"event\":\"%s\"",
                    (notice->kind == NGX_COMETA_EVENT_DATA) ? "data"
                    : (notice->kind == NGX_COMETA_EVENT_ATTACH) ? "attach"
                    : (notice->kind == NGX_COMETA_EVENT_DETACH) ? "detach"
                    : "reply");

    if (notice->kind == NGX_COMETA_EVENT_REPLY) {
        p = ngx_cometa_ws_text_member(p, "call", &notice->extra);
    }

    p = ngx_cometa_ws_text_member(p, "device", device);

    if (mail->head.session) {
        p = ngx_sprintf(p, ",\"session\":\"%uL\"", mail->head.session);
    }

    if (notice->sequence) {
        p = ngx_sprintf(p, ",\"seq\":%uD", notice->sequence);
    }

    p = ngx_cometa_ws_text_time(p, notice->time);

    switch (notice->kind) {

    case NGX_COMETA_EVENT_DATA:
        p = ngx_cometa_ws_text_data(p, "data", &notice->data);
        break;

    case NGX_COMETA_EVENT_ATTACH:
        p = ngx_cometa_ws_text_member(p, "reason", &notice->word);
        p = ngx_cometa_ws_text_member(p, "address", &notice->extra);
        p = ngx_cometa_ws_text_member(p, "info", &notice->data);
        break;

    case NGX_COMETA_EVENT_DETACH:
        p = ngx_cometa_ws_text_member(p, "reason", &notice->word);
        break;

    default: /* NGX_COMETA_EVENT_REPLY */
        p = notice->word.len
            ? ngx_cometa_ws_text_member(p, "error", &notice->word)
            : ngx_cometa_ws_text_data(p, "reply", &notice->data);
    }

    *p++ = '}';

    text->len = p - text->data;

    return NGX_OK;
}


ngx_int_t
ngx_cometa_ws_text_end(ngx_cometa_ws_end_t *end, ngx_str_t *text)
{
    u_char     *p;
    ngx_str_t   detail;

    p = ngx_cometa_ws_text_buffer(&ngx_cometa_ws_text_ends,
                                  end->call.len + end->device.len
                                  + end->reply.len
                                  + (end->detail ? ngx_strlen(end->detail)
                                                 : 0));
    if (p == NULL) {
        return NGX_ERROR;
    }

    text->data = p;

    if (end->number) {
        p = ngx_sprintf(p, ",\"call\":%V", &end->call);

    } else if (end->call.len) {
        p = ngx_cometa_ws_text_member(p, "call", &end->call);
    }

    if (end->device.len) {
        p = ngx_cometa_ws_text_member(p, "device", &end->device);
    }

    if (end->session) {
        p = ngx_sprintf(p, ",\"session\":\"%uL\"", end->session);
    }

    p = end->error ? ngx_cometa_ws_text_member(p, "error", end->error)
                   : ngx_cometa_ws_text_data(p, "reply", &end->reply);

    if (end->detail) {
        detail.data = (u_char *) end->detail;
        detail.len = ngx_strlen(end->detail);
        p = ngx_cometa_ws_text_member(p, "detail", &detail);
    }

    *p++ = '}';

    /* each member has a comma in front */

    *text->data = '{';
    text->len = p - text->data;

    return NGX_OK;
}


static u_char *
ngx_cometa_ws_text_member(u_char *p, const char *name, ngx_str_t *value)
{
    p = ngx_sprintf(p, ",\"%s\":\"", name);
    p = cometa_json_escape(p, value->data, value->len);
    *p++ = '"';

    return p;
}


/* What is no text goes in base64, under another name. */

static u_char *
ngx_cometa_ws_text_data(u_char *p, const char *name, ngx_str_t *data)
{
    if (cometa_utf8_valid(data->data, data->len)) {
        return ngx_cometa_ws_text_member(p, name, data);
    }

    p = ngx_sprintf(p, ",\"base64\":\"");
    p = cometa_base64_encode(p, data->data, data->len);
    *p++ = '"';

    return p;
}


static u_char *
ngx_cometa_ws_text_time(u_char *p, uint64_t ms)
{
    ngx_tm_t  tm;

    ngx_gmtime(ms / 1000, &tm);

    return ngx_sprintf(p, ",\"time\":\"%4d-%02d-%02dT%02d:%02d:%02d.%03dZ\"",
                       tm.ngx_tm_year, tm.ngx_tm_mon, tm.ngx_tm_mday,
                       tm.ngx_tm_hour, tm.ngx_tm_min, tm.ngx_tm_sec,
                       (int) (ms % 1000));
}


/* Room for a text with so many bytes of others in it. */

static u_char *
ngx_cometa_ws_text_buffer(ngx_str_t *buffer, size_t len)
{
    len = NGX_COMETA_WS_TEXT_FRAME + COMETA_JSON_ESCAPE * len;

    if (buffer->len < len) {

        if (buffer->data) {
            ngx_free(buffer->data);
        }

        buffer->len = 0;
        buffer->data = ngx_alloc(len, ngx_cycle->log);

        if (buffer->data == NULL) {
            return NULL;
        }

        buffer->len = len;
    }

    return buffer->data;
}
