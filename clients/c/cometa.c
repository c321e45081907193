/*
 * The device: see cometa.h.  What is read goes through the buffer "in" by
 * phases, each of which takes what it understands; what is written goes through
 * the buffer "out", as it is or in frames of a WebSocket.
 */

#include "cometa.h"

#include <string.h>


#define ATTACH_MS     30000         /* for an attach, and for a refusal */
#define STEADY_MS     60000         /* attached so long, it begins anew */
#define RETRY_MS      1000          /* the first wait is below this, */
#define CLOSED_MS     10000         /* this after an orderly end, */
#define REFUSED_MS    60000         /* this if the device is not wanted; */
#define RETRY_MAX     300000        /* they double up to this, */
#define REFUSED_MAX   3600000       /* or this */
#define AFTER_MAX     86400         /* s, of Retry-After */
#define ECHO_MIN      2000          /* an echo may take half an interval, */
#define ECHO_MAX      30000         /* within these */

#define HEARTBEAT     0x06
#define EVENT         0x07
#define REQUEST       0x05
#define REPLY         0x00
#define ID_MAX        36

#define TEXT_FRAME    0x1
#define BINARY_FRAME  0x2
#define CLOSE_FRAME   0x8
#define PING_FRAME    0x9
#define PONG_FRAME    0xa
#define FIN           0x80
#define MASK          0x80
#define HEAD_ROOM     8             /* of a frame that is written */
#define FRAME_MAX     65535
#define CONTROL_MAX   125
#define GOING_AWAY    1001          /* codes of a close frame */
#define RESTARTS      1012

enum {
    STOPPED = 0,
    OFFLINE,
    STATUS,                         /* of the answer: its first line */
    HEADERS,
    REFUSAL,                        /* the body of another answer */
    SIZE,                           /* of a chunk */
    DATA,                           /* of a chunk or a frame */
    CHUNK_END,
    FRAME                           /* its head */
};


static void connect_now(cometa_t *c);
static void ask_attach(cometa_t *c);
static void make_key(cometa_t *c);
static void timers(cometa_t *c);
static void end(cometa_t *c, cometa_why_t why);
static void end_with(cometa_t *c, cometa_why_t why, const char *word);
static void end_refused(cometa_t *c);
static void broken(cometa_t *c, cometa_why_t why);
static uint32_t backoff(cometa_t *c, cometa_why_t why);
static uint32_t below(const cometa_t *c, uint32_t limit);
static void drop(cometa_t *c, uint8_t phase);

static int parse(cometa_t *c);
static int read_status(cometa_t *c);
static int read_header(cometa_t *c);
static int headers_end(cometa_t *c);
static int read_refusal(cometa_t *c);
static int read_size(cometa_t *c);
static int read_chunk_end(cometa_t *c);
static int read_frame(cometa_t *c);
static int read_control(cometa_t *c, unsigned op, size_t len);
static int read_data(cometa_t *c);
static void deliver(cometa_t *c, const uint8_t *data, size_t len, int last);
static void welcome(cometa_t *c, const uint8_t *data, size_t len);
static int malformed(cometa_t *c);

static int take_line(cometa_t *c, const uint8_t **line, size_t *len);
static const uint8_t *value_of(const uint8_t *line, size_t *len,
    const char *name);
static const uint8_t *find(const uint8_t *data, size_t len, const char *word);
static uint32_t number(const uint8_t *p, const uint8_t *last);

static int begin(cometa_t *c, uint8_t kind, size_t size);
static int put_head(cometa_t *c);
static int done(cometa_t *c);
static void append(cometa_t *c, const void *data, size_t len);
static void append_text(cometa_t *c, const char *text);
static void append_header(cometa_t *c, const char *name, const char *value);
static void append_number(cometa_t *c, uint32_t n, unsigned base);
static void flush(cometa_t *c, int fin);
static void control(cometa_t *c, unsigned op, const void *data, size_t len);
static size_t frame_head(cometa_t *c, uint8_t *data, size_t len, unsigned op);
static void write_all(cometa_t *c, const uint8_t *data, size_t len);


