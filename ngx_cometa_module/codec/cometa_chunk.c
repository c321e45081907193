/*
 * The chunk codec; the header tells what it accepts.
 */

#include "cometa_chunk.h"

#include <string.h>


enum {
    ST_START = 0,       /* nothing of a chunk yet */
    ST_SIZE,            /* one digit at least */
    ST_SPACE,           /* spaces or tabs behind the size */
    ST_EXT,
    ST_SIZE_LF,         /* CR of a size line seen */
    ST_DATA,
    ST_END,             /* data complete, nothing behind it yet */
    ST_END_LF,          /* CR behind the data seen */
    ST_FAILED
};


_Static_assert(sizeof(cometa_chunk_t) <= 16, "one lives in every device");


static int cometa_chunk_byte(cometa_chunk_t *ch, uint8_t c, uint32_t max);
static inline int cometa_chunk_digit(cometa_chunk_t *ch, uint8_t c,
    uint32_t max);
static int cometa_chunk_extension(cometa_chunk_t *ch, uint8_t c);
static int cometa_chunk_line_end(cometa_chunk_t *ch, uint8_t c);
static int cometa_chunk_data(cometa_chunk_t *ch, const uint8_t **pos,
    const uint8_t *end, const uint8_t **data, size_t *len);
static void cometa_chunk_tail(cometa_chunk_t *ch, const uint8_t *p,
    size_t len);
static int cometa_chunk_hex(uint8_t c);


void
cometa_chunk_init(cometa_chunk_t *ch)
{
    memset(ch, 0, sizeof(cometa_chunk_t));
}


int
cometa_chunk_parse(cometa_chunk_t *ch, const uint8_t **pos,
    const uint8_t *end, uint32_t max, const uint8_t **data, size_t *len)
{
    int             rc;
    const uint8_t  *p;

    p = *pos;

    *data = p;
    *len = 0;

    if (ch->state == ST_FAILED) {
        return ch->error;
    }

    for ( /* void */ ; p < end && ch->state != ST_DATA; p++) {

        rc = cometa_chunk_byte(ch, *p, max);

        if (rc < 0) {
            ch->state = ST_FAILED;
            ch->error = rc;
            *pos = p;
            return rc;
        }
    }

    *pos = p;

    if (ch->state == ST_DATA && ch->rest == 0) {

        /* an empty chunk is complete with its size line */

        ch->state = ST_END;
        *data = p;
        return COMETA_CHUNK_DONE;
    }

    if (p == end) {
        return COMETA_CHUNK_AGAIN;
    }

    return cometa_chunk_data(ch, pos, end, data, len);
}


int
cometa_chunk_begun(const cometa_chunk_t *ch)
{
    return ch->state >= ST_SIZE && ch->state <= ST_DATA;
}


const char *
cometa_chunk_error(int rc)
{
    switch (rc) {

    case COMETA_CHUNK_BAD_SIZE:
        return "invalid chunk size";

    case COMETA_CHUNK_TOO_LARGE:
        return "chunk too large";

    case COMETA_CHUNK_BAD_EXT:
        return "chunk extension too long";

    case COMETA_CHUNK_BAD_END:
        return "garbage after chunk data";

    default:
        return "no error";
    }
}


size_t
cometa_chunk_head(uint8_t *dst, uint32_t size)
{
    int                   shift;
    uint8_t              *p;
    static const uint8_t  hex[] = "0123456789abcdef";

    p = dst;

    /* of the first digit that is not 0; 0 has one, too */

    for (shift = 0; shift < 28 && (size >> shift) > 0xf; shift += 4) {
        /* void */
    }

    for ( /* void */ ; shift >= 0; shift -= 4) {
        *p++ = hex[(size >> shift) & 0xf];
    }

    *p++ = '\r';
    *p++ = '\n';

    return p - dst;
}


/* One byte of all that is not data; 0 or an error. */

