/*
 * The WebSocket decoder, differential: an input given whole and the same
 * input cut into pieces must complete the same messages and control frames at
 * the same offsets and fail at the same byte with the same error. What is
 * complete must be what a simple reading of the frames says it is.
 *
 * Byte 0 chooses the limit and how to cut, and whether the rest is the input
 * itself or a text for the UTF-8 validator.
 */

#include <stdlib.h>
#include <string.h>

#include "cometa_utf8.h"
#include "cometa_ws.h"


#define check(cond)  if (!(cond)) { abort(); }


typedef struct {
    cometa_ws_t  ws;
    uint32_t     max;
    size_t       offset;            /* of the input given so far */
    uint8_t     *message;           /* begun: its data, and as much of ... */
    size_t       message_len;
    uint8_t      control[COMETA_WS_CONTROL_MAX];    /* ... a control frame */
    size_t       control_len;
    uint64_t     trace;             /* hash of all that was complete */
    uint32_t     done;
    int          closed;
    int          error;
    size_t       error_offset;
} run_t;


static void fuzz_frames(uint8_t how, const uint8_t *in, size_t len);
static void fuzz_text(uint8_t how, const uint8_t *in, size_t len);
static void run_start(run_t *run, uint32_t max, size_t len);
static void run_feed(run_t *run, const uint8_t *in, size_t len);
static void run_event(run_t *run, int rc, const uint8_t *data, size_t len,
    size_t offset);
static void run_done(run_t *run, const uint8_t *data, size_t len,
    size_t offset);
static size_t cut(uint8_t how, const uint8_t *in, size_t len);
static void check_simple(const uint8_t *in, size_t len, const run_t *run);
static uint64_t mix(uint64_t hash, uint64_t value);
static uint64_t mix_done(uint64_t hash, int type, const uint8_t *data,
    size_t len, size_t offset);


int
LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
    if (len == 0) {
        return 0;
    }

    if (in[0] & 0x40) {
        fuzz_text(in[0], in + 1, len - 1);

    } else {
        fuzz_frames(in[0], in + 1, len - 1);
    }

    return 0;
}


static void
fuzz_frames(uint8_t how, const uint8_t *in, size_t len)
{
    run_t     whole, pieces;
    size_t    i, n;
    uint32_t  max;

    max = (how & 0x80) ? 64 : 1024 * 1024;

    run_start(&whole, max, len);
    run_feed(&whole, in, len);

    run_start(&pieces, max, len);

    for (i = 0; i < len; i += n) {
        n = cut(how, in + i, len - i);
        run_feed(&pieces, in + i, n);
    }

    check(whole.trace == pieces.trace);
    check(whole.done == pieces.done);
    check(whole.error == pieces.error);
    check(whole.error_offset == pieces.error_offset);
    check(whole.closed == pieces.closed);
    check(cometa_ws_begun(&whole.ws) == cometa_ws_begun(&pieces.ws));

    if (!whole.error) {
        check(whole.message_len == pieces.message_len);
        check(memcmp(whole.message, pieces.message, whole.message_len) == 0);
    }

    check_simple(in, len, &whole);

    free(whole.message);
    free(pieces.message);
}


/* The position of an error must not depend on the cuts, nor on alignment. */

static void
fuzz_text(uint8_t how, const uint8_t *in, size_t len)
{
    size_t         i, n, good, fed;
    uint8_t       *copy;
    cometa_utf8_t  whole = { 0, 0, 0 }, pieces = { 0, 0, 0 };

    copy = malloc(len + (len == 0));
    memcpy(copy, in, len);

    good = cometa_utf8_feed(&whole, copy, len);
    check(good <= len);
    check(cometa_utf8_valid(copy, len) == (good == len && whole.need == 0));

    for (i = 0; i < len; i += n) {
        n = cut(how, copy + i, len - i);
        fed = cometa_utf8_feed(&pieces, copy + i, n);

        if (fed < n) {
            i += fed;
            break;
        }
    }

    check(i == good && pieces.need == whole.need);

    free(copy);
}


static void
run_start(run_t *run, uint32_t max, size_t len)
{
    memset(run, 0, sizeof(run_t));
    run->max = max;
    run->message = malloc(len + 1);
    cometa_ws_init(&run->ws);
}


/* The input is copied: it is changed, and a sanitizer watches its ends. */

