/*
 * Values of HTTP request headers. See cometa_header.h.
 */

#include "cometa_header.h"

#include <string.h>


/* What is left of a value that is being read. */

typedef struct {
    const uint8_t  *p;
    const uint8_t  *end;
} cometa_text_t;


static int
cometa_header_space(uint8_t ch)
{
    return ch == ' ' || ch == '\t';
}


/* tchar of RFC 9110 */

static int
cometa_header_tchar(uint8_t ch)
{
    return (ch >= '0' && ch <= '9')
           || (ch >= 'a' && ch <= 'z')
           || (ch >= 'A' && ch <= 'Z')
           || (ch && strchr("!#$%&'*+-.^_`|~", ch));
}


static void
cometa_header_skip_space(cometa_text_t *t)
{
    while (t->p < t->end && cometa_header_space(*t->p)) {
        t->p++;
    }
}


/* Takes the character `ch` and reports whether it was there. */

static int
cometa_header_take(cometa_text_t *t, uint8_t ch)
{
    if (t->p == t->end || *t->p != ch) {
        return 0;
    }

    t->p++;

    return 1;
}


static cometa_text_t
cometa_header_take_token(cometa_text_t *t)
{
    cometa_text_t  token;

    token.p = t->p;

    while (t->p < t->end && cometa_header_tchar(*t->p)) {
        t->p++;
    }

    token.end = t->p;

    return token;
}


/*
 * The text between quotes, as it stands: an escaped character is passed over
 * with its backslash. If the closing quote is missing the text is all that is
 * left.
 */

static cometa_text_t
cometa_header_take_quoted(cometa_text_t *t)
{
    cometa_text_t  text;

    text.p = ++t->p;

    while (t->p < t->end && *t->p != '"') {
        t->p += (*t->p == '\\' && t->end - t->p > 1) ? 2 : 1;
    }

    text.end = t->p;

    (void) cometa_header_take(t, '"');

    return text;
}


/* `word` is in small letters. */

static int
cometa_header_is(const uint8_t *p, size_t len, const char *word)
{
    size_t   i;
    uint8_t  ch;

    if (len != strlen(word)) {
        return 0;
    }

    for (i = 0; i < len; i++) {
        ch = (p[i] >= 'A' && p[i] <= 'Z') ? p[i] | 0x20 : p[i];

        if (ch != (uint8_t) word[i]) {
            return 0;
        }
    }

    return 1;
}


int
cometa_header_number(const uint8_t *p, size_t len, uint32_t *n)
{
    size_t    i;
    uint32_t  sum;

    if (len == 0) {
        return COMETA_HEADER_MALFORMED;
    }

    sum = 0;

    for (i = 0; i < len; i++) {
        if (p[i] < '0' || p[i] > '9') {
            return COMETA_HEADER_MALFORMED;
        }

        sum = sum * 10 + (p[i] - '0');

        if (sum > COMETA_HEADER_MAX) {
            sum = COMETA_HEADER_MAX;
        }
    }

    *n = sum;

    return COMETA_HEADER_OK;
}


int
cometa_header_interval(const uint8_t *p, size_t len, uint32_t *n, int *echo)
{
    cometa_text_t  t, word;

    *echo = 0;

    t.p = p;
    t.end = p + len;

    word = cometa_header_take_token(&t);

    if (cometa_header_number(word.p, word.end - word.p, n)
        != COMETA_HEADER_OK)
    {
        return COMETA_HEADER_MALFORMED;
    }

    for ( ;; ) {
        cometa_header_skip_space(&t);

        if (t.p == t.end) {
            return COMETA_HEADER_OK;
        }

        if (!cometa_header_take(&t, ';')) {
            return COMETA_HEADER_MALFORMED;
        }

        cometa_header_skip_space(&t);

        word = cometa_header_take_token(&t);

        if (cometa_header_is(word.p, word.end - word.p, "echo")) {
            *echo = 1;
        }
    }
}


/* An item of a preference; without a value both ends of it are NULL. */

static void
cometa_header_item(cometa_text_t *t, cometa_text_t *name,
    cometa_text_t *value)
{
    value->p = NULL;
    value->end = NULL;

    cometa_header_skip_space(t);
    *name = cometa_header_take_token(t);
    cometa_header_skip_space(t);

    if (!cometa_header_take(t, '=')) {
        return;
    }

    cometa_header_skip_space(t);

    *value = (t->p < t->end && *t->p == '"') ? cometa_header_take_quoted(t)
                                             : cometa_header_take_token(t);

    cometa_header_skip_space(t);
}


/*
 * Passes over what does not belong to an item, up to the `;` or `,` behind it
 * or to the end. Returns whether there was anything.
 */

static int
cometa_header_skip_rest(cometa_text_t *t)
{
    const uint8_t  *begin;

    begin = t->p;

    while (t->p < t->end && *t->p != ',' && *t->p != ';') {
        if (*t->p == '"') {
            (void) cometa_header_take_quoted(t);

        } else {
            t->p++;
        }
    }

    return t->p != begin;
}


int
cometa_header_wait(const uint8_t *p, size_t len, uint32_t *n)
{
    int            garbage;
    cometa_text_t  t, name, value, ignored;

    t.p = p;
    t.end = p + len;

    do {
        cometa_header_item(&t, &name, &value);
        garbage = cometa_header_skip_rest(&t);

        if (cometa_header_is(name.p, name.end - name.p, "wait")) {
            return garbage ? COMETA_HEADER_MALFORMED
                           : cometa_header_number(value.p,
                                                  value.end - value.p, n);
        }

        while (cometa_header_take(&t, ';')) {
            cometa_header_item(&t, &ignored, &value);
            (void) cometa_header_skip_rest(&t);
        }

    } while (cometa_header_take(&t, ','));

    return COMETA_HEADER_NONE;
}


int
cometa_header_prefers(const uint8_t *p, size_t len, const char *wanted)
{
    cometa_text_t  t, name, ignored;

    t.p = p;
    t.end = p + len;

    do {
        cometa_header_item(&t, &name, &ignored);
        (void) cometa_header_skip_rest(&t);

        if (cometa_header_is(name.p, name.end - name.p, wanted)) {
            return 1;
        }

        while (cometa_header_take(&t, ';')) {
            (void) cometa_header_skip_rest(&t);
        }

    } while (cometa_header_take(&t, ','));

    return 0;
}


int
cometa_header_token(const uint8_t *p, size_t len, const char *token)
{
    const uint8_t  *end, *begin, *last;

    end = p + len;

    for ( ;; ) {

        while (p < end && cometa_header_space(*p)) {
            p++;
        }

        for (begin = p; p < end && *p != ','; p++) {
            /* void */
        }

        for (last = p; last > begin && cometa_header_space(last[-1]); last--) {
            /* void */
        }

        if (cometa_header_is(begin, last - begin, token)) {
            return 1;
        }

        if (p == end) {
            return 0;
        }

        p++;
    }
}


int
cometa_header_credentials(const uint8_t *p, size_t len, const char *scheme,
    const uint8_t **secret, size_t *secret_len)
{
    size_t          n;
    const uint8_t  *end;

    n = strlen(scheme);
    end = p + len;

    if (len <= n || p[n] != ' ' || !cometa_header_is(p, n, scheme)) {
        return COMETA_HEADER_NONE;
    }

    for (p += n; p < end && *p == ' '; p++) {
        /* void */
    }

    *secret = p;
    *secret_len = end - p;

    return p == end ? COMETA_HEADER_NONE : COMETA_HEADER_OK;
}