int
cometa_init(cometa_t *c, const cometa_config_t *config)
{
    memset(c, 0, sizeof(cometa_t));

    if (config->transport == NULL || config->now == NULL
        || config->random == NULL || config->host == NULL
        || config->path == NULL || config->message == NULL
        || config->in == NULL || config->in_size < COMETA_IN_MIN
        || config->out == NULL || config->out_size < COMETA_OUT_MIN)
    {
        return COMETA_BAD_CONFIG;
    }

    c->config = config;
    cometa_start(c);

    return COMETA_OK;
}


void
cometa_start(cometa_t *c)
{
    if (c->phase == STOPPED) {
        c->phase = OFFLINE;
        c->due = c->config->now();
    }
}


void
cometa_stop(cometa_t *c)
{
    static const uint8_t  code[] = { 1000 >> 8, 1000 & 0xff };

    if (c->phase > OFFLINE) {
        if (c->welcome && !c->begun && !c->failed) {
            if (c->framed) {
                control(c, CLOSE_FRAME, code, sizeof(code));

            } else {
                append_text(c, "0\r\n\r\n");
                flush(c, 1);
            }
        }

        c->config->transport->close(c->config->io);
    }

    drop(c, STOPPED);
}


uint32_t
cometa_session(const cometa_t *c)
{
    return c->session;
}


void *
cometa_user(const cometa_t *c)
{
    return c->config->user;
}


/* What is due in the past is due now: differences wrap as the clock does. */

uint32_t
cometa_due(const cometa_t *c)
{
    int32_t   left;
    uint32_t  at;

    if (c->phase == STOPPED) {
        return UINT32_MAX;
    }

    at = c->due;

    if (c->welcome) {
        if (c->begun && !c->waiting) {
            return c->interval;
        }

        at = c->sent + c->interval;

        if (c->waiting && (int32_t) (at - c->due) > 0) {
            at = c->due;
        }
    }

    left = (int32_t) (at - c->config->now());

    return left > 0 ? (uint32_t) left : 0;
}


int
cometa_step(cometa_t *c, uint32_t ms)
{
    int                     n;
    uint32_t                due;
    const cometa_config_t  *conf = c->config;

    due = cometa_due(c);

    if (due < ms) {
        ms = due;
    }

    if (c->phase <= OFFLINE) {
        if (c->phase == OFFLINE && due == 0) {
            connect_now(c);

        } else if (conf->sleep != NULL && ms != 0) {
            conf->sleep(ms);
        }

        return 0;
    }

    if (c->pos != 0) {
        memmove(conf->in, (uint8_t *) conf->in + c->pos, c->end - c->pos);
        c->end -= c->pos;
        c->pos = 0;
    }

    n = c->failed ? -1
        : conf->transport->read(conf->io, (uint8_t *) conf->in + c->end,
                                conf->in_size - c->end, ms);

    if (n < 0) {
        broken(c, COMETA_LOST);
        return 0;
    }

    if (n > 0) {
        c->end += (size_t) n;
        c->waiting = 0;

        while (parse(c)) { /* void */ }
    }

    timers(c);

    return c->welcome;
}


static void
connect_now(cometa_t *c)
{
    const cometa_config_t  *conf = c->config;

    drop(c, OFFLINE);
    c->status = 0;
    c->retry_after = 0;

    if (conf->transport->open(conf->io, conf->host, conf->port) != 0) {
        end(c, COMETA_UNREACHABLE);
        return;
    }

    c->phase = STATUS;
    c->due = conf->now() + ATTACH_MS;

    ask_attach(c);
}


