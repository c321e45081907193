/*
 * SipHash-1-3: one round a word, three at the end. See cometa_hash.h.
 */

#include "cometa_hash.h"


#define cometa_hash_rotl(x, b)  (((x) << (b)) | ((x) >> (64 - (b))))


static void
cometa_hash_round(uint64_t *v)
{
    v[0] += v[1];
    v[1] = cometa_hash_rotl(v[1], 13) ^ v[0];
    v[0] = cometa_hash_rotl(v[0], 32);

    v[2] += v[3];
    v[3] = cometa_hash_rotl(v[3], 16) ^ v[2];

    v[0] += v[3];
    v[3] = cometa_hash_rotl(v[3], 21) ^ v[0];

    v[2] += v[1];
    v[1] = cometa_hash_rotl(v[1], 17) ^ v[2];
    v[2] = cometa_hash_rotl(v[2], 32);
}


static void
cometa_hash_word(cometa_hash_t *h, uint64_t word)
{
    h->v[3] ^= word;
    cometa_hash_round(h->v);
    h->v[0] ^= word;
}


void
cometa_hash_init(cometa_hash_t *h, const uint64_t key[2])
{
    h->v[0] = key[0] ^ 0x736f6d6570736575ull;
    h->v[1] = key[1] ^ 0x646f72616e646f6dull;
    h->v[2] = key[0] ^ 0x6c7967656e657261ull;
    h->v[3] = key[1] ^ 0x7465646279746573ull;

    h->word = 0;
    h->len = 0;
}


void
cometa_hash_update(cometa_hash_t *h, const void *data, size_t len)
{
    const uint8_t  *p = data;

    while (len--) {
        h->word |= (uint64_t) *p++ << (8 * (h->len & 7));

        if ((++h->len & 7) == 0) {
            cometa_hash_word(h, h->word);
            h->word = 0;
        }
    }
}


uint64_t
cometa_hash_final(cometa_hash_t *h)
{
    cometa_hash_word(h, h->word | (h->len << 56));

    h->v[2] ^= 0xff;

    cometa_hash_round(h->v);
    cometa_hash_round(h->v);
    cometa_hash_round(h->v);

    return h->v[0] ^ h->v[1] ^ h->v[2] ^ h->v[3];
}
