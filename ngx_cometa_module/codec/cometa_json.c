/*
 * JSON; the header tells what it is to be.
 */

#include "cometa_json.h"
#include "cometa_utf8.h"

#include <string.h>


/* What the next member is expected behind. */

enum {
    COMETA_JSON_BEGIN = 1,
    COMETA_JSON_FIRST,
    COMETA_JSON_NEXT,
    COMETA_JSON_OVER            /* all but the end of the text was read */
};


static int cometa_json_begin(cometa_json_t *j);
static int cometa_json_over(cometa_json_t *j);
static int cometa_json_read(cometa_json_t *j, cometa_json_member_t *member);
static int cometa_json_value(cometa_json_t *j, cometa_json_member_t *member);
static int cometa_json_string(cometa_json_t *j, uint8_t **text, size_t *len);
static uint8_t *cometa_json_decode(uint8_t *dst, uint8_t **src);
static int cometa_json_hex(const uint8_t *p, uint32_t *code);
static int cometa_json_escaped(const uint8_t *p, const uint8_t *end);
static int cometa_json_number(cometa_json_t *j);
static int cometa_json_digits(cometa_json_t *j);
static int cometa_json_literal(cometa_json_t *j);


void
cometa_json_init(cometa_json_t *j, uint8_t *data, size_t len)
{
    j->p = data;
    j->end = data + len;
    j->state = COMETA_JSON_BEGIN;
}


static void
cometa_json_space(cometa_json_t *j)
{
    while (j->p < j->end
           && (*j->p == ' ' || *j->p == '\t' || *j->p == '\n'
               || *j->p == '\r'))
    {
        j->p++;
    }
}


/* Takes the character `ch` and reports whether it was there. */

static int
cometa_json_take(cometa_json_t *j, uint8_t ch)
{
    if (j->p == j->end || *j->p != ch) {
        return 0;
    }

    j->p++;

    return 1;
}


int
cometa_json_next(cometa_json_t *j, cometa_json_member_t *member)
{
    int  rc;

    if (j->state < 0) {
        return j->state;
    }

    rc = (j->state == COMETA_JSON_BEGIN) ? cometa_json_begin(j) : 0;

    if (rc == 0 && j->state != COMETA_JSON_OVER) {
        cometa_json_space(j);

        if (cometa_json_take(j, '}')) {
            j->state = COMETA_JSON_OVER;

        } else if (j->state == COMETA_JSON_NEXT && !cometa_json_take(j, ',')) {
            rc = COMETA_JSON_MALFORMED;
        }
    }

    if (rc == 0) {
        rc = (j->state == COMETA_JSON_OVER) ? cometa_json_over(j)
                                            : cometa_json_read(j, member);
    }

    if (rc < 0) {
        j->state = rc;

    } else if (rc == COMETA_JSON_MEMBER) {
        j->state = COMETA_JSON_NEXT;
    }

    return rc;
}


static int
cometa_json_begin(cometa_json_t *j)
{
    cometa_json_space(j);

    if (!cometa_json_take(j, '{')) {
        return COMETA_JSON_NO_OBJECT;
    }

    j->state = COMETA_JSON_FIRST;

    return 0;
}


static int
cometa_json_over(cometa_json_t *j)
{
    cometa_json_space(j);

    return (j->p == j->end) ? COMETA_JSON_END : COMETA_JSON_MALFORMED;
}


static int
cometa_json_read(cometa_json_t *j, cometa_json_member_t *member)
{
    int  rc;

    cometa_json_space(j);

    rc = cometa_json_string(j, &member->name, &member->name_len);
    if (rc < 0) {
        return rc;
    }

    cometa_json_space(j);

    if (!cometa_json_take(j, ':')) {
        return COMETA_JSON_MALFORMED;
    }

    cometa_json_space(j);

    rc = cometa_json_value(j, member);

    return (rc < 0) ? rc : COMETA_JSON_MEMBER;
}


static int
cometa_json_value(cometa_json_t *j, cometa_json_member_t *member)
{
    int  rc;

    if (j->p == j->end) {
        return COMETA_JSON_MALFORMED;
    }

    if (*j->p == '"') {
        member->type = COMETA_JSON_STRING;
        return cometa_json_string(j, &member->value, &member->len);
    }

    if (*j->p == '{' || *j->p == '[') {
        return COMETA_JSON_NESTED;
    }

    member->value = j->p;

    if (*j->p >= 'a' && *j->p <= 'z') {
        member->type = COMETA_JSON_LITERAL;
        rc = cometa_json_literal(j);

    } else {
        member->type = COMETA_JSON_NUMBER;
        rc = cometa_json_number(j);
    }

    member->len = j->p - member->value;

    return rc;
}