static void
ask_attach(cometa_t *c)
{
    uint32_t                heartbeat;
    const cometa_config_t  *conf = c->config;

    append_text(c, conf->flags & COMETA_WEBSOCKET ? "GET " : "POST ");
    append_text(c, conf->path);
    append_text(c, " HTTP/1.1\r\nHost: ");
    append_text(c, conf->host);

    if (conf->port != 80 && conf->port != 443) {
        append_text(c, ":");
        append_number(c, conf->port, 10);
    }

    if (conf->flags & COMETA_WEBSOCKET) {
        make_key(c);
        append_text(c, "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                       "Sec-WebSocket-Version: 13\r\n"
                       "Sec-WebSocket-Protocol: cometa.device.v1");
        append_header(c, "Sec-WebSocket-Key: ", c->key);

    } else {
        append_text(c, "\r\nTransfer-Encoding: chunked");
    }

    append_header(c, "Authorization: Bearer ", conf->secret);
    append_header(c, "Cometa-Info: ", conf->info);

    if (conf->heartbeat || conf->flags & COMETA_ECHO) {
        heartbeat = conf->heartbeat ? conf->heartbeat : 60;
        append_header(c, "Cometa-Heartbeat: ", "");
        append_number(c, heartbeat, 10);
        append_text(c, conf->flags & COMETA_ECHO ? ";echo" : "");
    }

    if (conf->pipeline > 1) {
        append_header(c, "Cometa-Pipeline: ", "");
        append_number(c, conf->pipeline, 10);
    }

    append_header(c, "Cometa-Requests: ",
                  conf->flags & COMETA_REQUESTS ? "on" : NULL);
    append_header(c, "Cometa-Frames: ",
                  conf->flags & COMETA_TEXT ? "text" : NULL);

    append_text(c, "\r\n");
    append_text(c, conf->headers != NULL ? conf->headers : "");
    append_text(c, "\r\n");
    flush(c, 1);
}


/* Sixteen random bytes in base64: the last digit has two bits of them. */

static void
make_key(cometa_t *c)
{
    size_t             i;
    static const char  digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "abcdefghijklmnopqrstuvwxyz0123456789+/";

    for (i = 0; i < 22; i++) {
        c->key[i] = digits[c->config->random() >> 26];
    }

    c->key[21] = "AQgw"[c->config->random() >> 30];
    memcpy(c->key + 22, "==", 3);
}


/* The heartbeat, and what did not come in time. */

static void
timers(cometa_t *c)
{
    uint32_t              now, limit;
    static const uint8_t  beat = HEARTBEAT;

    if (c->phase <= OFFLINE || cometa_due(c) != 0) {
        return;
    }

    now = c->config->now();

    if (!c->welcome || (c->waiting && (int32_t) (now - c->due) >= 0)) {
        broken(c, COMETA_SILENT);
        return;
    }

    if (begin(c, HEARTBEAT, 1) == COMETA_OK) {
        (void) cometa_put(c, &beat, 1);
    }

    if (c->echo && !c->waiting) {
        limit = c->interval / 2;
        limit = limit < ECHO_MIN ? ECHO_MIN : limit;
        limit = limit > ECHO_MAX ? ECHO_MAX : limit;

        c->waiting = 1;
        c->due = now + limit;
    }
}


static void
end(cometa_t *c, cometa_why_t why)
{
    end_with(c, why, "");
}


static void
end_with(cometa_t *c, cometa_why_t why, const char *word)
{
    cometa_end_t  e;

    if (c->phase > OFFLINE) {
        c->config->transport->close(c->config->io);
    }

    e.why = why;
    e.status = c->status;
    e.error = word;
    e.wait = backoff(c, why);

    drop(c, OFFLINE);

    if (c->config->ended != NULL) {
        c->config->ended(c, &e);
    }

    c->due = c->config->now() + e.wait;
}


/* The word is ended by a NUL in the buffer, where it stands. */

static void
end_refused(cometa_t *c)
{
    size_t          len;
    uint8_t        *last = NULL;
    const uint8_t  *p, *word;

    p = (uint8_t *) c->config->in + c->pos;
    len = c->end - c->pos;
    len = len < c->left ? len : c->left;

    word = find(p, len, "\"error\":\"");

    if (word != NULL) {
        last = memchr((void *) word, '"', len - (size_t) (word - p));
    }

    if (last != NULL) {
        *last = '\0';
    }

    end_with(c, COMETA_REFUSED, last != NULL ? (const char *) word : "");
}


/* What has come of a refusal is all that will come. */

static void
broken(cometa_t *c, cometa_why_t why)
{
    if (c->phase == REFUSAL) {
        end_refused(c);

    } else {
        end(c, why);
    }
}


/*
 * Full jitter: anything from nothing to a limit that doubles, because a fleet
 * that has lost its server must not come back at once.  After an orderly end,
 * which may be a takeover unless the server says that it leaves, and after a
 * refusal that will be repeated, at least half of the limit.
 */

