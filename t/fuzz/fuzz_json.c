/*
 * Messages of clients. No byte but those of the message may be touched, and
 *
 * - what is read of a message lies in it, and strings are UTF-8;
 * - names and strings that were read are read again when they are written;
 * - any bytes can be written, and what was text is read again as it was;
 * - base64 that is decoded is what its encoding says, but for the padding.
 */

#include <stdlib.h>
#include <string.h>

#include "cometa_base64.h"
#include "cometa_json.h"
#include "cometa_utf8.h"


#define check(cond)  if (!(cond)) { abort(); }


static uint8_t *
copied(const uint8_t *in, size_t len)
{
    uint8_t  *p;

    p = malloc(len ? len : 1);
    check(p);

    if (len) {
        memcpy(p, in, len);
    }

    return p;
}


/* A message whose only member has this name, and as its value a string. */

static void
check_written(const uint8_t *name, size_t name_len, const uint8_t *value,
    size_t len)
{
    uint8_t               *text, *p;
    cometa_json_t          json;
    cometa_json_member_t   m;

    text = malloc(COMETA_JSON_ESCAPE * (name_len + len) + 7);
    check(text);

    p = text;
    *p++ = '{';
    *p++ = '"';
    p = cometa_json_escape(p, name, name_len);
    memcpy(p, "\":\"", 3);
    p = cometa_json_escape(p + 3, value, len);
    memcpy(p, "\"}", 2);
    p += 2;

    check(p - text <= (ptrdiff_t) (COMETA_JSON_ESCAPE * (name_len + len) + 7));

    cometa_json_init(&json, text, p - text);
    check(cometa_json_next(&json, &m) == COMETA_JSON_MEMBER);
    check(m.type == COMETA_JSON_STRING);

    if (cometa_utf8_valid(name, name_len)) {
        check(m.name_len == name_len && memcmp(m.name, name, name_len) == 0);
    }

    if (cometa_utf8_valid(value, len)) {
        check(m.len == len && memcmp(m.value, value, len) == 0);
    }

    check(cometa_json_next(&json, &m) == COMETA_JSON_END);

    free(text);
}


static void
check_message(const uint8_t *in, size_t len)
{
    int                    rc;
    uint8_t               *text;
    cometa_json_t          json;
    cometa_json_member_t   m;

    text = copied(in, len);
    cometa_json_init(&json, text, len);

    while ((rc = cometa_json_next(&json, &m)) == COMETA_JSON_MEMBER) {
        check(m.name >= text && m.name + m.name_len <= text + len);
        check(m.value >= text && m.value + m.len <= text + len);
        check(cometa_utf8_valid(m.name, m.name_len));
        check(cometa_utf8_valid(m.value, m.len));

        if (m.type == COMETA_JSON_STRING) {
            check_written(m.name, m.name_len, m.value, m.len);

        } else if (m.type == COMETA_JSON_NUMBER) {
            check(cometa_json_ms(m.value, m.len, 1000) >= -1);
            check(cometa_json_ms(m.value, m.len, 1000) <= 1000);
        }
    }

    check(cometa_json_next(&json, &m) == rc);
    check(cometa_json_error(rc) != NULL);

    free(text);
}


static void
check_base64(const uint8_t *in, size_t len)
{
    size_t    n;
    uint8_t  *text, *again;

    text = copied(in, len);
    n = len;

    if (cometa_base64_decode(text, &n) == 0) {
        check(n <= len / 4 * 3 + 2);

        again = malloc(cometa_base64_len(n) + 1);
        check(again);
        check(cometa_base64_encode(again, text, n) - again
              == (ptrdiff_t) cometa_base64_len(n));
        check(len <= cometa_base64_len(n) && memcmp(again, in, len) == 0);
        free(again);
    }

    free(text);
}


int
LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
    check_message(in, len);
    check_base64(in, len);
    check_written((const uint8_t *) "a", 1, in, len);

    return 0;
}
