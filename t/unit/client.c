/*
 * The device library in C: what it makes of all that a server may say, given
 * whole, byte by byte and in every split in two; what it writes; and when it
 * comes back.
 */

#include "client_said.h"


#define WS    COMETA_WEBSOCKET
#define ECHO  COMETA_ECHO
#define ASK   COMETA_REQUESTS
#define N(a)  (sizeof(a) / sizeof(a[0]))
#define IN(s) s, sizeof(s) - 1

#define H(status, more)  "HTTP/1.1 " status "\r\n" more "\r\n"
#define X40   "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X200  X40 X40 X40 X40 X40
#define X600  X200 X200 X200
#define OPENED_ECHO                                                          \
    "HTTP/1.1 101 x\r\nsec-websocket-accept:good\r\nCometa-Heartbeat: 60;"   \
    "echo\r\nCometa-Requests: on\r\n\r\n\x81\x2a" WELCOME


typedef struct {
    const char  *name;
    unsigned     flags;
    const char  *script;
    size_t       len;
    const char  *trace;
} sample_t;


static const sample_t  samples[] = {

    /* chunks */

    { "attach", 0, IN(ATTACHED), "attached 1 60 7; lost; " },
    { "a call", 0, IN(ATTACHED "5\r\nhello\r\n"),
      "attached 1 60 7; call [hello]; lost; " },
    { "two calls, an extension, a bare LF", 0,
      IN(ATTACHED "2;a=b\r\nab\r\n01\nc\n"),
      "attached 1 60 7; call [ab]; call [c]; lost; " },
    { "a call of CRLF", 0, IN(ATTACHED "2\r\n\r\n\r\n"),
      "attached 1 60 7; call [\r\n]; lost; " },
    { "what looks like an echo, not asked for", 0,
      IN(ATTACHED "1\r\n\x06\r\n"),
      "attached 1 60 7; call [\x06]; lost; " },
    { "larger than the buffer", 0,
      IN(ATTACHED "258\r\n" X600 "\r\n1\r\ny\r\n"),
      "attached 1 60 7; call 0+256..; call 256+256..; call 512+88; "
      "call [y]; lost; " },
    { "as large as the buffer", 0,
      IN(ATTACHED "100\r\n" X200 X40 "xxxxxxxxxxxxxxxx\r\n"),
      "attached 1 60 7; call 256; lost; " },
    { "a last chunk", 0, IN(ATTACHED "1\r\na\r\n0\r\n\r\n"),
      "attached 1 60 7; call [a]; closed; " },
    { "100 Continue before", 0, IN(H("100 Continue", "") ATTACHED),
      "attached 1 60 7; lost; " },
    { "a header longer than the buffer", 0,
      IN(H("200 OK", "X: " X600 "\r\nY: " X40 "\r\n") "2a\r\n" WELCOME "\r\n"),
      "attached 1 60 7; lost; " },

    /* the connection ends */

    { "nothing", 0, IN(""), "lost; " },
    { "half of a status", 0, IN("HTTP/1.1 20"), "lost; " },
    { "half of the headers", 0, IN("HTTP/1.1 200 OK\r\nServer: n"),
      "lost 200; " },
    { "half of the welcome", 0, IN(OK_200 "2a\r\n{\"msg\""), "lost 200; " },
    { "half of a call", 0, IN(ATTACHED "5\r\nhel"),
      "attached 1 60 7; lost; " },
    { "half of a large call", 0, IN(ATTACHED "258\r\n" X200 X200),
      "attached 1 60 7; call 0+256..; lost; " },

    /* garbage */

    { "another protocol", 0, IN("SSH-2.0-OpenSSH_9.2\r\n"), "malformed; " },
    { "binary", 0, IN("\x15\x03\x03\0\x02\x02\x28\n\n\n\n"), "malformed; " },
    { "no chunks", 0, IN(H("200 OK", "") "<html>\r\n"), "malformed 200; " },
    { "another JSON", 0, IN(OK_200 "2\r\n{}\r\n"), "malformed 200; " },
    { "a heartbeat of 0", 0, IN(OK_200 "f\r\n{\"heartbeat\":0}\r\n"),
      "malformed 200; " },
    { "a heartbeat too large", 0,
      IN(OK_200 "18\r\n{\"heartbeat\":4294967297}\r\n"), "malformed 200; " },
    { "a size of nine digits", 0, IN(ATTACHED "000000001\r\nx\r\n"),
      "attached 1 60 7; malformed; " },
    { "a huge chunk", 0, IN(ATTACHED "FFFFFFFF\r\nabc"),
      "attached 1 60 7; lost; " },
    { "no size", 0, IN(ATTACHED "\r\nx\r\n"),
      "attached 1 60 7; malformed; " },
    { "a size with a sign", 0, IN(ATTACHED "-1\r\nx\r\n"),
      "attached 1 60 7; malformed; " },
    { "a size line longer than the buffer", 0,
      IN(ATTACHED "1;" X600 "\r\nx\r\n"),
      "attached 1 60 7; malformed; " },
    { "more data than its size", 0, IN(ATTACHED "1\r\nxy\r\n"),
      "attached 1 60 7; call [x]; malformed; " },
    { "a WebSocket that was not asked for", 0, IN(OPENED),
      "malformed 101; " },
    { "chunks in place of a WebSocket", WS, IN(ATTACHED), "refused 200; " },

    /* refusals */

    { "401", 0, IN(H("401 Unauthorized", "Content-Length: 0\r\n")),
      "refused 401; " },
    { "403", 0, IN(H("403 Forbidden", "Content-Length: 44\r\n")
                   "{\"msg\":\"403 Forbidden\",\"error\":\"forbidden\"}"),
      "refused 403 forbidden; " },
    { "404", 0, IN(H("404 Not Found", "Content-Length: 6\r\n") "<html>"),
      "refused 404; " },
    { "429", 0, IN(H("429 Too Many Requests", "retry-after:30\r\n"
                     "CONTENT-LENGTH:  23\r\n") "{\"error\":\"device_busy\"}"),
      "refused 429 device_busy; " },
    { "503, in chunks", 0, IN(H("503 x", "Transfer-Encoding: chunked\r\n")
                              "16\r\n{\"error\":\"zone_full\"}\r\n0\r\n\r\n"),
      "refused 503 zone_full; " },
    { "404, and what is not its body", 0,
      IN(H("404 x", "Content-Length: 2\r\n") "{}{\"error\":\"x\"}"),
      "refused 404; " },
    { "503, cut", 0, IN(H("503 x", "Content-Length: 50\r\n") "{\"error\":\"zo"),
      "refused 503; " },
    { "a refusal longer than the buffer", 0,
      IN(H("302 x", "") "{\"error\":\"x\"}" X600), "refused 302 x; " },

    /* frames */

    { "frames", WS, IN(OPENED), "attached 1 60 7; lost; " },
    { "a key that is not ours", WS,
      IN(H("101 x", "Sec-WebSocket-Accept: bad\r\n") "\x81\x2a" WELCOME),
      "malformed 101; " },
    { "no key", WS, IN(H("101 x", "Upgrade: websocket\r\n") "\x81\x01x"),
      "malformed 101; " },
    { "binary and text", WS, IN(OPENED "\x82\x02\x06\x07\x81\x01y"),
      "attached 1 60 7; call [\x06\x07]; call [y]; lost; " },
    { "fragments with a ping between", WS,
      IN(OPENED "\x02\x01" "a\x89\x01p\0\x01" "b\x80\0\x82\x01z"),
      "attached 1 60 7; call 0+[a]..; call 1+[b]..; call 2+[]; "
      "call [z]; lost; " },
    { "a long frame", WS, IN(OPENED "\x82\x7e\x02\x58" X600),
      "attached 1 60 7; call 0+256..; call 256+256..; call 512+88; "
      "lost; " },
    { "a longer length than needed", WS,
      IN(OPENED "\x82\x7f\0\0\0\0\0\0\0\x01x"),
      "attached 1 60 7; call [x]; lost; " },
    { "a frame of 16 exabytes", WS,
      IN(OPENED "\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xffx"),
      "attached 1 60 7; malformed; " },
    { "an empty one is no call", WS, IN(OPENED "\x82\0\x82\x01x"),
      "attached 1 60 7; call [x]; lost; " },
    { "a pong", WS, IN(OPENED "\x8a\x02hi\x82\x01x"),
      "attached 1 60 7; call [x]; lost; " },
    { "a close", WS, IN(OPENED "\x88\x06\x03\xe9" "away"),
      "attached 1 60 7; closed 1001 away; " },
    { "a close without a code", WS, IN(OPENED "\x88\0"),
      "attached 1 60 7; closed; " },
    { "a mask", WS, IN(OPENED "\x82\x81" "abcdx"),
      "attached 1 60 7; malformed; " },
    { "compressed", WS, IN(OPENED "\xc2\x01x"),
      "attached 1 60 7; malformed; " },
    { "an opcode of the future", WS, IN(OPENED "\x83\x01x"),
      "attached 1 60 7; malformed; " },
    { "a control frame of the future", WS, IN(OPENED "\x8b\0"),
      "attached 1 60 7; malformed; " },
    { "a ping in fragments", WS, IN(OPENED "\x09\x01x"),
      "attached 1 60 7; malformed; " },
    { "a ping too long", WS, IN(OPENED "\x89\x7e\0\x80"),
      "attached 1 60 7; malformed; " },
    { "a continuation of nothing", WS, IN(OPENED "\x80\x01x"),
      "attached 1 60 7; malformed; " },
    { "a message within another", WS, IN(OPENED "\x02\x01x\x82\x01y"),
      "attached 1 60 7; call 0+[x]..; malformed; " },

    /* what was asked for */

    { "an echo", WS | ECHO, IN(OPENED_ECHO "\x82\x01\x06\x82\x02\x06\x06"),
      "attached 1 60 7; call [\x06\x06]; lost; " },
    { "an answer", WS | ASK, IN(OPENED_ECHO "\x82\x05\x05" "a1\ny"),
      "attached 1 60 7; answer (a1) [y]; lost; " },
    { "an empty answer", WS | ASK, IN(OPENED_ECHO "\x82\x04\x05" "a1\n"),
      "attached 1 60 7; answer (a1) []; lost; " },
    { "a large answer", WS | ASK,
      IN(OPENED_ECHO "\x82\x7e\x02\x5c\x05" "a1\n" X600),
      "attached 1 60 7; answer (a1) 0+252..; answer 252+256..; "
      "answer 508+92; lost; " },
    { "an answer without an id", WS | ASK,
      IN(OPENED_ECHO "\x82\x7e\0\xc9\x05" X200),
      "attached 1 60 7; malformed; " },
    { "what would be an answer", WS, IN(OPENED "\x82\x03\x05" "a\n"),
      "attached 1 60 7; call [\x05" "a\n]; lost; " },
};


