/*
 * JSON as it comes over a WebSocket, what is written, and base64.
 */

#include <string.h>

#include "cometa_base64.h"
#include "cometa_json.h"
#include "cometa_utf8.h"
#include "tap.h"


typedef struct {
    const char  *text;
    const char  *members;       /* "name=value" each, or the error */
} sample_t;


static const char *said(const char *text, size_t len);
static void test_samples(void);
static void test_strings(void);
static void test_utf8(void);
static void test_cut(void);
static void test_ms(void);
static void test_escape(void);
static void test_base64(void);


int
main(void)
{
    test_samples();
    test_strings();
    test_utf8();
    test_cut();
    test_ms();
    test_escape();
    test_base64();

    return done_testing();
}


/* In memory of its size: what is read behind it is found by the sanitizer. */

static const char *
said(const char *text, size_t len)
{
    int                    rc;
    char                  *p;
    uint8_t               *copy;
    cometa_json_t          json;
    cometa_json_member_t   m;

    static char  out[4096];

    static const char  *errors[] = { "", "malformed", "no object", "nested",
                                     "no text" };

    copy = malloc(len ? len : 1);
    memcpy(copy, text, len);

    cometa_json_init(&json, copy, len);

    p = out;
    *p = '\0';

    while ((rc = cometa_json_next(&json, &m)) == COMETA_JSON_MEMBER) {

        if (p != out) {
            *p++ = '|';
        }

        memcpy(p, m.name, m.name_len);
        p += m.name_len;

        *p++ = (m.type == COMETA_JSON_STRING) ? '='
               : (m.type == COMETA_JSON_NUMBER) ? '#' : '!';

        memcpy(p, m.value, m.len);
        p += m.len;
        *p = '\0';
    }

    if (rc < 0) {
        strcpy(out, errors[-rc]);

        if (cometa_json_next(&json, &m) != rc) {
            strcpy(out, "an error that is not final");
        }

    } else if (cometa_json_next(&json, &m) != COMETA_JSON_END) {
        strcpy(out, "an end that is not final");
    }

    free(copy);

    return out;
}


static void
test_samples(void)
{
    size_t  i;

    static const sample_t  samples[] = {
        { "{}", "" },
        { " {\t}\r\n", "" },
        { "{\"a\":\"b\"}", "a=b" },
        { " { \"a\" : \"b\" , \"c\" : 1 } ", "a=b|c#1" },
        { "{\"call\":\"7\",\"device\":\"lamp-1\",\"message\":\"on\","
          "\"wait\":5}", "call=7|device=lamp-1|message=on|wait#5" },
        { "{\"a\":true,\"b\":false,\"c\":null}", "a!true|b!false|c!null" },
        { "{\"a\":1,\"a\":2}", "a#1|a#2" },
        { "{\"\":\"\"}", "=" },
        { "{\"a\":-0.5e+10}", "a#-0.5e+10" },
        { "{\"a\":0}", "a#0" },
        { "{\"a\":1E5}", "a#1E5" },

        { "", "no object" },
        { "  ", "no object" },
        { "[]", "no object" },
        { "\"a\"", "no object" },
        { "7", "no object" },
        { "{", "malformed" },
        { "{}}", "malformed" },
        { "{} {}", "malformed" },
        { "{,}", "malformed" },
        { "{\"a\":1,}", "malformed" },
        { "{\"a\":1 \"b\":2}", "malformed" },
        { "{\"a\"}", "malformed" },
        { "{\"a\":}", "malformed" },
        { "{a:1}", "malformed" },
        { "{'a':1}", "malformed" },
        { "{\"a\":\"b}", "malformed" },
        { "{\"a\":\"b\\\"}", "malformed" },
        { "{\"a\":\"\n\"}", "malformed" },
        { "{\"a\":\"\\x\"}", "malformed" },
        { "{\"a\":\"\\u12g4\"}", "malformed" },
        { "{\"a\":\"\\u12\"}", "malformed" },
        { "{\"a\":truer}", "malformed" },
        { "{\"a\":nul}", "malformed" },
        { "{\"a\":True}", "malformed" },
        { "{\"a\":01}", "malformed" },
        { "{\"a\":+1}", "malformed" },
        { "{\"a\":.5}", "malformed" },
        { "{\"a\":1.}", "malformed" },
        { "{\"a\":1e}", "malformed" },
        { "{\"a\":-}", "malformed" },
        { "{\"a\":0x10}", "malformed" },
        { "{\"a\":NaN}", "malformed" },
        { "{\"a\":{}}", "nested" },
        { "{\"a\":[1]}", "nested" },
        { "{\"a\":1,\"b\":[[[[[[[[", "nested" }
    };

    for (i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        ok(strcmp(said(samples[i].text, strlen(samples[i].text)),
                  samples[i].members) == 0,
           "message %zu: %s", i, samples[i].members);
    }
}


