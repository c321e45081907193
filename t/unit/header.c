/*
 * Values of request headers: what counts as a number, as the preference
 * "wait", as a token of a list, and as credentials. Every value is given in
 * memory of exactly its size, so that the sanitizer sees a byte too many.
 */

#include <string.h>

#include "cometa_header.h"
#include "tap.h"


#define NONE       COMETA_HEADER_NONE
#define MALFORMED  COMETA_HEADER_MALFORMED
#define MOST       COMETA_HEADER_MAX


typedef struct {
    const char  *value;
    int          expected;      /* what it is, or NONE or MALFORMED */
} sample_t;

typedef struct {
    const char  *value;
    const char  *expected;      /* NULL: none */
} credentials_t;


static const sample_t  numbers[] = {
    { "0", 0 },
    { "5", 5 },
    { "007", 7 },
    { "999999", MOST },
    { "1000000", MOST },
    { "4294967297", MOST },
    { "99999999999999999999999999", MOST },
    { "", MALFORMED },
    { " ", MALFORMED },
    { "1.5", MALFORMED },
    { "1,5", MALFORMED },
    { "-1", MALFORMED },
    { "+1", MALFORMED },
    { "5 ", MALFORMED },
    { " 5", MALFORMED },
    { "5s", MALFORMED },
    { "0x5", MALFORMED },
    { "five", MALFORMED },
    { "99999999999999999999999999x", MALFORMED }
};


static const sample_t  waits[] = {
    { "wait=5", 5 },
    { "wait=0", 0 },
    { "WAIT=5", 5 },
    { "wait=\"5\"", 5 },
    { "wait = 5", 5 },
    { " \twait\t=\t5\t ", 5 },
    { "wait=5;", 5 },
    { "wait=5; strict", 5 },
    { "wait=5;a=b;wait=7", 5 },
    { "wait=99999999999999999999", MOST },
    { "respond-async, wait=5", 5 },
    { "respond-async,wait=5,handling=lenient", 5 },
    { ", ,,wait=5", 5 },
    { "a=\"x, y; z\", wait=5", 5 },
    { "a=\"\\\", wait=7\", wait=5", 5 },
    { "a;b=\"c, wait=7\";d, wait=5", 5 },
    { "a b c, wait=5", 5 },
    { "a=b=c, wait=5", 5 },

    /* the first one counts */

    { "wait=5, wait=7", 5 },
    { "wait=x, wait=7", MALFORMED },
    { "wait, wait=7", MALFORMED },

    { "wait", MALFORMED },
    { "wait=", MALFORMED },
    { "wait=\"\"", MALFORMED },
    { "wait=\"5", 5 },
    { "wait=1.5", MALFORMED },
    { "wait=-5", MALFORMED },
    { "wait=5s", MALFORMED },
    { "wait=5 7", MALFORMED },
    { "wait 5", MALFORMED },
    { "wait=\" 5\"", MALFORMED },
    { "wait==5", MALFORMED },

    /* no such preference */

    { "", NONE },
    { " ", NONE },
    { ",", NONE },
    { ";", NONE },
    { "wait5", NONE },
    { "waiting=5", NONE },
    { "await=5", NONE },
    { "x-wait=5", NONE },
    { "wai", NONE },
    { "a; wait=5", NONE },
    { "a;b;wait=5;c", NONE },
    { "; wait=5", NONE },
    { "a=\"wait=5\"", NONE },
    { "a=\", wait=5", NONE },
    { "a=\", wait=5\\", NONE },
    { "a=wait=5", NONE },
    { "=5", NONE },
    { "\"wait\"=5", NONE }
};


/* with "echo" 1000 more */

static const sample_t  intervals[] = {
    { "300", 300 },
    { "30;echo", 1030 },
    { "30 ; ECHO ", 1030 },
    { "30\t;\techo;", 1030 },
    { "30;a;echo;b", 1030 },
    { "30;", 30 },
    { "30;;", 30 },
    { "30;echoes", 30 },
    { "0", 0 },
    { "99999999999999", MOST },
    { "", MALFORMED },
    { ";echo", MALFORMED },
    { "echo", MALFORMED },
    { " 30", MALFORMED },
    { "30s", MALFORMED },
    { "30 echo", MALFORMED },
    { "30;echo=1", MALFORMED },
    { "30;echo, 40", MALFORMED },
    { "30, 40", MALFORMED },
    { "30.5", MALFORMED },
    { "-30", MALFORMED }
};


