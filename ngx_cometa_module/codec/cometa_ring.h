/*
 * The byte ring: messages from many producers to one consumer through plain
 * shared memory. It holds no pointer, so every process may map it elsewhere.
 *
 * Producers are serialised by a lock that the CALLER holds; the consumer
 * takes none. Positions are 64-bit byte counts that only grow; a position's
 * place in the area is its low bits.
 *
 *     area   0                                                  size
 *            +-----------+----------+----------+---------+------+
 *            |   free    | returned |  to get  |  free   |      |
 *            +-----------+----------+----------+---------+------+
 *                        ^head      ^begun     ^tail
 *
 *     head..begun   get() returned it, the consumer may still read it
 *     begun..tail   published, to be got
 *
 *     record, its start a multiple of 8:
 *            +--------+--------+---------------------+---------+
 *            | 0      | length | message: head, body | 0..7    |
 *            +--------+--------+---------------------+---------+
 *             4        4        8-byte aligned        unused
 *
 * A record never wraps: where the rest of the area is too short for it, a
 * filler (a record of length COMETA_RING_FILLER) stands there and the record
 * follows at the start of the area, both published by the same store.
 *
 * A process may be killed anywhere. A producer writes beyond `tail` only and
 * moves it last: what it did not finish was never there. A consumer moves
 * `begun` before it acts on a message: a message at *pos was perhaps acted on
 * if and only if cometa_ring_begun() > *pos. (To be asked before the next
 * owner calls cometa_ring_clear(), which moves `begun` too.)
 */

#ifndef COMETA_RING_H
#define COMETA_RING_H


#include <stddef.h>
#include <stdint.h>


#define COMETA_RING_MIN     4096            /* the smallest area */
#define COMETA_RING_HEAD    8               /* what a record adds in front */
#define COMETA_RING_FILLER  0xffffffffu

/*
 * The longest message for an area of this size. One that is longer is refused
 * always: whether it fits would depend on where the ring happens to stand.
 */
#define cometa_ring_max(size)  ((size) / 2 - COMETA_RING_HEAD)


/* Producers and consumer write to cache lines of their own. */

typedef struct {
    uint64_t  tail;
    uint8_t   pad0[56];
    uint64_t  head;
    uint64_t  begun;
    uint8_t   pad1[48];
} cometa_ring_t;


/*
 * `area` is 8-byte aligned, `size` a power of two, COMETA_RING_MIN at least
 * and the same in every call on one ring.
 */

void cometa_ring_init(cometa_ring_t *r);

/*
 * The producer's side, lock held. Stores one message, `head` then `body`, and
 * sets *pos. Returns -1 if that would leave fewer than `reserve` bytes free,
 * or the message is longer than cometa_ring_max(size).
 */
int cometa_ring_put(cometa_ring_t *r, uint8_t *area, size_t size,
    size_t reserve, const void *head, size_t head_len, const void *body,
    size_t body_len, uint64_t *pos);

/*
 * The consumer's side. Returns the next message, which stays valid until
 * cometa_ring_done(), or NULL if there is none. Several may be got before one
 * done(). A ring found corrupt is emptied as cometa_ring_clear() does, which
 * ends the life of what was got before, and NULL is returned.
 */
void *cometa_ring_get(cometa_ring_t *r, uint8_t *area, size_t size,
    size_t *len);

/* Frees all that get() returned. */
void cometa_ring_done(cometa_ring_t *r);

/* Skips everything published so far: for the consumer, or its successor. */
void cometa_ring_clear(cometa_ring_t *r);

/*
 * Whether there is nothing to get. A consumer that announces its sleep and a
 * producer that looks for the announcement after a put both need a full fence
 * between their store and their load; the callers have to make it.
 */
int cometa_ring_empty(const cometa_ring_t *r);

/* Bytes taken, records and fillers; a snapshot if others are at work. */
size_t cometa_ring_used(const cometa_ring_t *r);

uint64_t cometa_ring_begun(const cometa_ring_t *r);

/*
 * The consumer has acted on all that was published before this if begun() has
 * come to it.
 */
uint64_t cometa_ring_end(const cometa_ring_t *r);


#endif /* COMETA_RING_H */
