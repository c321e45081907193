/*
 * The byte ring within one process: wraparound, filling, the reserve, fillers,
 * positions, and a ring whose memory was corrupted.
 */

#include <string.h>

#include "cometa_ring.h"
#include "tap.h"


#define SIZE    4096
#define GUARD   64
#define MAX     cometa_ring_max(SIZE)


static cometa_ring_t  ring;
static uint64_t       memory[(GUARD + SIZE + GUARD) / 8];
static uint8_t       *area = (uint8_t *) memory + GUARD;
static uint8_t        source[2 * SIZE];


static void start(uint64_t offset);
static int put(size_t len, uint64_t *pos);
static int guarded(void);
static size_t record(size_t len);
static void test_basics(void);
static void test_wraparound(void);
static void test_fill(void);
static void test_reserve(void);
static void test_filler(void);
static void test_longest(void);
static void test_begun(void);
static void test_clear(void);
static void test_corrupt_length(void);
static void test_corrupt_filler(void);
static void test_corrupt_positions(void);


int
main(void)
{
    size_t  i;

    for (i = 0; i < sizeof(source); i++) {
        source[i] = i * 7 + i / 256;
    }

    test_basics();
    test_wraparound();
    test_fill();
    test_reserve();
    test_filler();
    test_longest();
    test_begun();
    test_clear();
    test_corrupt_length();
    test_corrupt_filler();
    test_corrupt_positions();

    return done_testing();
}


/* An empty ring that stands at a position, a multiple of 8. */

static void
start(uint64_t offset)
{
    memset(memory, 0xa5, sizeof(memory));

    cometa_ring_init(&ring);

    ring.head = offset;
    ring.begun = offset;
    ring.tail = offset;
}


static int
put(size_t len, uint64_t *pos)
{
    uint64_t  ignored;

    return cometa_ring_put(&ring, area, SIZE, 0, source, len / 3,
                           source + len / 3, len - len / 3,
                           pos ? pos : &ignored);
}


static int
guarded(void)
{
    size_t          i;
    const uint8_t  *p;

    p = (const uint8_t *) memory;

    for (i = 0; i < GUARD; i++) {
        if (p[i] != 0xa5 || p[GUARD + SIZE + i] != 0xa5) {
            return 0;
        }
    }

    return 1;
}


static size_t
record(size_t len)
{
    return (COMETA_RING_HEAD + len + 7) / 8 * 8;
}


static void
test_basics(void)
{
    void      *msg;
    size_t     len;
    uint64_t   pos;

    start(0);

    ok(cometa_ring_empty(&ring) && cometa_ring_used(&ring) == 0,
       "empty at first");
    ok(cometa_ring_get(&ring, area, SIZE, &len) == NULL, "nothing to get");

    ok(cometa_ring_put(&ring, area, SIZE, 0, "head", 4, "body", 4, &pos) == 0,
       "put");
    ok(!cometa_ring_empty(&ring) && cometa_ring_used(&ring) == 16, "in use");

    msg = cometa_ring_get(&ring, area, SIZE, &len);
    ok(msg && len == 8 && memcmp(msg, "headbody", 8) == 0, "head, then body");
    ok(cometa_ring_empty(&ring) && cometa_ring_used(&ring) == 16,
       "got, but not free");

    cometa_ring_done(&ring);
    ok(cometa_ring_used(&ring) == 0, "free when done");

    ok(cometa_ring_put(&ring, area, SIZE, 0, NULL, 0, NULL, 0, &pos) == 0,
       "put of an empty message");
    msg = cometa_ring_get(&ring, area, SIZE, &len);
    ok(msg && len == 0, "an empty message is a message");

    ok(cometa_ring_put(&ring, area, SIZE, 0, "h", 1, NULL, 0, &pos) == 0
       && cometa_ring_put(&ring, area, SIZE, 0, NULL, 0, "b", 1, &pos) == 0,
       "put of a head alone, of a body alone");
    msg = cometa_ring_get(&ring, area, SIZE, &len);
    ok(msg && len == 1 && *(char *) msg == 'h', "the head");
    msg = cometa_ring_get(&ring, area, SIZE, &len);
    ok(msg && len == 1 && *(char *) msg == 'b', "the body");
}


/* 200,000 messages of all lengths, one to five in flight. */

