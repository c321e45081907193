/*
 * UTF-8; the header tells what it is to be.
 */

#include "cometa_utf8.h"

#include <string.h>


static int cometa_utf8_lead(cometa_utf8_t *u, uint8_t c);


size_t
cometa_utf8_feed(cometa_utf8_t *u, const uint8_t *p, size_t len)
{
    size_t    i;
    uint64_t  word;

    i = 0;

    while (i < len) {

        if (u->need) {
            if (p[i] < u->low || p[i] > u->high) {
                return i;
            }

            u->need--;
            u->low = 0x80;
            u->high = 0xbf;
            i++;
            continue;
        }

        if (len - i >= 8) {
            memcpy(&word, p + i, 8);

            if ((word & 0x8080808080808080) == 0) {
                i += 8;
                continue;
            }
        }

        if (p[i] >= 0x80 && cometa_utf8_lead(u, p[i]) != 0) {
            return i;
        }

        i++;
    }

    return i;
}


int
cometa_utf8_valid(const uint8_t *p, size_t len)
{
    cometa_utf8_t  u = { 0, 0, 0 };

    return cometa_utf8_feed(&u, p, len) == len && u.need == 0;
}


/* The table of well-formed sequences: no overlong form, no surrogate. */

static int
cometa_utf8_lead(cometa_utf8_t *u, uint8_t c)
{
    if (c < 0xc2 || c > 0xf4) {
        return -1;
    }

    u->need = (c < 0xe0) ? 1 : (c < 0xf0) ? 2 : 3;
    u->low = (c == 0xe0) ? 0xa0 : (c == 0xf0) ? 0x90 : 0x80;
    u->high = (c == 0xed) ? 0x9f : (c == 0xf4) ? 0x8f : 0xbf;

    return 0;
}
