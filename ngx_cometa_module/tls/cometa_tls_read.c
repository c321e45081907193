
/*
 * Reads records of TLS: what a peer may send once the handshake is over. That
 * is data, alerts, in TLS 1.3 an update of its key, and in TLS 1.2 the wish to
 * renegotiate, which is refused. See cometa_tls_record.h.
 *
 * Functions that return an alert return 0 if all is well: close_notify, which
 * is 0, is never the answer to what was read.
 */

#include "cometa_tls_aead.h"
#include "cometa_tls_record.h"


#define EXPANSION       256             /* RFC 8446, 5.2 */

#define LEVEL_WARNING   1
#define LEVEL_FATAL     2

#define HELLO_REQUEST   0
#define CLIENT_HELLO    1
#define KEY_UPDATE      24
#define MESSAGE_HEAD    4               /* type, length */


static uint8_t cometa_tls_head(const cometa_tls_t *t, const uint8_t *in);
static uint8_t cometa_tls_open(cometa_tls_t *t, uint8_t *in, size_t size,
    uint8_t *type, uint8_t **data, size_t *len);
static uint8_t cometa_tls_strip(const uint8_t *p, size_t *len, uint8_t *type);
static int cometa_tls_content(cometa_tls_t *t, uint8_t type,
    const uint8_t *p, size_t n, uint8_t *alert);
static int cometa_tls_alert(cometa_tls_t *t, const uint8_t *p, size_t n,
    uint8_t *alert);
static uint8_t cometa_tls_key_update(cometa_tls_t *t, const uint8_t *p,
    size_t n);
static uint8_t cometa_tls_hello(cometa_tls_t *t, const uint8_t *p, size_t n,
    uint8_t *alert);


int
cometa_tls_read(cometa_tls_t *t, uint8_t *in, size_t size, size_t *used,
    uint8_t **data, size_t *len, uint8_t *alert)
{
    int      rc;
    size_t   n, record;
    uint8_t  type, bad, *p;

    *used = 0;
    *data = in;
    *len = 0;
    *alert = 0;

    /* nothing, as long as no record was opened */
    type = 0;
    p = in;
    n = 0;

    if (t->closed) {
        *alert = t->alert;
        return t->closed;
    }

    record = cometa_tls_record_size(in, size);

    if (record == 0) {
        return COMETA_TLS_READ_AGAIN;
    }

    bad = cometa_tls_head(t, in);

    if (bad == 0 && size < record) {
        return COMETA_TLS_READ_AGAIN;
    }

    if (bad == 0) {
        bad = cometa_tls_open(t, in, record, &type, &p, &n);
    }

    if (bad == 0) {
        *used = record;
        rc = cometa_tls_content(t, type, p, n, alert);

    } else {
        *alert = bad;
        rc = COMETA_TLS_READ_ERROR;
    }

    if (rc == COMETA_TLS_READ_DATA) {
        *data = p;
        *len = n;

    } else if (rc != COMETA_TLS_READ_NOTHING) {
        t->closed = (uint8_t) rc;
        t->alert = *alert;
    }

    return rc;
}


/* Said as soon as the head is there: a bad record is not waited for. */

static uint8_t
cometa_tls_head(const cometa_tls_t *t, const uint8_t *in)
{
    size_t  version, len;

    version = (size_t) in[1] << 8 | in[2];
    len = (size_t) in[3] << 8 | in[4];

    if (in[0] != COMETA_TLS_DATA
        && (t->version == COMETA_TLS_1_3
            || (in[0] != COMETA_TLS_ALERT && in[0] != COMETA_TLS_HANDSHAKE)))
    {
        return COMETA_TLS_UNEXPECTED_MESSAGE;
    }

    if (version != COMETA_TLS_1_2) {
        return COMETA_TLS_PROTOCOL_VERSION;
    }

    if (len > COMETA_TLS_RECORD_MAX - COMETA_TLS_HEAD
        || (t->version == COMETA_TLS_1_3
            && len > COMETA_TLS_PLAIN_MAX + EXPANSION))
    {
        return COMETA_TLS_RECORD_OVERFLOW;
    }

    return 0;
}


/* The record is whole, and its head is good. */

static uint8_t
cometa_tls_open(cometa_tls_t *t, uint8_t *in, size_t size, uint8_t *type,
    uint8_t **data, size_t *len)
{
    size_t              n, skip;
    uint8_t            *p;
    cometa_tls_half_t  *half;
    cometa_tls_aead_t   a;

    half = &t->read;
    skip = COMETA_TLS_HEAD + cometa_tls_explicit(t);

    if (half->seq == UINT64_MAX) {
        return COMETA_TLS_INTERNAL_ERROR;
    }

    if (size < skip + COMETA_TLS_TAG) {
        return COMETA_TLS_BAD_RECORD_MAC;
    }

    p = in + skip;
    n = size - skip - COMETA_TLS_TAG;

    cometa_tls_bind(t, half, half->seq, in, n, &a);

    if (cometa_tls_aead_open(t->cipher, &a, p, n) != 0) {
        return COMETA_TLS_BAD_RECORD_MAC;
    }

    half->seq++;

    if (n > COMETA_TLS_PLAIN_MAX + (t->version == COMETA_TLS_1_3)) {
        return COMETA_TLS_RECORD_OVERFLOW;
    }

    *type = in[0];
    *data = p;
    *len = n;

    return (t->version == COMETA_TLS_1_3) ? cometa_tls_strip(p, len, type) : 0;
}


/* The type of content is the last byte that is not zero (RFC 8446, 5.4). */

