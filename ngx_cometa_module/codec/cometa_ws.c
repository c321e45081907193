/*
 * The WebSocket codec; the header tells what it accepts.
 */

#include "cometa_ws.h"
#include "cometa_utf8.h"

#include <string.h>


#define WS_FIN           0x80
#define WS_RESERVED      0x70
#define WS_OPCODE        0x0f
#define WS_MASKED        0x80
#define WS_LENGTH        0x7f
#define WS_LENGTH_16     126
#define WS_LENGTH_64     127

#define WS_CONTINUATION  0x0

/* close, ping and pong have a bit that messages have not */

#define ws_is_control(type)  ((type) & 0x8)


enum {
    ST_FIRST = 0,       /* FIN, reserved bits, opcode */
    ST_SECOND,          /* MASK, length */
    ST_LENGTH_16,
    ST_LENGTH_64,
    ST_MASK,
    ST_PAYLOAD,
    ST_CLOSED,
    ST_FAILED
};


_Static_assert(sizeof(cometa_ws_t) <= 32, "one lives in every WebSocket");


static int cometa_ws_byte(cometa_ws_t *ws, uint8_t c, uint32_t max);
static int cometa_ws_first(cometa_ws_t *ws, uint8_t c);
static int cometa_ws_second(cometa_ws_t *ws, uint8_t c, uint32_t max);
static int cometa_ws_length(cometa_ws_t *ws, uint8_t c, uint32_t max);
static int cometa_ws_begin_mask(cometa_ws_t *ws, uint32_t max);
static int cometa_ws_payload(cometa_ws_t *ws, uint8_t **pos, uint8_t *end,
    uint8_t **data, size_t *len);
static void cometa_ws_unmask(cometa_ws_t *ws, uint8_t *p, size_t len);
static int cometa_ws_check(cometa_ws_t *ws, const uint8_t *p, size_t len,
    size_t *good);
static int cometa_ws_frame_end(cometa_ws_t *ws);


void
cometa_ws_init(cometa_ws_t *ws)
{
    memset(ws, 0, sizeof(cometa_ws_t));
}


int
cometa_ws_parse(cometa_ws_t *ws, uint8_t **pos, uint8_t *end, uint32_t max,
    uint8_t **data, size_t *len)
{
    int  rc;

    *data = *pos;
    *len = 0;

    if (ws->state == ST_FAILED) {
        return ws->error;
    }

    for ( ;; ) {

        /* an empty payload is complete without further input */

        if (ws->state == ST_PAYLOAD && (ws->rest == 0 || *pos < end)) {
            rc = cometa_ws_payload(ws, pos, end, data, len);

            if (rc > 0) {
                return rc;
            }

        } else if (*pos == end) {
            return COMETA_WS_AGAIN;

        } else if (ws->state == ST_CLOSED) {
            *pos = end;
            return COMETA_WS_AGAIN;

        } else {
            rc = cometa_ws_byte(ws, **pos, max);
            *pos += (rc == 0);
        }

        if (rc < 0) {
            ws->state = ST_FAILED;
            ws->error = rc;
            return rc;
        }
    }
}


int
cometa_ws_begun(const cometa_ws_t *ws)
{
    if (ws->state >= ST_CLOSED) {
        return 0;
    }

    return ws->state != ST_FIRST || ws->message;
}


const char *
cometa_ws_error(int rc)
{
    switch (rc) {

    case COMETA_WS_BAD_BITS:
        return "reserved bit set";

    case COMETA_WS_BAD_OPCODE:
        return "unknown opcode";

    case COMETA_WS_BAD_MASK:
        return "frame not masked";

    case COMETA_WS_BAD_LENGTH:
        return "invalid payload length";

    case COMETA_WS_BAD_CONTROL:
        return "control frame fragmented or too long";

    case COMETA_WS_BAD_FRAGMENT:
        return "frame out of the order of fragments";

    case COMETA_WS_BAD_CLOSE:
        return "invalid close code";

    case COMETA_WS_BAD_UTF8:
        return "invalid UTF-8";

    case COMETA_WS_TOO_LARGE:
        return "message too large";

    default:
        return "no error";
    }
}


