/*
 * The chunk decoder, differential: an input given whole and the same input
 * cut into pieces must complete the same chunks at the same offsets and fail
 * at the same byte with the same error.
 *
 * Byte 0 chooses the limit and how to cut, the rest is the input.
 */

#include <stdlib.h>
#include <string.h>

#include "cometa_chunk.h"


#define check(cond)  if (!(cond)) { abort(); }


typedef struct {
    cometa_chunk_t  ch;
    uint32_t        max;
    size_t          offset;         /* of the input given so far */
    uint64_t        data;           /* hash of the data of the chunk begun */
    size_t          data_len;
    uint64_t        trace;          /* hash of all that happened */
    uint32_t        done;
    int             error;
} run_t;


static void run_start(run_t *run, uint32_t max);
static void run_feed(run_t *run, const uint8_t *in, size_t len);
static void run_part(run_t *run, const uint8_t *data, size_t len);
static void run_failed(run_t *run, const uint8_t *end);
static uint64_t mix(uint64_t hash, uint64_t value);
static void check_head(uint32_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
    run_t     whole, cut;
    size_t    i, n;
    uint8_t   how;
    uint32_t  max;

    if (len == 0) {
        return 0;
    }

    how = *in++;
    len--;
    max = (how & 0x80) ? 16 : (how & 0x40) ? UINT32_MAX : 65536;

    run_start(&whole, max);
    run_feed(&whole, in, len);

    /* pieces of 1 to 16 bytes; or as the bytes themselves tell */

    run_start(&cut, max);

    for (i = 0; i < len; i += n) {
        n = (how & 0x20) ? 1 + in[i] % 5u : 1 + (how & 0xfu);

        if (n > len - i) {
            n = len - i;
        }

        run_feed(&cut, in + i, n);
    }

    check(whole.trace == cut.trace);
    check(whole.done == cut.done);
    check(whole.error == cut.error);
    check(whole.data == cut.data && whole.data_len == cut.data_len);
    check(cometa_chunk_begun(&whole.ch) == cometa_chunk_begun(&cut.ch));

    if (len >= 4) {
        memcpy(&max, in, 4);
        check_head(max >> (how & 31));
    }

    return 0;
}


static void
run_start(run_t *run, uint32_t max)
{
    memset(run, 0, sizeof(run_t));
    run->max = max;
    cometa_chunk_init(&run->ch);
}


/* The input is copied so that a sanitizer sees a read beyond its end. */

static void
run_feed(run_t *run, const uint8_t *in, size_t len)
{
    int             rc;
    size_t          n;
    uint8_t        *copy, *end;
    const uint8_t  *pos, *before, *data;

    copy = malloc(len + (len == 0));
    end = copy + len;
    memcpy(copy, in, len);

    pos = copy;

    for ( ;; ) {
        before = pos;
        rc = cometa_chunk_parse(&run->ch, &pos, end, run->max, &data, &n);

        check(pos >= before && pos <= end);

        if (rc <= 0) {
            break;
        }

        check(pos > before);
        check(data >= before && n <= (size_t) (pos - data));
        check(run->error == 0);

        run_part(run, data, n);

        if (rc == COMETA_CHUNK_PART) {
            check(n > 0 && pos == end && cometa_chunk_begun(&run->ch));
            check(run->data_len < run->ch.size);
            continue;
        }

        check(rc == COMETA_CHUNK_DONE && !cometa_chunk_begun(&run->ch));
        check(run->data_len == run->ch.size);

        run->trace = mix(run->trace, run->data);
        run->trace = mix(run->trace, run->offset + (pos - copy));
        run->data = 0;
        run->data_len = 0;
        run->done++;
    }

    check(n == 0);

    if (rc < 0 && run->error == 0) {
        check(rc >= COMETA_CHUNK_BAD_END && pos < end);
        run->error = rc;
        run->trace = mix(run->trace, run->offset + (pos - copy));
        run_failed(run, end);
    }

    check(rc == run->error);
    check(rc < 0 || pos == end);

    run->offset += len;
    free(copy);
}


static void
run_part(run_t *run, const uint8_t *data, size_t len)
{
    size_t  i;

    check(run->ch.size <= run->max);

    for (i = 0; i < len; i++) {
        run->data = mix(run->data, data[i]);
    }

    run->data_len += len;
}


static void
run_failed(run_t *run, const uint8_t *end)
{
    size_t          n;
    uint8_t         good[] = "1\r\nx\r\n";
    const uint8_t  *pos, *data;

    pos = good;
    check(cometa_chunk_parse(&run->ch, &pos, good + 6, run->max, &data, &n)
          == run->error);
    check(pos == good && !cometa_chunk_begun(&run->ch));

    pos = end;
    check(cometa_chunk_parse(&run->ch, &pos, end, run->max, &data, &n)
          == run->error);
}


static uint64_t
mix(uint64_t hash, uint64_t value)
{
    return (hash ^ value) * 0x100000001b3ull + 0x9e3779b97f4a7c15ull;
}


/* What the encoder writes, the decoder reads. */

static void
check_head(uint32_t size)
{
    int              rc;
    size_t           len, n;
    uint8_t          head[COMETA_CHUNK_HEAD_MAX];
    const uint8_t   *pos, *data;
    cometa_chunk_t   ch;

    len = cometa_chunk_head(head, size);
    check(len >= 3 && len <= sizeof(head) && (size == 0 || head[0] != '0'));

    cometa_chunk_init(&ch);
    pos = head;
    rc = cometa_chunk_parse(&ch, &pos, head + len, UINT32_MAX, &data, &n);

    check(rc == (size ? COMETA_CHUNK_AGAIN : COMETA_CHUNK_DONE));
    check(pos == head + len && ch.size == size && n == 0);
}
