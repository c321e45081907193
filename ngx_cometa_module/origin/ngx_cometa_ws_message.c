
/*
 * Reads a message in JSON. What a client has written wrong is answered with
 * what to mend, so a member that nobody knows, or that stands there twice, is
 * an error, too. No state.
 */

#include "ngx_cometa_ws_message.h"
#include "ngx_cometa_ws_group.h"
#include "cometa_base64.h"
#include "cometa_id.h"
#include "cometa_json.h"


#define NGX_COMETA_MESSAGE_CALL_MAX  64     /* bytes of the name of a call */


/* Which members were there. */

#define NGX_COMETA_MEMBER_CALL     0x01
#define NGX_COMETA_MEMBER_DEVICE   0x02
#define NGX_COMETA_MEMBER_MESSAGE  0x04
#define NGX_COMETA_MEMBER_BASE64   0x08
#define NGX_COMETA_MEMBER_TIMEOUT  0x10
#define NGX_COMETA_MEMBER_WAIT     0x20

typedef struct {
    ngx_str_t    name;
    ngx_uint_t   bit;
    ngx_uint_t   types;         /* bits of cometa_json_type_e */
    const char  *expected;
} ngx_cometa_member_t;


static const char *ngx_cometa_ws_message_members(ngx_cometa_ws_t *s,
    cometa_json_t *json, ngx_cometa_ws_message_t *m);
static const char *ngx_cometa_ws_message_member(ngx_cometa_ws_t *s,
    cometa_json_member_t *member, ngx_uint_t *seen,
    ngx_cometa_ws_message_t *m);
static const char *ngx_cometa_ws_message_value(ngx_cometa_ws_t *s,
    ngx_uint_t bit, cometa_json_member_t *member, ngx_cometa_ws_message_t *m);
static const char *ngx_cometa_ws_message_time(cometa_json_member_t *member,
    ngx_msec_t max, ngx_msec_t *time);
static const char *ngx_cometa_ws_message_check(ngx_cometa_ws_t *s,
    ngx_uint_t seen, ngx_cometa_ws_message_t *m);


#define NGX_COMETA_STRING  (1 << COMETA_JSON_STRING)
#define NGX_COMETA_NUMBER  (1 << COMETA_JSON_NUMBER)

static const ngx_cometa_member_t  ngx_cometa_members[] = {

    { ngx_string("call"), NGX_COMETA_MEMBER_CALL,
      NGX_COMETA_STRING|NGX_COMETA_NUMBER,
      "\"call\" is a string or a number of 1 to 64 bytes, which names the call"
      },

    { ngx_string("device"), NGX_COMETA_MEMBER_DEVICE, NGX_COMETA_STRING,
      "\"device\" is a string, the id of a device" },

    { ngx_string("message"), NGX_COMETA_MEMBER_MESSAGE, NGX_COMETA_STRING,
      "\"message\" is a string" },

    { ngx_string("base64"), NGX_COMETA_MEMBER_BASE64, NGX_COMETA_STRING,
      "\"base64\" is a string" },

    { ngx_string("timeout"), NGX_COMETA_MEMBER_TIMEOUT, NGX_COMETA_NUMBER,
      "\"timeout\" is a number of seconds, such as 5 or 0.5" },

    { ngx_string("wait"), NGX_COMETA_MEMBER_WAIT, NGX_COMETA_NUMBER,
      "\"wait\" is a number of seconds, such as 5 or 0.5" },

    { ngx_null_string, 0, 0, NULL }
};


void
ngx_cometa_ws_message_read(ngx_cometa_ws_t *s, u_char *data, size_t len,
    ngx_cometa_ws_message_t *m)
{
    cometa_json_t  json;

    ngx_memzero(m, sizeof(ngx_cometa_ws_message_t));

    m->timeout = s->conf->send_timeout;
    m->wait = s->conf->send_wait;

    cometa_json_init(&json, data, len);

    m->detail = ngx_cometa_ws_message_members(s, &json, m);

    if (m->detail) {
        m->error = NGX_COMETA_BAD_REQUEST;
        return;
    }

    if (!cometa_id_valid(m->device.data, m->device.len)) {
        m->error = NGX_COMETA_INVALID_DEVICE;
        ngx_str_null(&m->device);
        return;
    }

    if (m->message.len == 0) {
        m->error = NGX_COMETA_EMPTY_MESSAGE;

    } else if (m->message.len > s->conf->max_message) {
        m->error = NGX_COMETA_MESSAGE_TOO_LARGE;

    } else if (m->timeout == 0) {
        m->error = NGX_COMETA_DEVICE_TIMEOUT;
    }
}