static void
run_feed(run_t *run, const uint8_t *in, size_t len)
{
    int       rc;
    size_t    n;
    uint8_t  *copy, *end, *pos, *before, *data;

    copy = malloc(len + (len == 0));
    end = copy + len;
    memcpy(copy, in, len);

    pos = copy;

    for ( ;; ) {
        before = pos;
        rc = cometa_ws_parse(&run->ws, &pos, end, run->max, &data, &n);

        check(pos >= before && pos <= end);

        if (rc <= 0) {
            break;
        }

        check(run->error == 0 && !run->closed);
        check(data >= before && data + n == pos);
        check(n > 0 || rc == COMETA_WS_DONE);

        run_event(run, rc, data, n, run->offset + (pos - copy));
    }

    check(n == 0);

    if (rc < 0 && run->error == 0) {
        check(rc >= COMETA_WS_TOO_LARGE && !run->closed);
        check(!cometa_ws_begun(&run->ws));
        run->error = rc;
        run->error_offset = run->offset + (pos - copy);
    }

    check(rc == run->error);
    check(rc < 0 || pos == end);

    run->offset += len;
    free(copy);
}


static void
run_event(run_t *run, int rc, const uint8_t *data, size_t len, size_t offset)
{
    cometa_ws_t  *ws;

    ws = &run->ws;

    if (ws->type & 8) {
        check(ws->type <= COMETA_WS_PONG);
        check(run->control_len + len <= COMETA_WS_CONTROL_MAX);

        memcpy(run->control + run->control_len, data, len);
        run->control_len += len;

        if (rc == COMETA_WS_DONE) {
            run_done(run, run->control, run->control_len, offset);
            run->control_len = 0;
        }

        return;
    }

    check(ws->type == COMETA_WS_TEXT || ws->type == COMETA_WS_BINARY);

    memcpy(run->message + run->message_len, data, len);
    run->message_len += len;

    check(run->message_len <= ws->size && ws->size <= run->max);

    if (rc == COMETA_WS_DONE) {
        check(run->message_len == ws->size);
        run_done(run, run->message, run->message_len, offset);
        run->message_len = 0;
    }
}


static void
run_done(run_t *run, const uint8_t *data, size_t len, size_t offset)
{
    int  code;

    run->trace = mix_done(run->trace, run->ws.type, data, len, offset);
    run->done++;

    if (run->ws.type == COMETA_WS_TEXT) {
        check(cometa_utf8_valid(data, len));
    }

    if (run->ws.type == COMETA_WS_CLOSE) {
        check(len != 1);
        code = len ? data[0] << 8 | data[1] : 0;
        check(run->ws.code == code);
        check(len == 0 || cometa_ws_code_valid(code));
        check(len == 0 || cometa_utf8_valid(data + 2, len - 2));
        check(!cometa_ws_begun(&run->ws));
        run->closed = 1;
    }
}


static size_t
cut(uint8_t how, const uint8_t *in, size_t len)
{
    size_t  n;

    n = (how & 0x20) ? 1 + *in % 5u : 1 + (how & 0xfu);

    return (n < len) ? n : len;
}


/*
 * Reads frames with no checks but where they end, as far as the decoder found
 * them good: types, data and offsets must come out the same.
 */

static void
check_simple(const uint8_t *in, size_t len, const run_t *run)
{
    int        type, message_type;
    size_t     i, n, bytes, at, data_len, message_len;
    uint8_t   *message, *data;
    uint32_t   done;
    uint64_t   trace;
    uint8_t    control[COMETA_WS_CONTROL_MAX];

    message = malloc(len + 1);
    message_type = 0;
    message_len = 0;
    trace = 0;
    at = 0;

    for (done = 0; done < run->done; /* void */ ) {
        check(len - at >= 6);

        type = in[at] & 0xf;
        n = in[at + 1] & 0x7f;
        bytes = (n == 126) ? 2 : (n == 127) ? 8 : 0;
        check(len - at >= 6 + bytes);

        for (n = bytes ? 0 : n, i = 0; i < bytes; i++) {
            n = n << 8 | in[at + 2 + i];
        }

        data = (type & 8) ? control : message + message_len;
        check(len - at - 6 - bytes >= n);
        check(!(type & 8) || n <= sizeof(control));

        for (i = 0; i < n; i++) {
            data[i] = in[at + 6 + bytes + i] ^ in[at + 2 + bytes + i % 4];
        }

        i = at;
        at += 6 + bytes + n;
        data_len = n;

        if (!(type & 8)) {
            message_type = type ? type : message_type;
            type = message_type;
            message_len += n;
            data = message;
            data_len = message_len;
        }

        if (in[i] & 0x80) {
            trace = mix_done(trace, type, data, data_len, at);
            message_len = (type & 8) ? message_len : 0;
            done++;
        }
    }

    check(trace == run->trace);

    free(message);
}


static uint64_t
mix(uint64_t hash, uint64_t value)
{
    return (hash ^ value) * 0x100000001b3ull + 0x9e3779b97f4a7c15ull;
}


static uint64_t
mix_done(uint64_t hash, int type, const uint8_t *data, size_t len,
    size_t offset)
{
    size_t  i;

    hash = mix(hash, type);
    hash = mix(hash, offset);

    for (i = 0; i < len; i++) {
        hash = mix(hash, data[i]);
    }

    return hash;
}