static uint32_t
backoff(cometa_t *c, cometa_why_t why)
{
    int       again;
    uint32_t  limit, most, least, wait;

    if (c->welcome && c->config->now() - c->since >= STEADY_MS) {
        c->tries = 0;
    }

    again = c->status >= 500 || c->status == 408 || c->status == 429;

    most = c->config->retry_max ? c->config->retry_max : RETRY_MAX;
    limit = RETRY_MS;
    least = 0;

    if (why == COMETA_CLOSED && c->status != GOING_AWAY
        && c->status != RESTARTS)
    {
        limit = CLOSED_MS;
        least = 1;

    } else if (why == COMETA_REFUSED && !again) {
        limit = REFUSED_MS;
        most = REFUSED_MAX;
        least = 1;
    }

    limit = limit < most >> c->tries ? limit << c->tries : most;

    if (c->tries < 16) {
        c->tries++;
    }

    least = least ? limit / 2 : 0;
    wait = least + below(c, limit - least);

    if (wait < c->retry_after * 1000) {
        wait = c->retry_after * 1000;
        wait += below(c, wait / 4 + RETRY_MS);
    }

    return wait;
}


static uint32_t
below(const cometa_t *c, uint32_t limit)
{
    return limit ? c->config->random() % limit : 0;
}


/* Forgets the connection, not why it ended. */

static void
drop(cometa_t *c, uint8_t phase)
{
    c->phase = phase;
    c->owed = 0;
    c->pos = c->end = 0;
    c->used = 0;
    c->left = c->offset = 0;

    c->failed = c->skip = c->welcome = c->framed = 0;
    c->begun = c->inside = c->fin = 0;
    c->echo = c->requests = c->waiting = c->accepted = 0;
}


/* Returns 0 when it needs more bytes, or the connection is no more. */

static int
parse(cometa_t *c)
{
    if (c->failed) {
        end(c, COMETA_LOST);
        return 0;
    }

    switch (c->phase) {

    case STATUS:
        return read_status(c);

    case HEADERS:
        return read_header(c);

    case REFUSAL:
        return read_refusal(c);

    case SIZE:
        return read_size(c);

    case DATA:
        return read_data(c);

    case CHUNK_END:
        return read_chunk_end(c);

    case FRAME:
        return read_frame(c);

    default:
        return 0;
    }
}


static int
read_status(cometa_t *c)
{
    size_t          len;
    const uint8_t  *line;

    if (!take_line(c, &line, &len)) {
        return 0;
    }

    if (len < 12 || memcmp(line, "HTTP/1.", 7) != 0 || line[8] != ' ') {
        return malformed(c);
    }

    c->status = (uint16_t) number(line + 9, line + 12);
    c->left = SIZE_MAX;
    c->phase = HEADERS;

    return 1;
}


static int
read_header(cometa_t *c)
{
    size_t                     len, n;
    const uint8_t             *line, *value;
    const cometa_transport_t  *transport = c->config->transport;

    if (!take_line(c, &line, &len)) {
        return 0;
    }

    if (len == 0) {
        return headers_end(c);
    }

    n = len;
    value = value_of(line, &n, "retry-after:");

    if (value != NULL) {
        c->retry_after = number(value, value + n);
        c->retry_after = c->retry_after < AFTER_MAX ? c->retry_after
                                                    : AFTER_MAX;
        return 1;
    }

    value = value_of(line, &n, "content-length:");

    if (value != NULL) {
        c->left = number(value, value + n);
        return 1;
    }

    value = value_of(line, &n, "cometa-heartbeat:");

    if (value != NULL) {
        c->echo = find(value, n, "echo") != NULL;
        return 1;
    }

    value = value_of(line, &n, "cometa-requests:");

    if (value != NULL) {
        c->requests = find(value, n, "on") != NULL;
        return 1;
    }

    value = value_of(line, &n, "sec-websocket-accept:");

    if (value != NULL) {
        c->accepted = transport->accept == NULL
                      || transport->accept(c->key, (const char *) value, n);
    }

    return 1;
}