/* Returns what is wrong, or NULL. */

static const char *
ngx_cometa_ws_message_members(ngx_cometa_ws_t *s, cometa_json_t *json,
    ngx_cometa_ws_message_t *m)
{
    int                    rc;
    ngx_uint_t             seen;
    const char            *wrong;
    cometa_json_member_t   member;

    seen = 0;

    while ((rc = cometa_json_next(json, &member)) == COMETA_JSON_MEMBER) {

        wrong = ngx_cometa_ws_message_member(s, &member, &seen, m);

        if (wrong) {
            return wrong;
        }
    }

    return (rc == COMETA_JSON_END) ? ngx_cometa_ws_message_check(s, seen, m)
                                   : cometa_json_error(rc);
}


static const char *
ngx_cometa_ws_message_member(ngx_cometa_ws_t *s, cometa_json_member_t *member,
    ngx_uint_t *seen, ngx_cometa_ws_message_t *m)
{
    const ngx_cometa_member_t  *known;

    for (known = ngx_cometa_members; known->bit; known++) {
        if (known->name.len == member->name_len
            && ngx_memcmp(known->name.data, member->name, member->name_len)
               == 0)
        {
            break;
        }
    }

    if (known->bit == 0) {
        return "there is a member of another name than call, device, message, "
               "base64, timeout and wait";
    }

    if (*seen & known->bit) {
        return "a member stands there twice";
    }

    if (!(known->types & (1 << member->type))) {
        return known->expected;
    }

    *seen |= known->bit;

    return ngx_cometa_ws_message_value(s, known->bit, member, m);
}


static const char *
ngx_cometa_ws_message_value(ngx_cometa_ws_t *s, ngx_uint_t bit,
    cometa_json_member_t *member, ngx_cometa_ws_message_t *m)
{
    switch (bit) {

    case NGX_COMETA_MEMBER_CALL:

        if (member->len == 0 || member->len > NGX_COMETA_MESSAGE_CALL_MAX) {
            return ngx_cometa_members[0].expected;
        }

        m->call.data = member->value;
        m->call.len = member->len;
        m->number = (member->type == COMETA_JSON_NUMBER);
        break;

    case NGX_COMETA_MEMBER_DEVICE:
        m->device.data = member->value;
        m->device.len = member->len;
        break;

    case NGX_COMETA_MEMBER_TIMEOUT:
        return ngx_cometa_ws_message_time(member, s->conf->send_timeout_max,
                                          &m->timeout);

    case NGX_COMETA_MEMBER_WAIT:
        return ngx_cometa_ws_message_time(member, s->conf->send_timeout_max,
                                          &m->wait);

    default: /* NGX_COMETA_MEMBER_MESSAGE, NGX_COMETA_MEMBER_BASE64 */

        if (m->message.data) {
            return "\"message\" and \"base64\" exclude each other";
        }

        if (bit == NGX_COMETA_MEMBER_BASE64
            && cometa_base64_decode(member->value, &member->len) != 0)
        {
            return "\"base64\" is not base64, with A-Z a-z 0-9 + / and =";
        }

        m->message.data = member->value;
        m->message.len = member->len;
    }

    return NULL;
}


static const char *
ngx_cometa_ws_message_time(cometa_json_member_t *member, ngx_msec_t max,
    ngx_msec_t *time)
{
    int64_t  ms;

    ms = cometa_json_ms(member->value, member->len, max);

    if (ms < 0) {
        return "\"timeout\" and \"wait\" are seconds, 0 or more, with at most "
               "three decimals";
    }

    *time = ms;

    return NULL;
}


static const char *
ngx_cometa_ws_message_check(ngx_cometa_ws_t *s, ngx_uint_t seen,
    ngx_cometa_ws_message_t *m)
{
    ngx_str_t  *device;

    if (!(seen & NGX_COMETA_MEMBER_CALL)) {
        return "\"call\" is missing, a string or a number which names the "
               "call";
    }

    if (m->message.data == NULL) {
        return "\"message\" or \"base64\" is missing";
    }

    device = &s->group->key.device;

    if (device->len == 0) {
        return (seen & NGX_COMETA_MEMBER_DEVICE)
               ? NULL : "\"device\" is missing, the id of a device";
    }

    if ((seen & NGX_COMETA_MEMBER_DEVICE)
        && (m->device.len != device->len
            || ngx_memcmp(m->device.data, device->data, device->len) != 0))
    {
        return "this WebSocket is to another device, use a channel";
    }

    m->device = *device;

    return NULL;
}