static void
check_sample(const sample_t *s)
{
    int     good = 1;
    size_t  cut;

    for (cut = 0; cut <= s->len && good; cut++) {
        world_start(s->script, s->len, s->flags);
        w.most = cut == s->len;
        w.cut = cut;
        world_run(UINT32_MAX / 4);

        good = strcmp(w.trace, s->trace) == 0 && w.opened == 1
               && w.closed == 1;
    }

    if (!ok(good, "%s", s->name)) {
        diag("cut at %zu: %s", cut - 1, w.trace);
    }
}


static void
check_waits(const char *name, const sample_t *s, uint32_t least, uint32_t most)
{
    size_t    i;
    uint32_t  low = UINT32_MAX, high = 0;

    for (i = 0; i < 2000; i++) {
        world_start(s->script, s->len, s->flags);
        w.random = (uint32_t) i * 2654435761u;
        w.unreachable = s->script == NULL;
        world_run(1000);

        low = w.wait < low ? w.wait : low;
        high = w.wait > high ? w.wait : high;
    }

    if (!ok(low >= least && low - least <= (most - least) / 20
            && high <= most && most - high <= (most - least) / 20,
            "%s: waits %u to %u ms", name, least, most))
    {
        diag("%u to %u: %s", low, high, w.trace);
    }
}


