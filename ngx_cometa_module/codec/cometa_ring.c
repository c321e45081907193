/*
 * The byte ring; the header draws it and says what holds when a process dies.
 */

#include "cometa_ring.h"

#include <string.h>


_Static_assert(sizeof(cometa_ring_t) == 128, "two cache lines");


static void cometa_ring_write(uint8_t *rec, uint32_t len);
static uint32_t cometa_ring_read(const uint8_t *rec);
static uint64_t cometa_ring_record(size_t len);


void
cometa_ring_init(cometa_ring_t *r)
{
    memset(r, 0, sizeof(cometa_ring_t));
}


int
cometa_ring_put(cometa_ring_t *r, uint8_t *area, size_t size, size_t reserve,
    const void *head, size_t head_len, const void *body, size_t body_len,
    uint64_t *pos)
{
    uint8_t   *p;
    uint64_t   tail, used, need, filler;

    if (head_len > cometa_ring_max(size)
        || body_len > cometa_ring_max(size) - head_len)
    {
        return -1;
    }

    /* acquire: the consumer has read what it freed */

    tail = __atomic_load_n(&r->tail, __ATOMIC_RELAXED);
    used = tail - __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);

    need = cometa_ring_record(head_len + body_len);
    filler = size - (tail & (size - 1));

    if (filler >= need) {
        filler = 0;
    }

    if (used > size || (tail & 7) || size - used < filler + need
        || size - used - filler - need < reserve)
    {
        return -1;
    }

    if (filler) {
        cometa_ring_write(area + (tail & (size - 1)), COMETA_RING_FILLER);
        tail += filler;
    }

    p = area + (tail & (size - 1));

    cometa_ring_write(p, head_len + body_len);
    p += COMETA_RING_HEAD;

    if (head_len) {
        memcpy(p, head, head_len);
    }

    if (body_len) {
        memcpy(p + head_len, body, body_len);
    }

    *pos = tail;

    __atomic_store_n(&r->tail, tail + need, __ATOMIC_RELEASE);

    return 0;
}


void *
cometa_ring_get(cometa_ring_t *r, uint8_t *area, size_t size, size_t *len)
{
    uint8_t   *p;
    uint32_t   n;
    uint64_t   begun, avail, skip;

    begun = __atomic_load_n(&r->begun, __ATOMIC_RELAXED);
    avail = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE) - begun;

    if (avail == 0) {
        return NULL;
    }

    if (avail > size || (begun & 7) || (avail & 7)) {
        goto corrupt;
    }

    p = area + (begun & (size - 1));
    n = cometa_ring_read(p);

    if (n == COMETA_RING_FILLER) {
        skip = size - (begun & (size - 1));

        if (skip >= avail) {
            goto corrupt;
        }

        begun += skip;
        avail -= skip;

        p = area;
        n = cometa_ring_read(p);
    }

    if (n > cometa_ring_max(size)
        || cometa_ring_record(n) > avail
        || cometa_ring_record(n) > size - (begun & (size - 1)))
    {
        goto corrupt;
    }

    __atomic_store_n(&r->begun, begun + cometa_ring_record(n),
                     __ATOMIC_RELEASE);

    /* nothing that the caller does with the message comes before the store */

    __atomic_thread_fence(__ATOMIC_RELEASE);

    *len = n;

    return p + COMETA_RING_HEAD;

corrupt:

    cometa_ring_clear(r);

    return NULL;
}


void
cometa_ring_done(cometa_ring_t *r)
{
    __atomic_store_n(&r->head, __atomic_load_n(&r->begun, __ATOMIC_RELAXED),
                     __ATOMIC_RELEASE);
}


void
cometa_ring_clear(cometa_ring_t *r)
{
    uint64_t  tail;

    tail = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);

    __atomic_store_n(&r->begun, tail, __ATOMIC_RELEASE);
    __atomic_store_n(&r->head, tail, __ATOMIC_RELEASE);
}


int
cometa_ring_empty(const cometa_ring_t *r)
{
    return __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE)
           == __atomic_load_n(&r->begun, __ATOMIC_RELAXED);
}


size_t
cometa_ring_used(const cometa_ring_t *r)
{
    uint64_t  head;

    /* head first: the tail is then never behind it */

    head = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);

    return __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE) - head;
}


uint64_t
cometa_ring_begun(const cometa_ring_t *r)
{
    return __atomic_load_n(&r->begun, __ATOMIC_ACQUIRE);
}


uint64_t
cometa_ring_end(const cometa_ring_t *r)
{
    return __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);
}


static void
cometa_ring_write(uint8_t *rec, uint32_t len)
{
    const uint32_t  word[2] = { 0, len };

    memcpy(rec, word, COMETA_RING_HEAD);
}


/* One load, so that a word which changes meanwhile cannot pass the checks. */

static uint32_t
cometa_ring_read(const uint8_t *rec)
{
    return __atomic_load_n((const uint32_t *) (const void *) (rec + 4),
                           __ATOMIC_RELAXED);
}


static uint64_t
cometa_ring_record(size_t len)
{
    return (COMETA_RING_HEAD + (uint64_t) len + 7) & ~(uint64_t) 7;
}