uint16_t
cometa_ws_error_code(int rc)
{
    switch (rc) {

    case COMETA_WS_BAD_UTF8:
        return 1007;

    case COMETA_WS_TOO_LARGE:
        return 1009;

    default:
        return 1002;
    }
}


/*
 * 1004 is reserved; 1005, 1006 and 1015 stand for what was not received;
 * 1012 to 1014 were registered after the RFC; 3000 and above are free to use.
 */

int
cometa_ws_code_valid(uint16_t code)
{
    return (code >= 1000 && code <= 1003)
           || (code >= 1007 && code <= 1014)
           || (code >= 3000 && code <= 4999);
}


size_t
cometa_ws_head(uint8_t *dst, int type, uint64_t size)
{
    int       bytes;
    uint8_t  *p;

    p = dst;
    *p++ = WS_FIN | type;

    if (size < WS_LENGTH_16) {
        *p++ = size;
        return p - dst;
    }

    bytes = (size <= UINT16_MAX) ? 2 : 8;
    *p++ = (bytes == 2) ? WS_LENGTH_16 : WS_LENGTH_64;

    while (bytes--) {
        *p++ = size >> (8 * bytes);
    }

    return p - dst;
}


size_t
cometa_ws_close(uint8_t *dst, uint16_t code)
{
    /* cppcheck takes an array that is not yet written for one of no bytes */
    /* cppcheck-suppress ctuArrayIndex */
    dst[0] = WS_FIN | COMETA_WS_CLOSE;
    dst[1] = 2;
    dst[2] = code >> 8;
    dst[3] = code & 0xff;

    return COMETA_WS_CLOSE_LEN;
}


/* One byte of a frame's head; 0 or an error. */

static int
cometa_ws_byte(cometa_ws_t *ws, uint8_t c, uint32_t max)
{
    switch (ws->state) {

    case ST_FIRST:
        return cometa_ws_first(ws, c);

    case ST_SECOND:
        return cometa_ws_second(ws, c, max);

    case ST_LENGTH_16:
    case ST_LENGTH_64:
        return cometa_ws_length(ws, c, max);

    default: /* ST_MASK */
        ws->mask[4 - ws->left] = c;

        if (--ws->left == 0) {
            ws->state = ST_PAYLOAD;
        }

        return 0;
    }
}


static int
cometa_ws_first(cometa_ws_t *ws, uint8_t c)
{
    uint8_t  opcode;

    if (c & WS_RESERVED) {
        return COMETA_WS_BAD_BITS;
    }

    opcode = c & WS_OPCODE;

    switch (opcode) {

    case WS_CONTINUATION:
        if (!ws->message) {
            return COMETA_WS_BAD_FRAGMENT;
        }

        opcode = ws->message;
        break;

    case COMETA_WS_TEXT:
    case COMETA_WS_BINARY:
        if (ws->message) {
            return COMETA_WS_BAD_FRAGMENT;
        }

        ws->message = opcode;
        ws->size = 0;
        break;

    case COMETA_WS_CLOSE:
        memset(&ws->utf8, 0, sizeof(ws->utf8));
        break;

    case COMETA_WS_PING:
    case COMETA_WS_PONG:
        break;

    default:
        return COMETA_WS_BAD_OPCODE;
    }

    ws->type = opcode;
    ws->fin = (c & WS_FIN) != 0;

    if (ws_is_control(ws->type) && !ws->fin) {
        return COMETA_WS_BAD_CONTROL;
    }

    ws->state = ST_SECOND;

    return 0;
}


static int
cometa_ws_second(cometa_ws_t *ws, uint8_t c, uint32_t max)
{
    uint8_t  length;

    if (!(c & WS_MASKED)) {
        return COMETA_WS_BAD_MASK;
    }

    length = c & WS_LENGTH;

    if (ws_is_control(ws->type) && length > COMETA_WS_CONTROL_MAX) {
        return COMETA_WS_BAD_CONTROL;
    }

    if (ws->type == COMETA_WS_CLOSE && length == 1) {
        return COMETA_WS_BAD_CLOSE;
    }

    if (length < WS_LENGTH_16) {
        ws->rest = length;
        return cometa_ws_begin_mask(ws, max);
    }

    ws->rest = 0;
    ws->left = (length == WS_LENGTH_16) ? 2 : 8;
    ws->state = (length == WS_LENGTH_16) ? ST_LENGTH_16 : ST_LENGTH_64;

    return 0;
}