static int
cometa_chunk_byte(cometa_chunk_t *ch, uint8_t c, uint32_t max)
{
    switch (ch->state) {

    case ST_START:
        return cometa_chunk_digit(ch, c, max);

    case ST_SIZE:
        if (c == '\r' || c == '\n') {
            return cometa_chunk_line_end(ch, c);
        }

        if (c == ' ' || c == '\t' || c == ';') {
            return cometa_chunk_extension(ch, c);
        }

        return cometa_chunk_digit(ch, c, max);

    case ST_SPACE:
        if (c == '\r' || c == '\n') {
            return cometa_chunk_line_end(ch, c);
        }

        if (c != ' ' && c != '\t' && c != ';') {
            return COMETA_CHUNK_BAD_SIZE;
        }

        return cometa_chunk_extension(ch, c);

    case ST_EXT:
        if (c == '\r' || c == '\n') {
            return cometa_chunk_line_end(ch, c);
        }

        return cometa_chunk_extension(ch, c);

    case ST_SIZE_LF:
        if (c != '\n') {
            return COMETA_CHUNK_BAD_SIZE;
        }

        return cometa_chunk_line_end(ch, c);

    case ST_END:
        if (c == '\r') {
            ch->state = ST_END_LF;
            return 0;
        }

        /* the data's own CR LF stands for the one behind it */

        if (ch->tail == 2 && cometa_chunk_hex(c) >= 0) {
            ch->state = ST_START;
            return cometa_chunk_digit(ch, c, max);
        }

        return COMETA_CHUNK_BAD_END;

    default: /* ST_END_LF */
        if (c != '\n') {
            return COMETA_CHUNK_BAD_END;
        }

        ch->state = ST_START;
        return 0;
    }
}


static inline int
cometa_chunk_digit(cometa_chunk_t *ch, uint8_t c, uint32_t max)
{
    int  value;

    if (ch->state == ST_START) {
        ch->size = 0;
        ch->digits = 0;
        ch->ext = 0;
        ch->tail = 0;
    }

    value = cometa_chunk_hex(c);

    if (value < 0 || ch->digits == 8) {
        return COMETA_CHUNK_BAD_SIZE;
    }

    ch->size = (ch->size << 4) | (uint32_t) value;
    ch->digits++;
    ch->state = ST_SIZE;

    return (ch->size > max) ? COMETA_CHUNK_TOO_LARGE : 0;
}


static int
cometa_chunk_extension(cometa_chunk_t *ch, uint8_t c)
{
    if (ch->ext == COMETA_CHUNK_EXT_MAX) {
        return COMETA_CHUNK_BAD_EXT;
    }

    ch->ext++;

    if (ch->state != ST_EXT) {
        ch->state = (c == ';') ? ST_EXT : ST_SPACE;
    }

    return 0;
}


static int
cometa_chunk_line_end(cometa_chunk_t *ch, uint8_t c)
{
    if (c == '\r') {
        ch->state = ST_SIZE_LF;
        return 0;
    }

    ch->rest = ch->size;
    ch->state = ST_DATA;

    return 0;
}


static int
cometa_chunk_data(cometa_chunk_t *ch, const uint8_t **pos,
    const uint8_t *end, const uint8_t **data, size_t *len)
{
    size_t  n;

    n = end - *pos;

    if (n > ch->rest) {
        n = ch->rest;
    }

    cometa_chunk_tail(ch, *pos, n);

    *data = *pos;
    *len = n;
    *pos += n;
    ch->rest -= n;

    if (ch->rest) {
        return COMETA_CHUNK_PART;
    }

    ch->state = ST_END;

    return COMETA_CHUNK_DONE;
}


/* Keeps in mind how the data ends; a CR may have come with an earlier piece. */

static void
cometa_chunk_tail(cometa_chunk_t *ch, const uint8_t *p, size_t len)
{
    int  cr;

    if (p[len - 1] == '\r') {
        ch->tail = 1;
        return;
    }

    cr = (len > 1) ? (p[len - 2] == '\r') : (ch->tail == 1);

    ch->tail = (cr && p[len - 1] == '\n') ? 2 : 0;
}


static int
cometa_chunk_hex(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }

    c |= 0x20;

    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }

    return -1;
}
