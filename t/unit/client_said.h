/*
 * What the device library in C has written, as text for comparisons.
 */

#ifndef CLIENT_SAID_H
#define CLIENT_SAID_H


#include "client_world.h"


/* What was written from there on; frames without masks, as "<op data>". */

static const char *
said(size_t from)
{
    size_t          i, j, n, head;
    const uint8_t  *p;

    static char  text[32768];

    if (!(w.config.flags & COMETA_WEBSOCKET)) {
        memcpy(text, w.out + from, w.written - from);
        text[w.written - from] = '\0';
        return text;
    }

    for (i = from, n = 0; i < w.written; i += head + 4 + (p[1] & 0x7f)) {
        p = w.out + i;
        head = 2;

        if (!(p[1] & 0x80) || (p[1] & 0x7f) >= 126) {
            return "a frame that is not masked, or long";
        }

        n += (size_t) sprintf(text + n, "<%02x ", p[0]);

        for (j = 0; j < (p[1] & 0x7fu); j++) {
            text[n++] = (char) (p[head + 4 + j] ^ p[head + (j & 3)]);
        }

        text[n++] = '>';
    }

    text[n] = '\0';

    return text;
}


static size_t
request_len(void)
{
    const uint8_t  *p = find(w.out, w.written, "\r\n\r\n");

    return p != NULL ? (size_t) (p - w.out) : w.written;
}


#endif /* CLIENT_SAID_H */
