/*
 * Values of request headers. No byte but those of the value may be read, and
 *
 * - what is found in a value is found in it behind other preferences, in the
 *   same way;
 * - a value without "wait" has one when it is appended, unless a quoted string
 *   is open at its end;
 * - a token that is appended to a list is in it;
 * - a number is one if and only if all of it is digits;
 * - credentials are the end of the value, and not empty.
 */

#include <stdlib.h>
#include <string.h>

#include "cometa_header.h"


#define check(cond)  if (!(cond)) { abort(); }


static const char  before[] = "a=\"b, wait=7;\"; wait=8 ,, c ; d,";


/* A value in memory of its size: other text before and behind it. */

static uint8_t *
joined(const char *head, const uint8_t *in, size_t len, const char *tail,
    size_t *size)
{
    uint8_t  *p;

    *size = strlen(head) + len + strlen(tail);

    p = malloc(*size);
    check(p || *size == 0);

    memcpy(p, head, strlen(head));
    memcpy(p + strlen(head), in, len);
    memcpy(p + strlen(head) + len, tail, strlen(tail));

    return p;
}


static int
wait_of(const char *head, const uint8_t *in, size_t len, const char *tail,
    uint32_t *n)
{
    int       rc;
    size_t    size;
    uint8_t  *p;

    *n = 0;
    p = joined(head, in, len, tail, &size);
    rc = cometa_header_wait(p, size, n);
    free(p);

    check(*n <= COMETA_HEADER_MAX);

    return rc;
}


static void
check_wait(const uint8_t *in, size_t len)
{
    int       rc, behind;
    uint32_t  n, m;

    rc = wait_of("", in, len, "", &n);

    behind = wait_of(before, in, len, "", &m);
    check(behind == rc && m == n);

    if (rc == COMETA_HEADER_NONE && memchr(in, '"', len) == NULL) {
        check(wait_of("", in, len, ", wait=7", &n) == COMETA_HEADER_OK);
        check(n == 7);
    }
}


static void
check_token(const uint8_t *in, size_t len)
{
    size_t    size;
    uint8_t  *p;

    p = joined("", in, len, "", &size);
    (void) cometa_header_token(p, size, "websocket");
    free(p);

    p = joined("", in, len, " ,\tWebSocket ", &size);
    check(cometa_header_token(p, size, "websocket"));
    free(p);
}


/* One that is appended is there, unless a quoted string is open before it. */

static void
check_preference(const uint8_t *in, size_t len)
{
    size_t    size;
    uint8_t  *p;

    p = joined("", in, len, "", &size);
    (void) cometa_header_prefers(p, size, "respond-async");
    free(p);

    p = joined("", in, len, " ,\tRespond-Async ", &size);
    check(cometa_header_prefers(p, size, "respond-async")
          || memchr(in, '"', len));
    free(p);
}


static void
check_number(const uint8_t *in, size_t len)
{
    int        digits;
    size_t     i;
    uint32_t   n;

    digits = (len != 0);

    for (i = 0; i < len; i++) {
        digits &= (in[i] >= '0' && in[i] <= '9');
    }

    n = 0;
    check((cometa_header_number(in, len, &n) == COMETA_HEADER_OK) == digits);
    check(n <= COMETA_HEADER_MAX);
}


static void
check_credentials(const uint8_t *in, size_t len)
{
    size_t          size, secret_len;
    uint8_t        *p;
    const uint8_t  *secret;

    p = joined("OAuth ", in, len, "", &size);

    if (cometa_header_credentials(p, size, "oauth", &secret, &secret_len)
        == COMETA_HEADER_OK)
    {
        check(secret_len && secret + secret_len == p + size);
        check(secret[0] != ' ');
    }

    free(p);
}


int
LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
    size_t    size;
    uint8_t  *p;

    p = joined("", in, len, "", &size);

    check_wait(p, size);
    check_token(p, size);
    check_preference(p, size);
    check_number(p, size);
    check_credentials(p, size);

    free(p);

    return 0;
}