static int
headers_end(cometa_t *c)
{
    int  websocket = c->config->flags & COMETA_WEBSOCKET;

    if (c->status == 101) {
        if (!websocket || !c->accepted) {
            return malformed(c);
        }

        c->framed = 1;
        c->phase = FRAME;

    } else if (c->status < 200) {
        c->phase = STATUS;

    } else if (c->status == 200 && !websocket) {
        c->phase = SIZE;

    } else {
        c->phase = REFUSAL;
    }

    return 1;
}


/* As much of it as the buffer takes: the word stands at its beginning. */

static int
read_refusal(cometa_t *c)
{
    size_t  n = c->end - c->pos;

    if (n >= c->left || n == c->config->in_size) {
        end_refused(c);
    }

    return 0;
}


static int
read_size(cometa_t *c)
{
    size_t          i, len;
    uint8_t         ch;
    const uint8_t  *line;

    if (!take_line(c, &line, &len)) {
        return 0;
    }

    c->left = 0;

    for (i = 0; i < len; i++) {
        ch = line[i] | 0x20;
        ch = (uint8_t) (ch >= '0' && ch <= '9' ? ch - '0'
                        : ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : 16);

        if (ch == 16) {
            break;
        }

        c->left = c->left * 16 + ch;
    }

    if (i == 0 || i > 8 || c->skip
        || (i < len && strchr("; \t", line[i]) == NULL))
    {
        return malformed(c);
    }

    if (c->left == 0) {
        c->status = 0;
        end(c, COMETA_CLOSED);
        return 0;
    }

    c->fin = 1;
    c->offset = 0;
    c->phase = DATA;

    return 1;
}


static int
read_chunk_end(cometa_t *c)
{
    size_t          len;
    const uint8_t  *line;

    if (!take_line(c, &line, &len)) {
        return 0;
    }

    c->phase = SIZE;

    return len == 0 ? 1 : malformed(c);
}


static int
read_frame(cometa_t *c)
{
    size_t          i, len, have, need;
    unsigned        op;
    const uint8_t  *p = (uint8_t *) c->config->in + c->pos;

    have = c->end - c->pos;

    if (have < 2) {
        return 0;
    }

    op = p[0] & 0x0f;
    len = p[1] & 0x7f;

    if ((p[0] & 0x70) || (p[1] & MASK)) {
        return malformed(c);
    }

    if (op >= CLOSE_FRAME) {
        return len <= CONTROL_MAX && (p[0] & FIN) ? read_control(c, op, len)
                                                  : malformed(c);
    }

    if (op > BINARY_FRAME || (op == 0) != c->inside) {
        return malformed(c);
    }

    need = len == 127 ? 10 : len == 126 ? 4 : 2;

    if (have < need) {
        return 0;
    }

    if (need > 2) {
        for (len = 0, i = 2; i < need; i++) {
            if (len >> 24) {
                return malformed(c);
            }

            len = len << 8 | p[i];
        }
    }

    c->pos += need;
    c->left = len;
    c->offset = c->inside ? c->offset : 0;
    c->fin = (p[0] & FIN) != 0;
    c->inside = !c->fin;
    c->phase = DATA;

    return 1;
}


static int
read_control(cometa_t *c, unsigned op, size_t len)
{
    uint8_t  *p = (uint8_t *) c->config->in + c->pos + 2;

    if (c->end - c->pos < 2 + len) {
        return 0;
    }

    c->pos += 2 + len;

    if (op == PING_FRAME) {
        control(c, PONG_FRAME, p, len);
        return 1;
    }

    if (op == CLOSE_FRAME) {
        len = len < 2 ? 0 : len;
        c->status = (uint16_t) (len ? p[0] << 8 | p[1] : 0);
        control(c, CLOSE_FRAME, p, len ? 2 : 0);

        /* its word gets a NUL in place of the byte before it */

        if (len) {
            memmove(p + 1, p + 2, len - 2);
            p[len - 1] = '\0';
        }

        end_with(c, COMETA_CLOSED, len ? (char *) p + 1 : "");
        return 0;
    }

    return op == PONG_FRAME ? 1 : malformed(c);
}


/* What fits into the buffer is waited for, and comes in one piece. */