/*
 * First looks for the closing quote, and whether all before it is right; then
 * decodes. So an error leaves the text as it was.
 */

static int
cometa_json_string(cometa_json_t *j, uint8_t **text, size_t *len)
{
    int       n, escapes;
    uint8_t  *p, *dst;

    if (!cometa_json_take(j, '"')) {
        return COMETA_JSON_MALFORMED;
    }

    escapes = 0;

    for (p = j->p; p < j->end && *p != '"'; p += n) {

        n = 1;

        if (*p == '\\') {
            n = cometa_json_escaped(p, j->end);
            escapes = 1;

        } else if (*p < 0x20) {
            n = COMETA_JSON_MALFORMED;
        }

        if (n < 0) {
            return n;
        }
    }

    if (p == j->end) {
        return COMETA_JSON_MALFORMED;
    }

    if (!cometa_utf8_valid(j->p, p - j->p)) {
        return COMETA_JSON_NO_TEXT;
    }

    *text = j->p;
    dst = escapes ? j->p : p;

    for ( /* void */ ; j->p < p && escapes; /* void */ ) {
        dst = cometa_json_decode(dst, &j->p);
    }

    *len = dst - *text;
    j->p = p + 1;

    return 0;
}


/* The length of an escape sequence, two halves of a pair counted as one. */

static int
cometa_json_escaped(const uint8_t *p, const uint8_t *end)
{
    uint32_t  code;

    if (end - p < 2) {
        return COMETA_JSON_MALFORMED;
    }

    if (p[1] != 'u') {
        return (p[1] && strchr("\"\\/bfnrt", p[1])) ? 2
                                                     : COMETA_JSON_MALFORMED;
    }

    if (end - p < 6 || cometa_json_hex(p + 2, &code) != 0) {
        return COMETA_JSON_MALFORMED;
    }

    if (code < 0xd800 || code > 0xdfff) {
        return 6;
    }

    if (code > 0xdbff || end - p < 12 || p[6] != '\\' || p[7] != 'u'
        || cometa_json_hex(p + 8, &code) != 0
        || code < 0xdc00 || code > 0xdfff)
    {
        return COMETA_JSON_NO_TEXT;
    }

    return 12;
}


static int
cometa_json_hex(const uint8_t *p, uint32_t *code)
{
    int      i;
    uint8_t  ch;

    *code = 0;

    for (i = 0; i < 4; i++) {
        ch = p[i] | 0x20;

        if (p[i] >= '0' && p[i] <= '9') {
            ch = p[i] - '0';

        } else if (ch >= 'a' && ch <= 'f') {
            ch = ch - 'a' + 10;

        } else {
            return -1;
        }

        *code = *code << 4 | ch;
    }

    return 0;
}


/* Copies one character, or what an escape sequence stands for. */

static uint8_t *
cometa_json_decode(uint8_t *dst, uint8_t **src)
{
    uint8_t     *p;
    uint32_t     code, low;
    const char  *at;

    static const char  letters[] = "bfnrt";

    p = *src;

    if (*p != '\\') {
        *dst = *p;
        *src = p + 1;
        return dst + 1;
    }

    if (p[1] != 'u') {
        at = strchr(letters, p[1]);
        *dst = at ? (uint8_t) "\b\f\n\r\t"[at - letters] : p[1];
        *src = p + 2;
        return dst + 1;
    }

    (void) cometa_json_hex(p + 2, &code);
    *src = p + 6;

    if (code >= 0xd800 && code <= 0xdbff) {
        (void) cometa_json_hex(p + 8, &low);
        code = 0x10000 + ((code & 0x3ff) << 10) + (low & 0x3ff);
        *src = p + 12;
    }

    if (code < 0x80) {
        *dst++ = code;
        return dst;
    }

    if (code < 0x800) {
        *dst++ = 0xc0 | code >> 6;

    } else {
        if (code < 0x10000) {
            *dst++ = 0xe0 | code >> 12;

        } else {
            *dst++ = 0xf0 | code >> 18;
            *dst++ = 0x80 | (code >> 12 & 0x3f);
        }

        *dst++ = 0x80 | (code >> 6 & 0x3f);
    }

    *dst++ = 0x80 | (code & 0x3f);

    return dst;
}