static int
cometa_ws_length(cometa_ws_t *ws, uint8_t c, uint32_t max)
{
    uint64_t  least;

    if (ws->left == 8 && (c & 0x80)) {
        return COMETA_WS_BAD_LENGTH;
    }

    ws->rest = (ws->rest << 8) | c;

    if (--ws->left) {
        return 0;
    }

    least = (ws->state == ST_LENGTH_16) ? WS_LENGTH_16 : UINT16_MAX + 1;

    if (ws->rest < least) {
        return COMETA_WS_BAD_LENGTH;
    }

    return cometa_ws_begin_mask(ws, max);
}


static int
cometa_ws_begin_mask(cometa_ws_t *ws, uint32_t max)
{
    if (!ws_is_control(ws->type)) {

        if (ws->size > max || ws->rest > max - ws->size) {
            return COMETA_WS_TOO_LARGE;
        }

        ws->size += ws->rest;
    }

    ws->left = sizeof(ws->mask);
    ws->state = ST_MASK;

    return 0;
}


/* Returns an event, an error, or 0 after an empty fragment that is not last. */

static int
cometa_ws_payload(cometa_ws_t *ws, uint8_t **pos, uint8_t *end,
    uint8_t **data, size_t *len)
{
    int       rc;
    size_t    n, good;
    uint8_t  *p;

    p = *pos;
    n = end - p;

    if (n > ws->rest) {
        n = ws->rest;
    }

    cometa_ws_unmask(ws, p, n);

    rc = cometa_ws_check(ws, p, n, &good);
    *pos += good;

    if (rc < 0) {
        return rc;
    }

    ws->rest -= n;

    rc = ws->rest ? COMETA_WS_PART : cometa_ws_frame_end(ws);

    if (rc > 0) {
        *data = p;
        *len = n;
    }

    return (rc == COMETA_WS_PART && n == 0) ? 0 : rc;
}


static void
cometa_ws_unmask(cometa_ws_t *ws, uint8_t *p, size_t len)
{
    size_t    i, turn;
    uint8_t   mask[8];
    uint64_t  key, word;

    memcpy(mask, ws->mask, 4);
    memcpy(mask + 4, ws->mask, 4);
    memcpy(&key, mask, 8);

    for (i = 0; len - i >= 8; i += 8) {
        memcpy(&word, p + i, 8);
        word ^= key;
        memcpy(p + i, &word, 8);
    }

    for ( /* void */ ; i < len; i++) {
        p[i] ^= mask[i & 7];
    }

    turn = len & 3;
    memcpy(ws->mask, mask + turn, 4);
}


/* Sets *good to the number of valid bytes; 0: all of them are, or an error. */

static int
cometa_ws_check(cometa_ws_t *ws, const uint8_t *p, size_t len, size_t *good)
{
    *good = 0;

    if (ws->type == COMETA_WS_CLOSE) {

        for ( /* void */ ; *good < len && ws->code_len < 2; (*good)++) {
            ws->code = (ws->code << 8) | p[*good];

            if (++ws->code_len == 2 && !cometa_ws_code_valid(ws->code)) {
                return COMETA_WS_BAD_CLOSE;
            }
        }

    } else if (ws->type != COMETA_WS_TEXT) {
        *good = len;
        return 0;
    }

    *good += cometa_utf8_feed(&ws->utf8, p + *good, len - *good);

    return (*good == len) ? 0 : COMETA_WS_BAD_UTF8;
}


static int
cometa_ws_frame_end(cometa_ws_t *ws)
{
    ws->state = ST_FIRST;

    if (!ws->fin) {
        return COMETA_WS_PART;
    }

    /* pings and pongs may come within a sequence, they do not end it */

    if ((ws->type == COMETA_WS_TEXT || ws->type == COMETA_WS_CLOSE)
        && ws->utf8.need)
    {
        return COMETA_WS_BAD_UTF8;
    }

    if (ws->type == COMETA_WS_CLOSE) {
        ws->state = ST_CLOSED;

    } else if (!ws_is_control(ws->type)) {
        ws->message = 0;
    }

    return COMETA_WS_DONE;
}