static int
read_data(cometa_t *c)
{
    int             last;
    size_t          n;
    const uint8_t  *p = (uint8_t *) c->config->in + c->pos;

    n = c->end - c->pos;

    if (n < c->left && n < c->config->in_size) {
        return 0;
    }

    n = n < c->left ? n : c->left;

    c->pos += n;
    c->left -= n;

    if (c->left == 0) {
        c->phase = c->framed ? FRAME : CHUNK_END;
    }

    last = c->left == 0 && c->fin;

    if (!c->welcome) {
        welcome(c, p, last && c->offset == 0 ? n : 0);
        return 1;
    }

    if (n != 0 || last) {
        deliver(c, p, n, last);
    }

    return 1;
}


/* The handler may end the connection: nothing is touched after it. */

static void
deliver(cometa_t *c, const uint8_t *data, size_t len, int last)
{
    cometa_piece_t  piece;
    const uint8_t  *lf;

    piece.id = NULL;
    piece.id_len = 0;

    if (c->offset == 0) {
        if (len == 0 || (c->echo && last && len == 1 && data[0] == HEARTBEAT)) {
            return;
        }

        c->head = 0;
        c->answer = c->requests && data[0] == REQUEST;

        if (!c->answer) {
            c->owed++;

        } else {
            lf = memchr(data, '\n', len < ID_MAX + 2 ? len : ID_MAX + 2);

            if (lf == NULL) {
                (void) malformed(c);
                return;
            }

            c->head = (size_t) (lf - data) + 1;
            piece.id = (const char *) data + 1;
            piece.id_len = c->head - 2;
        }
    }

    piece.kind = c->answer ? COMETA_ANSWER : COMETA_CALL;
    piece.last = last;
    piece.data = data;
    piece.len = len;
    piece.offset = c->offset - c->head;

    if (c->offset == 0) {
        piece.data += c->head;
        piece.len -= c->head;
        piece.offset = 0;
    }

    c->offset += len;
    c->config->message(c, &piece);
}


static void
welcome(cometa_t *c, const uint8_t *data, size_t len)
{
    uint32_t        heartbeat, timestamp;
    const uint8_t  *p, *t, *last = data + len;

    p = find(data, len, "\"heartbeat\":");
    t = find(data, len, "\"timestamp\":");

    heartbeat = p != NULL ? number(p, last) : 0;
    timestamp = t != NULL ? number(t, last) : 0;

    if (heartbeat == 0 || heartbeat > AFTER_MAX) {
        (void) malformed(c);
        return;
    }

    c->welcome = 1;
    c->session++;
    c->status = 0;
    c->interval = heartbeat * 1000;
    c->since = c->sent = c->config->now();

    if (c->config->attached != NULL) {
        c->config->attached(c, heartbeat, timestamp);
    }
}


static int
malformed(cometa_t *c)
{
    end(c, COMETA_MALFORMED);
    return 0;
}


/*
 * The next line, without its end.  Of one that is longer than the buffer there
 * is only its beginning: the rest is skipped.
 */

static int
take_line(cometa_t *c, const uint8_t **line, size_t *len)
{
    int             skip;
    uint8_t        *in = c->config->in;
    const uint8_t  *lf;

    for ( ;; ) {
        *line = in + c->pos;
        *len = c->end - c->pos;
        skip = c->skip;

        lf = memchr(*line, '\n', *len);

        if (lf != NULL) {
            *len = (size_t) (lf - *line);
            c->pos += *len + 1;
            c->skip = 0;

            if (*len != 0 && lf[-1] == '\r') {
                --*len;
            }

        } else if (*len < c->config->in_size) {
            return 0;

        } else {
            c->pos = c->end;
            c->skip = 1;
        }

        if (!skip) {
            return 1;
        }

        if (lf == NULL) {
            return 0;
        }
    }
}


/* The value behind a name in lower case; its length in place of the line's. */

static const uint8_t *
value_of(const uint8_t *line, size_t *len, const char *name)
{
    size_t  i;

    for (i = 0; name[i] != '\0'; i++) {
        if (i == *len
            || (line[i] >= 'A' && line[i] <= 'Z' ? line[i] | 0x20 : line[i])
               != name[i])
        {
            return NULL;
        }
    }

    while (i < *len && (line[i] == ' ' || line[i] == '\t')) {
        i++;
    }

    *len -= i;

    return line + i;
}


