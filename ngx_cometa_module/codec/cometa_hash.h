/*
 * A keyed hash of short strings (SipHash-1-3), so that nobody who chooses
 * device ids can choose where they fall in the registry. Pure C.
 */

#ifndef COMETA_HASH_H
#define COMETA_HASH_H


#include <stddef.h>
#include <stdint.h>


/* The hash so far; feed it, then end it. */

typedef struct {
    uint64_t  v[4];
    uint64_t  word;             /* bytes not yet mixed in, low first */
    uint64_t  len;
} cometa_hash_t;


void cometa_hash_init(cometa_hash_t *h, const uint64_t key[2]);
void cometa_hash_update(cometa_hash_t *h, const void *data, size_t len);
uint64_t cometa_hash_final(cometa_hash_t *h);


#endif /* COMETA_HASH_H */