static const sample_t  preferences[] = {
    { "respond-async", 1 },
    { "Respond-Async", 1 },
    { " respond-async ", 1 },
    { "respond-async, wait=5", 1 },
    { "wait=5, respond-async", 1 },
    { "respond-async; x=y", 1 },
    { "respond-async=1", 1 },
    { "a=\"b, c\"; d, respond-async", 1 },
    { ",,respond-async,,", 1 },
    { "", 0 },
    { "wait=5", 0 },
    { "respond", 0 },
    { "respond-asynchronous", 0 },
    { "x; respond-async", 0 },
    { "x=respond-async", 0 },
    { "x=\", respond-async\"", 0 },
    { "\"respond-async\"", 0 }
};


static const sample_t  tokens[] = {
    { "websocket", 1 },
    { "WebSocket", 1 },
    { " websocket\t", 1 },
    { "h2c, websocket", 1 },
    { "h2c,websocket,", 1 },
    { ",, websocket", 1 },
    { "", 0 },
    { ",", 0 },
    { "h2c", 0 },
    { "websocket/13", 0 },
    { "websocket2", 0 },
    { "xwebsocket", 0 },
    { "websocke", 0 },
    { "web socket", 0 },
    { "h2c websocket", 0 },
    { "\"websocket\"", 0 }
};


static const credentials_t  credentials[] = {
    { "OAuth s3cret", "s3cret" },
    { "oauth s3cret", "s3cret" },
    { "OAUTH   s3cret", "s3cret" },
    { "OAuth a b ", "a b " },
    { "OAuth OAuth", "OAuth" },
    { "OAuth \t", "\t" },
    { "", NULL },
    { "OAuth", NULL },
    { "OAuth ", NULL },
    { "OAuth    ", NULL },
    { "OAuths3cret", NULL },
    { "OAuth\ts3cret", NULL },
    { "OAut h", NULL },
    { " OAuth s3cret", NULL },
    { "Basic s3cret", NULL }
};


#define N(a)  (sizeof(a) / sizeof(a[0]))


/* To be freed; with no bytes there is none that may be read. */

static uint8_t *
exact(const char *value)
{
    uint8_t  *p;

    p = malloc(strlen(value));
    memcpy(p, value, strlen(value));

    return p;
}


static void
check(const char *what, const sample_t *s, int rc, uint32_t n)
{
    if (rc == COMETA_HEADER_OK) {
        rc = n;
    }

    if (!ok(rc == s->expected, "%s: '%s'", what, s->value)) {
        diag("got %d, expected %d", rc, s->expected);
    }
}


static void
check_samples(const char *what, const sample_t *s, size_t count,
    int (*read)(const uint8_t *p, size_t len, uint32_t *n))
{
    int        rc;
    size_t     i;
    uint8_t   *p;
    uint32_t   n;

    for (i = 0; i < count; i++) {
        p = exact(s[i].value);
        n = 0;
        rc = read(p, strlen(s[i].value), &n);
        check(what, &s[i], rc, n);
        free(p);
    }
}


static int
read_preference(const uint8_t *p, size_t len, uint32_t *n)
{
    *n = cometa_header_prefers(p, len, "respond-async");

    return COMETA_HEADER_OK;
}


static int
read_token(const uint8_t *p, size_t len, uint32_t *n)
{
    *n = cometa_header_token(p, len, "websocket");

    return COMETA_HEADER_OK;
}


static int
read_interval(const uint8_t *p, size_t len, uint32_t *n)
{
    int  rc, echo;

    rc = cometa_header_interval(p, len, n, &echo);
    *n += echo ? 1000 : 0;

    return rc;
}


static void
check_credentials(const credentials_t *c)
{
    int             rc, pass;
    size_t          len;
    uint8_t        *p;
    const uint8_t  *secret;

    p = exact(c->value);
    rc = cometa_header_credentials(p, strlen(c->value), "oauth", &secret,
                                   &len);

    pass = c->expected ? rc == COMETA_HEADER_OK
                         && len == strlen(c->expected)
                         && memcmp(secret, c->expected, len) == 0
                       : rc == COMETA_HEADER_NONE;

    ok(pass, "credentials: '%s'", c->value);
    free(p);
}


int
main(void)
{
    size_t  i;

    check_samples("number", numbers, N(numbers), cometa_header_number);
    check_samples("wait", waits, N(waits), cometa_header_wait);
    check_samples("interval", intervals, N(intervals), read_interval);
    check_samples("token", tokens, N(tokens), read_token);
    check_samples("preference", preferences, N(preferences),
                  read_preference);

    for (i = 0; i < N(credentials); i++) {
        check_credentials(&credentials[i]);
    }

    return done_testing();
}
