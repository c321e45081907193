/*
 * Ids; the header tells what they are to be.
 */

#include "cometa_id.h"


static const uint32_t  cometa_id_chars[] = {
    0x00000000,
    0x07ff6800, /* 0000 0111 1111 1111  0110 1000 0000 0000 */
    0x87ffffff, /* 1000 0111 1111 1111  1111 1111 1111 1111 */
    0x47fffffe, /* 0100 0111 1111 1111  1111 1111 1111 1110 */
    0x00000000,
    0x00000000,
    0x00000000,
    0x00000000
};


int
cometa_id_valid(const uint8_t *p, size_t len)
{
    size_t  i;

    if (len == 0 || len > COMETA_ID_MAX) {
        return 0;
    }

    for (i = 0; i < len; i++) {
        if (!(cometa_id_chars[p[i] >> 5] & ((uint32_t) 1 << (p[i] & 0x1f)))) {
            return 0;
        }
    }

    return 1;
}