/* The first wait after each kind of end. */

static void
test_waits(void)
{
    static const sample_t  none = { "", 0, NULL, 0, "" };
    static const sample_t  lost = { "", 0, IN(ATTACHED), "" };
    static const sample_t  last = { "", 0, IN(ATTACHED "0\r\n\r\n"), "" };
    static const sample_t  away = { "", WS, IN(OPENED "\x88\x02\x0f\xa0"), "" };
    static const sample_t  drain = {
        "", WS, IN(OPENED "\x88\x0a\x03\xf4" "draining"), ""
    };
    static const sample_t  forbidden = { "", 0, IN(H("403 x", "")), "" };
    static const sample_t  busy = {
        "", 0, IN(H("503 x", "Retry-After: 30\r\n")), ""
    };
    static const sample_t  date = {
        "", 0, IN(H("503 x", "Retry-After: Fri, 27 Nov 2026\r\n")), ""
    };
    static const sample_t  ever = {
        "", 0, IN(H("429 x", "Retry-After: 99999999999\r\n")), ""
    };

    check_waits("unreachable", &none, 0, 1000);
    check_waits("lost", &lost, 0, 1000);
    check_waits("a last chunk", &last, 5000, 10000);
    check_waits("a close frame", &away, 5000, 10000);
    check_waits("a server that leaves", &drain, 0, 1000);
    check_waits("403", &forbidden, 30000, 60000);
    check_waits("Retry-After", &busy, 30000, 38500);
    check_waits("a date in it", &date, 0, 1000);
    check_waits("for ever", &ever, 86400000, 109000000);
}


