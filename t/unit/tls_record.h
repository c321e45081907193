
/*
 * Two ends of a TLS connection without a handshake, for tests of the record
 * layer: secrets are made up, and records are made of any inner plain text.
 */

#ifndef TLS_RECORD_H
#define TLS_RECORD_H


#include <string.h>

#include "cometa_tls_aead.h"
#include "cometa_tls_record.h"
#include "tap.h"


#define ROOM  (COMETA_TLS_PLAIN_MAX + 4096)


typedef struct {
    uint16_t     version;
    uint8_t      cipher;
    uint8_t      hash;
    const char  *name;
} suite_t;

typedef struct {
    cometa_tls_t  reader;
    cometa_tls_t  writer;       /* its peer */
} pair_t;


static const suite_t  suites[] = {
    { COMETA_TLS_1_3, COMETA_TLS_AES_128_GCM, 32, "1.3 AES-128" },
    { COMETA_TLS_1_3, COMETA_TLS_AES_256_GCM, 48, "1.3 AES-256" },
    { COMETA_TLS_1_3, COMETA_TLS_CHACHA20_POLY1305, 32, "1.3 ChaCha20" },
    { COMETA_TLS_1_2, COMETA_TLS_AES_128_GCM, 32, "1.2 AES-128" },
    { COMETA_TLS_1_2, COMETA_TLS_AES_256_GCM, 48, "1.2 AES-256" },
    { COMETA_TLS_1_2, COMETA_TLS_CHACHA20_POLY1305, 32, "1.2 ChaCha20" }
};

#define SUITES  (sizeof(suites) / sizeof(suites[0]))


static inline void
pair_end_start(cometa_tls_t *t, const suite_t *suite, int client)
{
    uint8_t             master[COMETA_TLS_MASTER], secret[2][48];
    uint8_t             random[2][COMETA_TLS_RANDOM];
    cometa_tls_half_t  *half[2];

    memset(t, 0, sizeof(cometa_tls_t));
    t->version = suite->version;
    t->cipher = suite->cipher;
    t->hash = suite->hash;
    t->client = client;

    /* a new key begins with 0 */

    t->read.seq = 99;
    t->write.seq = 99;

    memset(master, 0x4d, sizeof(master));
    memset(random, 0x52, sizeof(random));
    memset(secret[0], 0x43, 48);
    memset(secret[1], 0x53, 48);

    half[0] = client ? &t->write : &t->read;
    half[1] = client ? &t->read : &t->write;

    if (t->version == COMETA_TLS_1_3) {
        cometa_tls_set_secret(t, half[0], secret[0]);
        cometa_tls_set_secret(t, half[1], secret[1]);

    } else {
        cometa_tls_set_master(t, master, random[0], random[1]);
    }
}


static inline void
pair_start(pair_t *pair, const suite_t *suite, int client)
{
    pair_end_start(&pair->reader, suite, client);
    pair_end_start(&pair->writer, suite, !client);
}


/*
 * Seals what no honest end would: in TLS 1.3 `inner` is all that is sealed,
 * with its type and its zeroes. Returns the length of the record.
 */

static inline size_t
craft(cometa_tls_t *t, uint8_t type, const uint8_t *inner, size_t n,
    uint8_t *out)
{
    size_t             skip, len;
    cometa_tls_aead_t  a;

    skip = COMETA_TLS_HEAD + cometa_tls_explicit(t);
    len = skip - COMETA_TLS_HEAD + n + COMETA_TLS_TAG;

    out[0] = type;
    out[1] = 3;
    out[2] = 3;
    out[3] = (uint8_t) (len >> 8);
    out[4] = (uint8_t) len;
    memset(out + COMETA_TLS_HEAD, 0xe0, skip - COMETA_TLS_HEAD);
    memcpy(out + skip, inner, n);

    cometa_tls_bind(t, &t->write, t->write.seq++, out, n, &a);
    cometa_tls_aead_seal(t->cipher, &a, out + skip, n);

    return COMETA_TLS_HEAD + len;
}


/* The record is copied: it is changed, and a sanitizer watches its ends. */

static inline int
read_one(cometa_tls_t *t, const uint8_t *record, size_t size, uint8_t *data,
    size_t *len, uint8_t *alert)
{
    int       rc;
    size_t    used;
    uint8_t  *in, *p;

    in = malloc(size + (size == 0));
    memcpy(in, record, size);

    rc = cometa_tls_read(t, in, size, &used, &p, len, alert);

    if (used > size || p < in || p + *len > in + size) {
        diag("out of bounds");
        abort();
    }

    if (rc == COMETA_TLS_READ_AGAIN && memcmp(in, record, size) != 0) {
        diag("changed");
        abort();
    }

    memcpy(data, p, *len);
    free(in);

    return rc;
}


#endif /* TLS_RECORD_H */