static void
test_wraparound(void)
{
    int        i, pass;
    void      *msg;
    size_t     len, first, last, lens[8];
    uint64_t   pos[8], before;

    start(0);

    pass = 1;
    first = last = 0;
    before = 0;

    for (i = 0; i < 200000 && pass; i++) {
        len = (size_t) i * 37 % 700;

        pass &= put(len, &pos[last % 8]) == 0;
        pass &= pos[last % 8] % 8 == 0 && (i == 0 || pos[last % 8] > before);
        before = pos[last % 8];
        lens[last++ % 8] = len;

        if (i % 5 != 4) {
            continue;
        }

        while (first < last && pass) {
            msg = cometa_ring_get(&ring, area, SIZE, &len);

            pass &= msg && len == lens[first % 8]
                    && (uintptr_t) msg % 8 == 0
                    && msg == area + pos[first % 8] % SIZE + COMETA_RING_HEAD
                    && (uint8_t *) msg + len <= area + SIZE
                    && memcmp(msg, source, len) == 0;
            first++;
            cometa_ring_done(&ring);
        }
    }

    ok(pass && i == 200000, "%d messages around the area", i);
    ok(ring.head / SIZE > 1000, "%d times around", (int) (ring.head / SIZE));
    ok(cometa_ring_used(&ring) == 0 && guarded(), "nothing left, nor beside");
}


static void
test_fill(void)
{
    int     i, pass;
    size_t  len;

    start(0);

    for (i = 0; put(24, NULL) == 0; i++) { /* void */ }

    ok(i == SIZE / 32, "full to the last byte");
    ok(cometa_ring_used(&ring) == SIZE, "all in use");
    ok(put(0, NULL) == -1, "nothing more fits");

    ok(cometa_ring_get(&ring, area, SIZE, &len) && put(24, NULL) == -1,
       "what was got is not free yet");
    cometa_ring_done(&ring);
    ok(put(25, NULL) == -1, "one byte more than free");
    ok(put(24, NULL) == 0, "as much as free");

    pass = 1;

    for (i = 0; i < SIZE / 32; i++) {
        pass &= cometa_ring_get(&ring, area, SIZE, &len) && len == 24;
    }

    ok(pass && cometa_ring_empty(&ring), "all can be got before one done");
    cometa_ring_done(&ring);
    ok(cometa_ring_used(&ring) == 0 && guarded(), "and are free at once");
}


static void
test_reserve(void)
{
    uint64_t  pos;

    start(0);

    ok(cometa_ring_put(&ring, area, SIZE, SIZE - 15, source, 8, NULL, 0, &pos)
       == -1, "one byte into the reserve");
    ok(cometa_ring_empty(&ring) && ring.tail == 0, "refused without a trace");
    ok(cometa_ring_put(&ring, area, SIZE, SIZE - 16, source, 8, NULL, 0, &pos)
       == 0, "down to the reserve");
    ok(cometa_ring_put(&ring, area, SIZE, SIZE, NULL, 0, NULL, 0, &pos) == -1
       && cometa_ring_put(&ring, area, SIZE, SIZE_MAX, NULL, 0, NULL, 0, &pos)
          == -1, "a reserve that leaves nothing");

    /* a filler counts too */

    start(SIZE - 16);

    ok(cometa_ring_put(&ring, area, SIZE, SIZE - 16 - 24 + 1, source, 16, NULL,
                       0, &pos) == -1, "one byte into the reserve by a filler");
    ok(cometa_ring_put(&ring, area, SIZE, SIZE - 16 - 24, source, 16, NULL, 0,
                       &pos) == 0, "down to the reserve with a filler");
}


static void
test_filler(void)
{
    void      *msg;
    size_t     len, room;
    uint64_t   pos;

    for (room = 8; room <= 32; room += 8) {
        start(SIZE - room);

        ok(put(room - 8, &pos) == 0 && pos == SIZE - room,
           "exactly the %zu bytes at the end", room);
        msg = cometa_ring_get(&ring, area, SIZE, &len);
        ok(msg == area + SIZE - room + 8 && len == room - 8
           && ring.begun == SIZE, "got from there");

        start(SIZE - room);

        ok(put(room - 7, &pos) == 0 && pos == SIZE,
           "one more goes to the start");
        ok(cometa_ring_begun(&ring) <= pos, "not begun");
        msg = cometa_ring_get(&ring, area, SIZE, &len);
        ok(msg == area + 8 && len == room - 7
           && memcmp(msg, source, len) == 0, "got from the start");
        ok(cometa_ring_begun(&ring) > pos, "begun");
        cometa_ring_done(&ring);
        ok(cometa_ring_used(&ring) == 0 && guarded(), "the filler is free");
    }
}


static void
test_longest(void)
{
    int       pass;
    size_t    len;
    uint64_t  offset, pos;

    pass = 1;

    for (offset = 0; offset < SIZE; offset += 8) {
        start(offset);
        pass &= put(MAX, NULL) == 0
                && cometa_ring_get(&ring, area, SIZE, &len) && len == MAX;
    }

    ok(pass && guarded(), "the longest message fits wherever the ring stands");

    start(0);
    ok(cometa_ring_put(&ring, area, SIZE, 0, source, MAX, NULL, 0, &pos) == 0,
       "also as a head alone");
    start(0);
    ok(put(MAX + 1, NULL) == -1, "one byte longer never does");
    ok(cometa_ring_put(&ring, area, SIZE, 0, source, SIZE_MAX, source, 1, &pos)
       == -1
       && cometa_ring_put(&ring, area, SIZE, 0, source, 1, source, SIZE_MAX,
                          &pos) == -1
       && cometa_ring_put(&ring, area, SIZE, 0, source, SIZE_MAX, source,
                          SIZE_MAX, &pos) == -1,
       "lengths whose sum overflows");
}