/* The limit doubles up to a maximum, and a steady connection resets it. */

static void
test_backoff(void)
{
    int       i, good = 1;
    uint32_t  limit = 1000, high = 0, before;

    world_start("", 0, 0);
    w.unreachable = 1;

    for (i = 0; i < 40; i++) {
        before = w.clock;
        cometa_step(&w.device, 1000);

        while (cometa_due(&w.device) != 0) {
            cometa_step(&w.device, 1000);
        }

        good = good && w.wait <= limit && w.clock - before == w.wait;
        high = w.wait > high ? w.wait : high;
        limit = limit * 2 < RETRY_MAX ? limit * 2 : RETRY_MAX;
    }

    ok(good && high > RETRY_MAX / 2,
       "the limit doubles, and the device sleeps so long");
    ok(w.device.tries == 16, "and has an end");

    w.unreachable = 0;
    w.script = ATTACHED;
    w.len = sizeof(ATTACHED) - 1;
    w.stays = 1;
    world_run(STEADY_MS / 2);
    w.stays = 0;
    world_run(1000);
    ok(w.device.tries == 16, "a short connection changes nothing");

    w.stays = 1;
    world_run(RETRY_MAX + STEADY_MS + 1000);
    w.stays = 0;
    world_run(1000);
    ok(w.device.tries == 1 && w.wait <= 1000, "a steady one begins anew");
}


static void
says(const char *name, const char *expected)
{
    const char  *text = said(request_len());

    if (!ok(strcmp(text, expected) == 0, "%s", name)) {
        diag("%s; trace: %s", text, w.trace);
    }
}


static void
test_request(void)
{
    static const char  plain[] =
        "POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    static const char  full[] =
        "POST /p HTTP/1.1\r\nHost: h:8080\r\nTransfer-Encoding: chunked\r\n"
        "Authorization: Bearer s3cret\r\nCometa-Info: a lamp\r\n"
        "Cometa-Heartbeat: 300;echo\r\nCometa-Pipeline: 16\r\n"
        "Cometa-Requests: on\r\nX-More: 1\r\n\r\n";

    world_start(IN(ATTACHED), 0);
    world_run(1000);
    w.out[w.written] = '\0';
    ok(strcmp((char *) w.out, plain) == 0, "the plain request");

    world_start(IN(ATTACHED), ECHO | ASK);
    w.config.port = 8080;
    w.config.secret = "s3cret";
    w.config.info = "a lamp";
    w.config.heartbeat = 300;
    w.config.pipeline = 16;
    w.config.headers = "X-More: 1\r\n";
    w.most = 1;
    world_run(1000);
    w.out[w.written] = '\0';
    ok(strcmp((char *) w.out, full) == 0, "and one with all in it");

    world_start(IN(OPENED), WS | COMETA_TEXT);
    world_run(1000);
    w.out[w.written] = '\0';
    ok(strstr((char *) w.out, "GET /p HTTP/1.1\r\n") != NULL
       && strstr((char *) w.out, "\r\nUpgrade: websocket\r\n") != NULL
       && strstr((char *) w.out, "\r\nCometa-Frames: text\r\n") != NULL
       && strstr((char *) w.out, "==\r\n") != NULL
       && strlen(w.device.key) == 24, "a handshake");
}