/* What stands behind a word. */

static const uint8_t *
find(const uint8_t *data, size_t len, const char *word)
{
    size_t  i, n = strlen(word);

    for (i = 0; i + n <= len; i++) {
        if (memcmp(data + i, word, n) == 0) {
            return data + i + n;
        }
    }

    return NULL;
}


static uint32_t
number(const uint8_t *p, const uint8_t *last)
{
    uint32_t  n = 0;

    while (p < last && *p >= '0' && *p <= '9') {
        if (n > (UINT32_MAX - 9) / 10) {
            return UINT32_MAX;
        }

        n = n * 10 + (uint32_t) (*p++ - '0');
    }

    return n;
}


int
cometa_reply(cometa_t *c, const void *data, size_t len)
{
    int  rc = cometa_begin_reply(c, len);

    return rc == COMETA_OK && len != 0 ? cometa_put(c, data, len) : rc;
}


int
cometa_event(cometa_t *c, const void *data, size_t len)
{
    int  rc = cometa_begin_event(c, len);

    return rc == COMETA_OK && len != 0 ? cometa_put(c, data, len) : rc;
}


int
cometa_request(cometa_t *c, const char *id, const void *data, size_t len)
{
    int  rc = cometa_begin_request(c, id, len);

    return rc == COMETA_OK && len != 0 ? cometa_put(c, data, len) : rc;
}


/* A chunk of no length would be no reply but the end. */

int
cometa_begin_reply(cometa_t *c, size_t size)
{
    int  rc;

    if (c->welcome && c->owed == 0) {
        return COMETA_NO_CALL;
    }

    if (size == 0 && !c->framed) {
        return c->welcome ? COMETA_BAD_SIZE : COMETA_OFFLINE;
    }

    rc = begin(c, REPLY, size);

    return rc == COMETA_OK && size == 0 ? put_head(c) : rc;
}


int
cometa_begin_event(cometa_t *c, size_t size)
{
    static const uint8_t  event = EVENT;

    int  rc = begin(c, EVENT, size + 1);

    return rc == COMETA_OK ? cometa_put(c, &event, 1) : rc;
}


int
cometa_begin_request(cometa_t *c, const char *id, size_t size)
{
    int                   rc;
    size_t                len = strlen(id);
    static const uint8_t  request = REQUEST;

    if (len == 0 || len > ID_MAX) {
        return COMETA_BAD_SIZE;
    }

    if (c->welcome && !c->requests) {
        return COMETA_RESERVED;
    }

    rc = begin(c, REQUEST, size + len + 2);

    if (rc != COMETA_OK) {
        return rc;
    }

    (void) cometa_put(c, &request, 1);
    (void) cometa_put(c, id, len);

    return cometa_put(c, "\n", 1);
}


static int
begin(cometa_t *c, uint8_t kind, size_t size)
{
    if (!c->welcome || c->failed) {
        return COMETA_OFFLINE;
    }

    if (c->begun) {
        return COMETA_BUSY;
    }

    if (size > UINT32_MAX) {
        return COMETA_BAD_SIZE;
    }

    c->begun = 1;
    c->put = 0;
    c->kind = kind;
    c->size = c->rest = size;

    return COMETA_OK;
}


int
cometa_put(cometa_t *c, const void *data, size_t len)
{
    uint8_t  first;

    if (!c->begun) {
        return c->welcome ? COMETA_BAD_SIZE : COMETA_OFFLINE;
    }

    if (len > c->rest) {
        return COMETA_BAD_SIZE;
    }

    if (len == 0) {
        return COMETA_OK;
    }

    first = *(const uint8_t *) data;

    if (!c->put && c->kind == REPLY
        && (first == EVENT || (first == HEARTBEAT && c->size == 1)
            || (first == REQUEST && c->requests)))
    {
        c->begun = 0;
        return COMETA_RESERVED;
    }

    if (!c->put) {
        (void) put_head(c);
    }

    append(c, data, len);
    c->rest -= len;

    return c->rest ? (c->failed ? COMETA_OFFLINE : COMETA_OK) : done(c);
}