static void
test_begun(void)
{
    size_t    len;
    uint64_t  a, b;

    start(0);
    put(10, &a);
    put(10, &b);

    ok(cometa_ring_begun(&ring) <= a, "the first not begun");
    cometa_ring_get(&ring, area, SIZE, &len);
    ok(cometa_ring_begun(&ring) > a && cometa_ring_begun(&ring) <= b,
       "the first begun, the second not");
    cometa_ring_done(&ring);
    ok(cometa_ring_begun(&ring) <= b, "done begins nothing");
    cometa_ring_get(&ring, area, SIZE, &len);
    ok(cometa_ring_begun(&ring) > b, "the second begun");
}


static void
test_clear(void)
{
    void    *msg;
    size_t   len;

    start(SIZE - 8);
    put(10, NULL);
    put(20, NULL);
    cometa_ring_get(&ring, area, SIZE, &len);
    cometa_ring_clear(&ring);

    ok(cometa_ring_empty(&ring) && cometa_ring_used(&ring) == 0, "cleared");
    ok(cometa_ring_get(&ring, area, SIZE, &len) == NULL, "nothing to get");

    put(30, NULL);
    msg = cometa_ring_get(&ring, area, SIZE, &len);
    ok(msg && len == 30, "works on");
}


static void
test_corrupt_length(void)
{
    int             pass;
    void           *msg;
    size_t          i, len;
    uint64_t        offset;
    const uint32_t  bad[] = { 17, 24, MAX, MAX + 1, SIZE - 8, SIZE, SIZE + 1,
                              0x7fffffff, 0x80000000, 0xfffffff0, 0xfffffff8,
                              0xfffffffe, COMETA_RING_FILLER };

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        pass = 1;

        for (offset = 0; offset < SIZE; offset += 8) {
            start(offset);
            put(16, NULL);
            memcpy(area + (ring.tail - record(16)) % SIZE + 4, &bad[i], 4);

            pass &= cometa_ring_get(&ring, area, SIZE, &len) == NULL;
            pass &= cometa_ring_empty(&ring) && cometa_ring_used(&ring) == 0;
            pass &= put(16, NULL) == 0;

            msg = cometa_ring_get(&ring, area, SIZE, &len);
            pass &= msg && len == 16 && memcmp(msg, source, 16) == 0;
        }

        ok(pass && guarded(), "length %u", bad[i]);
    }

    /* long enough to be published, yet it would leave the area */

    start(SIZE - 32);
    put(24, NULL);
    put(24, NULL);
    len = 56;
    memcpy(area + SIZE - 32 + 4, &len, 4);

    ok(cometa_ring_get(&ring, area, SIZE, &len) == NULL
       && cometa_ring_empty(&ring), "a length beyond the end of the area");
}


static void
test_corrupt_filler(void)
{
    size_t          len;
    const uint32_t  filler = COMETA_RING_FILLER;

    start(SIZE - 8);
    put(16, NULL);
    memcpy(area + 4, &filler, 4);

    ok(cometa_ring_get(&ring, area, SIZE, &len) == NULL
       && cometa_ring_empty(&ring), "a filler behind a filler");

    start(SIZE - 64);
    put(8, NULL);
    memcpy(area + SIZE - 64 + 4, &filler, 4);

    ok(cometa_ring_get(&ring, area, SIZE, &len) == NULL
       && cometa_ring_empty(&ring), "a filler with nothing behind it");
}


static void
test_corrupt_positions(void)
{
    size_t  len;

    start(0);
    ring.tail = SIZE + 8;
    ok(put(8, NULL) == -1, "no put with more than the area in use");
    ok(cometa_ring_get(&ring, area, SIZE, &len) == NULL
       && cometa_ring_empty(&ring), "no get beyond the area");
    ok(put(8, NULL) == 0 && cometa_ring_get(&ring, area, SIZE, &len),
       "works on");

    start(64);
    ring.tail = 56;
    ok(put(8, NULL) == -1, "no put with the tail behind the head");
    ok(cometa_ring_get(&ring, area, SIZE, &len) == NULL
       && cometa_ring_empty(&ring), "no get with the tail behind");

    start(0);
    ring.tail = SIZE - 4;
    ok(put(8, NULL) == -1, "no put at an odd position");
    ok(cometa_ring_get(&ring, area, SIZE, &len) == NULL, "no get up to one");

    start(0);
    put(8, NULL);
    ring.begun = 4;
    ok(cometa_ring_get(&ring, area, SIZE, &len) == NULL, "no get from one");
    ok(guarded(), "nothing written beside the area");
}