static void
test_strings(void)
{
    ok(strcmp(said("{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}", 24),
              "a=\"\\/\b\f\n\r\t") == 0, "the short escapes");
    ok(strcmp(said("{\"\\u0061\":\"\\u00e9\\u20AC\"}", 25),
              "a=\xc3\xa9\xe2\x82\xac") == 0, "code points, in a name, too");
    ok(strcmp(said("{\"a\":\"\\ud83d\\ude00!\"}", 21),
              "a=\xf0\x9f\x98\x80!") == 0, "a surrogate pair");
    ok(strcmp(said("{\"a\":\"\\udbff\\udfff\"}", 20),
              "a=\xf4\x8f\xbf\xbf") == 0, "the last code point");
    ok(memcmp(said("{\"a\":\"x\\u0000y\"}", 16), "a=x\0y", 5) == 0,
       "a zero byte");

    ok(strcmp(said("{\"a\":\"\\ud83d\"}", 14), "no text") == 0,
       "the first half of a pair alone");
    ok(strcmp(said("{\"a\":\"\\ude00\"}", 14), "no text") == 0,
       "the second half alone");
    ok(strcmp(said("{\"a\":\"\\ud83d\\ud83d\"}", 20), "no text") == 0,
       "two first halves");
    ok(strcmp(said("{\"a\":\"\\ud83dx\\ude00\"}", 21), "no text") == 0,
       "something between the halves");
}


static void
test_utf8(void)
{
    int       pass;
    uint8_t   text[16];
    uint32_t  i, valid;

    pass = 1;
    valid = 0;

    for (i = 0; i < 1u << 24; i += (i < 1u << 16) ? 1 : 127) {
        memcpy(text, "{\"a\":\"", 6);
        text[6] = i | 0x80;
        text[7] = (i >> 8) | 0x80;
        text[8] = (i >> 16) | 0x80;
        memcpy(text + 9, "\"}", 2);

        valid += cometa_utf8_valid(text + 6, 3);
        pass &= (strcmp(said((char *) text, 11), "no text") != 0)
                == cometa_utf8_valid(text + 6, 3);
    }

    ok(pass && valid > 0, "a string is valid if it is UTF-8");
}


/* Whatever is cut off is missed, and nothing behind it is read. */

static void
test_cut(void)
{
    int          pass;
    size_t       i;
    const char  *whole = "{\"call\":\"\\ud83d\\ude00\\n\",\"wait\":-1.5e+3,"
                         "\"x\":true}";

    pass = 1;

    for (i = 0; i < strlen(whole); i++) {
        pass &= strcmp(said(whole, i), (i == 0) ? "no object" : "malformed")
                == 0
                || strcmp(said(whole, i), "no text") == 0;
    }

    ok(pass && strchr(said(whole, i), '|') != NULL, "a message that is cut");
}