static uint8_t
cometa_tls_strip(const uint8_t *p, size_t *len, uint8_t *type)
{
    size_t  n;

    n = *len;

    while (n && p[n - 1] == 0) {
        n--;
    }

    if (n == 0) {
        return COMETA_TLS_UNEXPECTED_MESSAGE;
    }

    *type = p[n - 1];
    *len = n - 1;

    return 0;
}


/*
 * Says what was read. Nothing may stand between the parts of a message, and
 * only data may be empty (RFC 8446, 5.1).
 */

static int
cometa_tls_content(cometa_tls_t *t, uint8_t type, const uint8_t *p, size_t n,
    uint8_t *alert)
{
    uint8_t  bad;

    bad = COMETA_TLS_UNEXPECTED_MESSAGE;

    if (type == COMETA_TLS_DATA && t->begun == 0) {

        if (n) {
            t->updates = 0;
            t->warnings = 0;
        }

        return COMETA_TLS_READ_DATA;
    }

    if (type == COMETA_TLS_ALERT && t->begun == 0) {
        return cometa_tls_alert(t, p, n, alert);
    }

    if (type == COMETA_TLS_HANDSHAKE && n) {
        bad = (t->version == COMETA_TLS_1_3) ? cometa_tls_key_update(t, p, n)
              : cometa_tls_hello(t, p, n, alert);
    }

    if (bad) {
        *alert = bad;
        return COMETA_TLS_READ_ERROR;
    }

    return COMETA_TLS_READ_NOTHING;
}


/*
 * An alert is one record. TLS 1.3 has no warnings but close_notify and
 * user_canceled, whatever the level says (RFC 8446, 6).
 */

static int
cometa_tls_alert(cometa_tls_t *t, const uint8_t *p, size_t n, uint8_t *alert)
{
    int  fatal;

    if (n != 2) {
        *alert = COMETA_TLS_UNEXPECTED_MESSAGE;
        return COMETA_TLS_READ_ERROR;
    }

    if (p[1] == COMETA_TLS_CLOSE_NOTIFY) {
        return COMETA_TLS_READ_CLOSED;
    }

    if (t->version == COMETA_TLS_1_3) {
        fatal = (p[1] != COMETA_TLS_USER_CANCELED);

    } else if (p[0] == LEVEL_WARNING || p[0] == LEVEL_FATAL) {
        fatal = (p[0] == LEVEL_FATAL);

    } else {
        *alert = COMETA_TLS_ILLEGAL_PARAMETER;
        return COMETA_TLS_READ_ERROR;
    }

    if (fatal) {
        *alert = p[1];
        return COMETA_TLS_READ_ALERT;
    }

    if (++t->warnings > COMETA_TLS_WARNINGS_MAX) {
        *alert = COMETA_TLS_UNEXPECTED_MESSAGE;
        return COMETA_TLS_READ_ERROR;
    }

    return COMETA_TLS_READ_NOTHING;
}


/*
 * A KeyUpdate (RFC 8446, 4.6.3), or some bytes of one. The message is the last
 * of its record, since what follows is sealed with the next key.
 */

static uint8_t
cometa_tls_key_update(cometa_tls_t *t, const uint8_t *p, size_t n)
{
    static const uint8_t  head[MESSAGE_HEAD] = { KEY_UPDATE, 0, 0, 1 };

    while (n && t->begun < MESSAGE_HEAD) {

        if (*p != head[t->begun]) {
            return (t->begun == 0) ? COMETA_TLS_UNEXPECTED_MESSAGE
                   : COMETA_TLS_DECODE_ERROR;
        }

        t->part[t->begun++] = *p++;
        n--;
    }

    if (n == 0) {
        return 0;
    }

    if (*p > 1) {
        return COMETA_TLS_ILLEGAL_PARAMETER;
    }

    if (n > 1 || ++t->updates > COMETA_TLS_UPDATES_MAX) {
        return COMETA_TLS_UNEXPECTED_MESSAGE;
    }

    if (cometa_tls_next(t, &t->read) != 0) {
        return COMETA_TLS_INTERNAL_ERROR;
    }

    t->begun = 0;
    t->update |= *p;

    return 0;
}


/*
 * TLS 1.2: the peer wants to renegotiate. Its message is skipped and refused
 * when it is complete; until then the length in `part` is what is left of it.
 */

static uint8_t
cometa_tls_hello(cometa_tls_t *t, const uint8_t *p, size_t n, uint8_t *alert)
{
    size_t   left, step;
    uint8_t  wanted;

    wanted = t->client ? HELLO_REQUEST : CLIENT_HELLO;

    while (n) {

        while (n && t->begun < MESSAGE_HEAD) {
            t->part[t->begun++] = *p++;
            n--;
        }

        if (t->part[0] != wanted) {
            return COMETA_TLS_UNEXPECTED_MESSAGE;
        }

        if (t->begun < MESSAGE_HEAD) {
            return 0;
        }

        left = (size_t) t->part[2] << 8 | t->part[3];

        if (t->part[1] || (wanted == HELLO_REQUEST && left)) {
            return COMETA_TLS_DECODE_ERROR;
        }

        step = (n < left) ? n : left;
        p += step;
        n -= step;
        left -= step;
        t->part[2] = (uint8_t) (left >> 8);
        t->part[3] = (uint8_t) left;

        if (left) {
            return 0;
        }

        t->begun = 0;
        *alert = COMETA_TLS_NO_RENEGOTIATION;

        if (++t->warnings > COMETA_TLS_WARNINGS_MAX) {
            return COMETA_TLS_UNEXPECTED_MESSAGE;
        }
    }

    return 0;
}
