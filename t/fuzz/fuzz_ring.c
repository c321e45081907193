/*
 * The byte ring against a simple model: a queue of the messages put and a
 * count of the bytes in use. The input is a sequence of operations of three
 * bytes each: what to do, and a length.
 *
 * With `corrupt`, a length word is overwritten first; then nothing is known
 * of what get() returns, except that it lies in the area and that the ring
 * ends empty.
 */

#include <stdlib.h>
#include <string.h>

#include "cometa_ring.h"


#define SIZE   4096
#define QUEUE  (SIZE / COMETA_RING_HEAD)

#define check(cond)  if (!(cond)) { abort(); }


enum { OP_PUT, OP_PUT_RESERVE, OP_GET, OP_DONE, OP_CLEAR, OP_CORRUPT, OPS };


typedef struct {
    uint64_t  pos;
    uint64_t  end;
    size_t    len;
    uint8_t   fill;
} message_t;

typedef struct {
    cometa_ring_t  ring;
    uint8_t       *area;            /* of its own, so that a sanitizer ... */
    uint8_t       *body;            /* ... sees what leads outside */
    message_t      queue[QUEUE];
    size_t         first, got, last;    /* positions in the queue, growing */
    uint64_t       head, begun, tail;
    uint8_t        fill;
} model_t;


static void model_put(model_t *m, size_t len, size_t reserve);
static int model_fits(model_t *m, size_t len, size_t reserve, uint64_t *pos);
static void model_get(model_t *m);
static void model_done(model_t *m);
static void model_clear(model_t *m);
static void model_corrupt(model_t *m, size_t where, size_t len);
static void model_check(model_t *m);


int
LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
    size_t    n;
    model_t  *m;

    m = calloc(1, sizeof(model_t));
    m->area = malloc(SIZE);
    m->body = malloc(SIZE);

    cometa_ring_init(&m->ring);

    for ( /* void */ ; len >= 3; in += 3, len -= 3) {
        n = in[1] | (in[2] & 0xfu) << 8;

        switch (in[0] % OPS) {

        case OP_PUT:
            model_put(m, n, 0);
            break;

        case OP_PUT_RESERVE:
            model_put(m, n / 8, (size_t) (in[2] >> 4) << 8);
            break;

        case OP_GET:
            model_get(m);
            break;

        case OP_DONE:
            model_done(m);
            break;

        case OP_CLEAR:
            model_clear(m);
            break;

        case OP_CORRUPT:
            model_corrupt(m, in[0] / OPS, n);
            break;
        }

        model_check(m);
    }

    free(m->body);
    free(m->area);
    free(m);

    return 0;
}


static void
model_put(model_t *m, size_t len, size_t reserve)
{
    int         rc, fits;
    size_t      head_len;
    uint64_t    pos, expected;
    message_t  *msg;

    m->fill++;
    memset(m->body, m->fill, len);
    head_len = len / 3;

    fits = model_fits(m, len, reserve, &expected);

    rc = cometa_ring_put(&m->ring, m->area, SIZE, reserve, m->body, head_len,
                         m->body + head_len, len - head_len, &pos);

    check(rc == (fits ? 0 : -1));

    if (!fits) {
        return;
    }

    check(pos == expected && pos % 8 == 0);
    check(cometa_ring_begun(&m->ring) <= pos);

    msg = &m->queue[m->last++ % QUEUE];
    msg->pos = pos;
    msg->len = len;
    msg->fill = m->fill;
    msg->end = pos + (COMETA_RING_HEAD + len + 7) / 8 * 8;

    m->tail = msg->end;
}


static int
model_fits(model_t *m, size_t len, size_t reserve, uint64_t *pos)
{
    uint64_t  end;

    if (len + COMETA_RING_HEAD > SIZE / 2) {
        return 0;
    }

    *pos = m->tail;
    end = *pos + (COMETA_RING_HEAD + len + 7) / 8 * 8;

    if (*pos / SIZE != (end - 1) / SIZE) {
        *pos = end / SIZE * SIZE;
        end = *pos + (COMETA_RING_HEAD + len + 7) / 8 * 8;
    }

    return end + reserve <= m->head + SIZE;
}


static void
model_get(model_t *m)
{
    size_t      i, len;
    uint8_t    *p;
    message_t  *msg;

    p = cometa_ring_get(&m->ring, m->area, SIZE, &len);

    if (m->got == m->last) {
        check(p == NULL);
        return;
    }

    msg = &m->queue[m->got++ % QUEUE];

    check(p == m->area + msg->pos % SIZE + COMETA_RING_HEAD);
    check(len == msg->len);
    check(cometa_ring_begun(&m->ring) > msg->pos);

    for (i = 0; i < len; i++) {
        check(p[i] == msg->fill);
    }

    m->begun = msg->end;
}


/* What was got must have stayed as it was, until now. */

static void
model_done(model_t *m)
{
    size_t      i;
    uint8_t    *p;
    message_t  *msg;

    for ( /* void */ ; m->first < m->got; m->first++) {
        msg = &m->queue[m->first % QUEUE];
        p = m->area + msg->pos % SIZE + COMETA_RING_HEAD;

        for (i = 0; i < msg->len; i++) {
            check(p[i] == msg->fill);
        }
    }

    cometa_ring_done(&m->ring);
    m->head = m->begun;
}


static void
model_clear(model_t *m)
{
    cometa_ring_clear(&m->ring);

    m->first = m->got = m->last;
    m->head = m->begun = m->tail;
}


static void
model_corrupt(model_t *m, size_t where, size_t len)
{
    size_t     n, i;
    uint8_t   *p;
    uint32_t   word;
    message_t *msg;

    if (m->got == m->last) {
        return;
    }

    msg = &m->queue[(m->got + where % (m->last - m->got)) % QUEUE];
    word = (len & 0x800) ? 0xfffff800u | len : len;

    memcpy(m->area + msg->pos % SIZE + 4, &word, 4);

    for (i = 0; (p = cometa_ring_get(&m->ring, m->area, SIZE, &n)); i++) {
        check(i < QUEUE);
        check(p >= m->area + COMETA_RING_HEAD && p <= m->area + SIZE);
        check(n <= (size_t) (m->area + SIZE - p));
    }

    check(cometa_ring_empty(&m->ring));

    model_clear(m);
}


static void
model_check(model_t *m)
{
    check(cometa_ring_used(&m->ring) == m->tail - m->head);
    check(cometa_ring_used(&m->ring) <= SIZE);
    check(cometa_ring_empty(&m->ring) == (m->got == m->last));
    check(cometa_ring_begun(&m->ring) == m->begun);
}