static void
test_ms(void)
{
    size_t  i;

    static const struct {
        const char  *text;
        int64_t      ms;
    } samples[] = {
        { "0", 0 }, { "5", 5000 }, { "0.5", 500 }, { "1.25", 1250 },
        { "0.001", 1 }, { "12.345", 12345 }, { "59.999", 59999 },
        { "60", 60000 }, { "61", 60000 }, { "99999999999999999999", 60000 },
        { "99999999999999999999.999", 60000 },
        { "-1", -1 }, { "1e3", -1 }, { "0.0001", -1 }, { "-0", -1 }
    };

    for (i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        ok(cometa_json_ms((uint8_t *) samples[i].text, strlen(samples[i].text),
                          60000)
           == samples[i].ms, "%s s", samples[i].text);
    }
}


/* What is written is read again as it was. */

static void
test_escape(void)
{
    int           pass;
    size_t        i, len;
    char          text[64], want[64];
    uint8_t      *end, data[8], out[COMETA_JSON_ESCAPE * 8 + 16];
    const char   *plain;

    end = cometa_json_escape(out, (uint8_t *) "a\"b\\c\n\t\x01\x7f\xc3\xa9",
                             11);
    *end = '\0';
    ok(strcmp((char *) out, "a\\\"b\\\\c\\n\\t\\u0001\\u007f\xc3\xa9") == 0,
       "what has to be escaped is");

    end = cometa_json_escape(out, (uint8_t *) "\xc3(\xff", 3);
    *end = '\0';
    ok(strcmp((char *) out, "\\u00c3(\\u00ff") == 0,
       "a byte that is not UTF-8");

    pass = 1;

    for (i = 1; i < 1u << 24; i += (i < 1u << 16) ? 1 : 251) {
        data[0] = i;
        data[1] = i >> 8;
        data[2] = i >> 16;
        len = data[2] ? 3 : data[1] ? 2 : 1;

        if (!cometa_utf8_valid(data, len)) {
            continue;
        }

        memcpy(text, "{\"a\":\"", 6);
        end = cometa_json_escape((uint8_t *) text + 6, data, len);
        memcpy(end, "\"}", 2);

        memcpy(want, "a=", 2);
        memcpy(want + 2, data, len);

        plain = said(text, end + 2 - (uint8_t *) text);
        pass &= memcmp(plain, want, len + 2) == 0;
        pass &= end - ((uint8_t *) text + 6)
                <= (int) (COMETA_JSON_ESCAPE * len);
    }

    ok(pass, "what is written is read again");
}


static void
test_base64(void)
{
    int       pass;
    size_t    i, len, n;
    uint8_t   data[256], text[512];

    static const struct {
        const char  *text;
        const char  *plain;     /* NULL: wrong */
    } samples[] = {
        { "", "" }, { "Zg==", "f" }, { "Zm8=", "fo" }, { "Zm9v", "foo" },
        { "Zg", "f" }, { "Zm8", "fo" }, { "Zm9vYmFy", "foobar" },
        { "Z", NULL }, { "Zg=", NULL }, { "Zg===", NULL }, { "=", NULL },
        { "====", NULL }, { "Z===", NULL }, { "Zm9v=", NULL },
        { "Zh==", NULL }, { "Zm9=", NULL }, { "Zm 9v", NULL },
        { "Zm9v\n", NULL }, { "Zm-_", NULL }, { "Zg==Zg==", NULL }
    };

    for (i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        len = strlen(samples[i].text);
        memcpy(text, samples[i].text, len);

        pass = cometa_base64_decode(text, &len);

        ok(samples[i].plain
           ? pass == 0 && len == strlen(samples[i].plain)
             && memcmp(text, samples[i].plain, len) == 0
           : pass != 0,
           "base64 %zu", i);
    }

    pass = 1;

    for (len = 0; len <= sizeof(data); len++) {

        for (i = 0; i < len; i++) {
            data[i] = i * 151 + len * 7;
        }

        n = cometa_base64_encode(text, data, len) - text;
        pass &= n == cometa_base64_len(len);
        pass &= cometa_base64_decode(text, &n) == 0 && n == len
                && memcmp(text, data, len) == 0;
    }

    ok(pass, "base64 of any length");
}