static int
cometa_json_literal(cometa_json_t *j)
{
    size_t  i, n;

    static const char  *words[] = { "true", "false", "null" };

    for (i = 0; i < 3; i++) {
        n = strlen(words[i]);

        if ((size_t) (j->end - j->p) >= n && memcmp(j->p, words[i], n) == 0) {
            j->p += n;
            return 0;
        }
    }

    return COMETA_JSON_MALFORMED;
}


static int
cometa_json_number(cometa_json_t *j)
{
    (void) cometa_json_take(j, '-');

    if (!cometa_json_take(j, '0') && !cometa_json_digits(j)) {
        return COMETA_JSON_MALFORMED;
    }

    if (cometa_json_take(j, '.') && !cometa_json_digits(j)) {
        return COMETA_JSON_MALFORMED;
    }

    if (!cometa_json_take(j, 'e') && !cometa_json_take(j, 'E')) {
        return 0;
    }

    if (!cometa_json_take(j, '+')) {
        (void) cometa_json_take(j, '-');
    }

    return cometa_json_digits(j) ? 0 : COMETA_JSON_MALFORMED;
}


static int
cometa_json_digits(cometa_json_t *j)
{
    uint8_t  *begin;

    begin = j->p;

    while (j->p < j->end && *j->p >= '0' && *j->p <= '9') {
        j->p++;
    }

    return j->p != begin;
}


const char *
cometa_json_error(int rc)
{
    switch (rc) {

    case COMETA_JSON_NO_OBJECT:
        return "the message is no JSON object";

    case COMETA_JSON_NESTED:
        return "a value is an object or an array, but all are strings or "
               "numbers";

    case COMETA_JSON_NO_TEXT:
        return "a string is not UTF-8, or has half of a surrogate pair: use "
               "base64 for other data";

    default: /* COMETA_JSON_MALFORMED */
        return "the message is not JSON";
    }
}


int64_t
cometa_json_ms(const uint8_t *value, size_t len, int64_t max)
{
    size_t   i;
    int64_t  ms;
    int      decimals;

    ms = 0;
    decimals = -1;

    for (i = 0; i < len; i++) {

        if (value[i] == '.') {
            decimals = 0;
            continue;
        }

        if (value[i] < '0' || value[i] > '9'
            || (decimals >= 0 && ++decimals > 3))
        {
            return -1;
        }

        ms = ms * 10 + (value[i] - '0');

        /* from here on it is above any time, and does not overflow */

        if (ms > INT64_MAX / 100000) {
            ms = INT64_MAX / 100000;
        }
    }

    for (i = (decimals < 0) ? 0 : decimals; i < 3; i++) {
        ms *= 10;
    }

    return (ms < max) ? ms : max;
}


/* How many bytes the character at p has; 0: they are not UTF-8. */

static size_t
cometa_json_character(const uint8_t *p, size_t len)
{
    size_t  n;

    for (n = 2; n <= 4 && n <= len; n++) {
        if (cometa_utf8_valid(p, n)) {
            return n;
        }
    }

    return 0;
}


static uint8_t *
cometa_json_escape_one(uint8_t *dst, uint8_t ch)
{
    const char  *at;

    static const char  hex[] = "0123456789abcdef";
    static const char  control[] = "\"\\\b\f\n\r\t";

    *dst++ = '\\';

    at = ch ? strchr(control, ch) : NULL;

    if (at) {
        *dst++ = "\"\\bfnrt"[at - control];
        return dst;
    }

    *dst++ = 'u';
    *dst++ = '0';
    *dst++ = '0';
    *dst++ = hex[ch >> 4];
    *dst++ = hex[ch & 15];

    return dst;
}


uint8_t *
cometa_json_escape(uint8_t *dst, const uint8_t *p, size_t len)
{
    size_t          n;
    const uint8_t  *end, *begin;

    end = p + len;

    while (p < end) {

        for (begin = p;
             p < end && *p >= 0x20 && *p < 0x7f && *p != '"' && *p != '\\';
             p++)
        {
            /* void */
        }

        if (p > begin) {
            memcpy(dst, begin, p - begin);
            dst += p - begin;
            continue;
        }

        n = (*p >= 0x80) ? cometa_json_character(p, end - p) : 0;

        if (n) {
            memcpy(dst, p, n);
            dst += n;
            p += n;
            continue;
        }

        dst = cometa_json_escape_one(dst, *p++);
    }

    return dst;
}
