/*
 * Base64; the header tells what it is to be.
 */

#include "cometa_base64.h"


uint8_t *
cometa_base64_encode(uint8_t *dst, const uint8_t *p, size_t len)
{
    size_t    n;
    uint32_t  bits;

    static const char  digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "abcdefghijklmnopqrstuvwxyz0123456789+/";

    for ( /* void */ ; len; len -= n, p += n) {
        n = (len < 3) ? len : 3;

        bits = (uint32_t) p[0] << 16
               | (n > 1 ? p[1] << 8 : 0)
               | (n > 2 ? p[2] : 0);

        *dst++ = digits[bits >> 18];
        *dst++ = digits[bits >> 12 & 63];
        *dst++ = (n > 1) ? digits[bits >> 6 & 63] : '=';
        *dst++ = (n > 2) ? digits[bits & 63] : '=';
    }

    return dst;
}


static int
cometa_base64_digit(uint8_t ch)
{
    if (ch >= 'A' && ch <= 'Z') {
        return ch - 'A';
    }

    if (ch >= 'a' && ch <= 'z') {
        return ch - 'a' + 26;
    }

    if (ch >= '0' && ch <= '9') {
        return ch - '0' + 52;
    }

    return (ch == '+') ? 62 : (ch == '/') ? 63 : -1;
}


int
cometa_base64_decode(uint8_t *p, size_t *len)
{
    int        digit;
    size_t     i, n;
    uint8_t   *dst;
    uint32_t   bits, have;

    n = *len;

    if (n && n % 4 == 0 && p[n - 1] == '=') {
        n -= (p[n - 2] == '=') ? 2 : 1;
    }

    dst = p;
    bits = 0;
    have = 0;

    for (i = 0; i < n; i++) {

        digit = cometa_base64_digit(p[i]);
        if (digit < 0) {
            return -1;
        }

        bits = bits << 6 | digit;
        have += 6;

        if (have >= 8) {
            have -= 8;
            *dst++ = bits >> have;
            bits &= ((uint32_t) 1 << have) - 1;
        }
    }

    if (have == 6 || bits) {
        return -1;
    }

    *len = dst - p;

    return 0;
}