static int
put_head(cometa_t *c)
{
    c->put = 1;
    c->fresh = 1;

    if (c->framed) {
        c->used = HEAD_ROOM;

    } else {
        append_number(c, (uint32_t) c->size, 16);
        append_text(c, "\r\n");
    }

    return c->size ? COMETA_OK : done(c);
}


static int
done(cometa_t *c)
{
    if (!c->framed) {
        append_text(c, "\r\n");
    }

    flush(c, 1);

    c->begun = 0;
    c->sent = c->config->now();
    c->owed -= c->kind == REPLY;

    return c->failed ? COMETA_OFFLINE : COMETA_OK;
}


static void
append(cometa_t *c, const void *data, size_t len)
{
    size_t          n, size;
    const uint8_t  *p = data;

    size = c->config->out_size;

    if (c->framed && size > FRAME_MAX + HEAD_ROOM) {
        size = FRAME_MAX + HEAD_ROOM;
    }

    while (len != 0) {
        if (c->used == size) {
            flush(c, 0);
        }

        n = size - c->used;
        n = n < len ? n : len;

        memcpy((uint8_t *) c->config->out + c->used, p, n);
        c->used += n;
        p += n;
        len -= n;
    }
}


static void
append_text(cometa_t *c, const char *text)
{
    append(c, text, strlen(text));
}


/* None if there is no value; without its end, as the first line is. */

static void
append_header(cometa_t *c, const char *name, const char *value)
{
    if (value != NULL) {
        append_text(c, "\r\n");
        append_text(c, name);
        append_text(c, value);
    }
}


static void
append_number(cometa_t *c, uint32_t n, unsigned base)
{
    char    text[12];
    size_t  i = sizeof(text);

    do {
        text[--i] = "0123456789abcdef"[n % base];
        n /= base;
    } while (n != 0);

    append(c, text + i, sizeof(text) - i);
}


/* Writes the buffer; to a WebSocket as a frame, the last one of a message if
 * fin is set. */

static void
flush(cometa_t *c, int fin)
{
    size_t    head, len;
    unsigned  op;
    uint8_t  *out = c->config->out;

    if (!c->framed) {
        write_all(c, out, c->used);
        c->used = 0;
        return;
    }

    op = c->config->flags & COMETA_TEXT ? TEXT_FRAME : BINARY_FRAME;
    op = (c->fresh ? op : 0) | (fin ? FIN : 0);
    len = c->used - HEAD_ROOM;
    head = frame_head(c, out + HEAD_ROOM, len, op);

    write_all(c, out + HEAD_ROOM - head, head + len);

    c->fresh = 0;
    c->used = HEAD_ROOM;
}


/* Goes between the frames of a message that is begun. */

static void
control(cometa_t *c, unsigned op, const void *data, size_t len)
{
    size_t   head;
    uint8_t  frame[HEAD_ROOM + CONTROL_MAX];

    memcpy(frame + HEAD_ROOM, data, len);
    head = frame_head(c, frame + HEAD_ROOM, len, op | FIN);

    write_all(c, frame + HEAD_ROOM - head, head + len);
}


/* Masks the data, and writes the head before it: returns the head's length. */

static size_t
frame_head(cometa_t *c, uint8_t *data, size_t len, unsigned op)
{
    size_t    i, head;
    uint32_t  mask;
    uint8_t  *p;

    head = len <= CONTROL_MAX ? 6 : HEAD_ROOM;
    p = data - head;
    mask = c->config->random();

    *p++ = (uint8_t) op;

    if (head == 6) {
        *p++ = (uint8_t) (MASK | len);

    } else {
        *p++ = MASK | 126;
        *p++ = (uint8_t) (len >> 8);
        *p++ = (uint8_t) len;
    }

    for (i = 0; i < 4; i++) {
        p[i] = (uint8_t) (mask >> 8 * i);
    }

    for (i = 0; i < len; i++) {
        data[i] ^= p[i & 3];
    }

    return head;
}


static void
write_all(cometa_t *c, const uint8_t *data, size_t len)
{
    int  n;

    while (len != 0 && !c->failed) {
        n = c->config->transport->write(c->config->io, data, len);

        if (n <= 0) {
            c->failed = 1;
            return;
        }

        data += n;
        len -= (size_t) n;
    }
}