static void
test_replies(void)
{
    world_start(IN(ATTACHED "5\r\nhello\r\n"), 0);
    w.echoes = 1;
    world_run(1000);
    says("a reply", "5\r\nhello\r\n");

    world_start(IN(OPENED "\x81\x05hello\x89\x01p\x88\x02\x03\xe8"), WS);
    w.echoes = 1;
    world_run(1000);
    says("a reply, a pong and a close", "<82 hello><8a p><88 \x03\xe8>");

    world_start(IN(OPENED "\x81\x05hello"), WS | COMETA_TEXT);
    w.echoes = 1;
    world_run(1000);
    says("a text frame", "<81 hello>");

    world_start(IN(ATTACHED "1\r\n\x06\r\n2\r\n\x07x\r\n2\r\n\x06x\r\n"), 0);
    w.echoes = 1;
    world_run(1000);
    says("a reply that would be a heartbeat or an event is not sent",
         "2\r\n\x06x\r\n");
    ok(w.device.owed == 0, "none is owed when the connection has ended");
}


/* A reply of 2,000 bytes to a call of which no more than the first has come. */

static void
test_large_reply(void)
{
    int     i, good = 1;
    size_t  n = 0;
    char   *p;

    world_start(IN(ATTACHED "258\r\n" X600), 0);
    w.echoes = w.stays = 1;
    world_run(1000);

    for (i = 0; i < 14; i++) {
        good = good && cometa_put(&w.device, X200, 100) == COMETA_OK;
    }

    p = (char *) said(request_len());
    ok(good && strncmp(p, "7d0\r\nxxx", 8) == 0 && strlen(p) == 2007,
       "a large reply in pieces");

    world_start(IN(OPENED "\x82\x7e\x02\x58" X600), WS);
    w.echoes = w.stays = 1;
    w.most = 7;
    world_run(1000);
    ok(cometa_event(&w.device, "e", 1) == COMETA_BUSY, "it is under way");
    ok(cometa_put(&w.device, X600 X600 X600, 1401) == COMETA_BAD_SIZE,
       "not more than announced");
    ok(cometa_put(&w.device, X600 X600 X600, 1400) == COMETA_OK
       && cometa_put(&w.device, "x", 1) == COMETA_BAD_SIZE, "all of it");

    for (p = (char *) said(request_len()); *p; p++) {
        n += *p == 'x';
    }

    p = (char *) said(request_len());
    ok(n == 2000 && strncmp(p, "<02 x", 5) == 0 && strstr(p, "<00 x") != NULL
       && strstr(p, "<80 x") > strstr(p, "<00 x"), "in fragments");
}


static void
test_errors(void)
{
    cometa_t  *c = &w.device;

    world_start(IN(ATTACHED "1\r\nx\r\n"), 0);
    w.stays = 1;

    ok(cometa_reply(c, "a", 1) == COMETA_OFFLINE
       && cometa_event(c, "a", 1) == COMETA_OFFLINE
       && cometa_put(c, "a", 1) == COMETA_OFFLINE, "offline");

    world_run(2000);

    ok(cometa_reply(c, "", 0) == COMETA_BAD_SIZE, "no empty reply in chunks");
    ok(cometa_reply(c, "\x07", 1) == COMETA_RESERVED
       && cometa_reply(c, "\x06", 1) == COMETA_RESERVED, "what is reserved");
    ok(cometa_reply(c, "\x05", 1) == COMETA_OK, "a reply");
    ok(cometa_reply(c, "a", 1) == COMETA_NO_CALL, "to nothing");
    ok(cometa_request(c, "1", "a", 1) == COMETA_RESERVED,
       "requests were not granted");
    ok(cometa_event(c, "", 0) == COMETA_OK, "an empty event");
    says("and it went out", "1\r\n\x05\r\n1\r\n\x07\r\n");

    w.writable = w.written + 3;
    ok(cometa_event(c, "abc", 3) == COMETA_OFFLINE
       && cometa_event(c, "abc", 3) == COMETA_OFFLINE, "a write fails");
    world_run(1);
    ok(strstr(w.trace, "lost; ") != NULL && w.closed == 1, "so it is lost");

    w.config.in_size--;
    ok(cometa_init(c, &w.config) == COMETA_BAD_CONFIG, "a buffer too small");
}


static void
test_asking(void)
{
    cometa_t  *c = &w.device;

    world_start(IN(OPENED_ECHO "\x82\x01x"), WS | ASK | ECHO);
    w.stays = 1;
    world_run(2000);

    ok(cometa_request(c, "", "a", 1) == COMETA_BAD_SIZE
       && cometa_request(c, X40, "a", 1) == COMETA_BAD_SIZE, "bad ids");
    ok(cometa_request(c, "id", "ask", 3) == COMETA_OK
       && cometa_request(c, "i", "", 0) == COMETA_OK, "requests");
    ok(cometa_reply(c, "\x05", 1) == COMETA_RESERVED, "no reply like one");
    ok(cometa_reply(c, "", 0) == COMETA_OK, "an empty reply in frames");
    says("all that", "<82 \x05id\nask><82 \x05i\n><82 >");
}


static void
test_heartbeats(void)
{
    uint32_t  start;

    world_start(IN(ATTACHED), 0);
    w.stays = 1;
    world_run(1000);
    start = w.clock;

    while (w.written == request_len()) {
        cometa_step(&w.device, 1000000);
    }

    ok(w.clock - start <= 60000 && w.clock - start >= 59000, "a heartbeat");
    world_run(50000);
    cometa_event(&w.device, "e", 1);
    world_run(59000);
    says("no other until an interval after the last message",
         "1\r\n\x06\r\n2\r\n\x07" "e\r\n");

    world_run(1000000);
    ok(w.closed == 0, "without an echo it does not notice a dead server");

    world_start(IN(OPENED_ECHO), WS | ECHO);
    w.stays = 1;
    world_run(200000);
    ok(strcmp(w.trace, "attached 1 60 7; silent; ") == 0,
       "with an echo it does");
    says("one heartbeat was not answered", "<82 \x06>");

    world_start(IN(OPENED_ECHO), WS | ECHO);
    w.stays = w.answers = 1;
    world_run(1000000);
    ok(w.closed == 0 && strcmp(w.trace, "attached 1 60 7; ") == 0,
       "a server that answers is alive");

    world_start(IN(""), 0);
    w.stays = 1;
    start = w.clock;
    world_run(200000);
    ok(strcmp(w.trace, "silent; ") == 0 && w.clock - start == ATTACH_MS,
       "no answer to the attach");

    world_start(IN(H("403 x", "") "{\"error\":\"forbidden\"}"), 0);
    w.stays = 1;
    world_run(200000);
    ok(strcmp(w.trace, "refused 403 forbidden; ") == 0,
       "no end of the refusal");
}


static void
test_stop(void)
{
    world_start(IN(ATTACHED "1\r\nx\r\n1\r\ny\r\n"), 0);
    w.stops = 1;
    world_run(2000);
    says("leaves in a handler", "0\r\n\r\n");
    ok(strcmp(w.trace, "attached 1 60 7; call [x]; ") == 0 && w.closed == 1,
       "and hears no more");

    cometa_step(&w.device, 10);
    ok(w.opened == 1 && cometa_due(&w.device) == UINT32_MAX, "stays away");

    cometa_start(&w.device);
    world_run(2000);
    ok(w.opened == 2 && cometa_session(&w.device) == 2, "until it is started");

    world_start(IN(OPENED), WS);
    w.stays = 1;
    world_run(2000);
    cometa_stop(&w.device);
    says("a close frame", "<88 \x03\xe8>");
}


int
main(void)
{
    size_t  i;

    for (i = 0; i < N(samples); i++) {
        check_sample(&samples[i]);
    }

    test_waits();
    test_backoff();
    test_request();
    test_replies();
    test_large_reply();
    test_errors();
    test_asking();
    test_heartbeats();
    test_stop();

    diag("a device's state: %zu bytes", sizeof(cometa_t));
    ok(sizeof(cometa_t) <= 512, "a device's state is small");

    return done_testing();
}
