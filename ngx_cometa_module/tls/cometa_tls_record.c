
/*
 * Records of TLS, opened and sealed; see cometa_tls_record.h.
 *
 *     TLS 1.3          head | sealed: data, type, zeroes | tag
 *     TLS 1.2, GCM     head | nonce | sealed: data | tag
 *     TLS 1.2, ChaCha  head | sealed: data | tag
 *
 * What was received is read in cometa_tls_read.c.
 */

#include <string.h>

#include <openssl/crypto.h>

#include "cometa_tls_aead.h"
#include "cometa_tls_keys.h"
#include "cometa_tls_record.h"


#define EXPLICIT        8               /* of the nonce, TLS 1.2 GCM */
#define IMPLICIT        4
#define BLOCK_MAX       (2 * (COMETA_TLS_KEY_MAX + COMETA_TLS_IV))

#define LEVEL_WARNING   1
#define LEVEL_FATAL     2

#define KEY_UPDATE      24


static uint64_t cometa_tls_limit(const cometa_tls_t *t);
static void cometa_tls_put(uint8_t *p, uint64_t value, size_t bytes);


int
cometa_tls_start(void)
{
    cometa_tls_keys_start();

    return cometa_tls_aead_start();
}


void
cometa_tls_end(void)
{
    cometa_tls_aead_end();
    cometa_tls_keys_end();
}


int
cometa_tls_set_secret(cometa_tls_t *t, cometa_tls_half_t *half,
    const uint8_t *secret)
{
    size_t  size;

    size = cometa_tls_aead_key(t->cipher);

    if (size == 0
        || cometa_tls_keys_expand(t->hash, secret, "key", half->key, size) != 0
        || cometa_tls_keys_expand(t->hash, secret, "iv", half->iv,
                                  COMETA_TLS_IV) != 0)
    {
        return -1;
    }

    memcpy(half->secret, secret, t->hash);
    half->seq = 0;

    return 0;
}


int
cometa_tls_set_master(cometa_tls_t *t, const uint8_t *master,
    const uint8_t *client_random, const uint8_t *server_random)
{
    int                 rc;
    size_t              size, iv, label;
    uint8_t             block[BLOCK_MAX], *p;
    uint8_t             seed[13 + 2 * COMETA_TLS_RANDOM];
    cometa_tls_half_t  *client, *server;

    size = cometa_tls_aead_key(t->cipher);
    iv = cometa_tls_explicit(t) ? IMPLICIT : COMETA_TLS_IV;

    if (size == 0) {
        return -1;
    }

    label = sizeof("key expansion") - 1;
    memcpy(seed, "key expansion", label);
    memcpy(seed + label, server_random, COMETA_TLS_RANDOM);
    memcpy(seed + label + COMETA_TLS_RANDOM, client_random, COMETA_TLS_RANDOM);

    rc = cometa_tls_keys_prf(t->hash, master, COMETA_TLS_MASTER, seed,
                             sizeof(seed), block, 2 * (size + iv));

    if (rc == 0) {
        client = t->client ? &t->write : &t->read;
        server = t->client ? &t->read : &t->write;

        p = block;
        memcpy(client->key, p, size);
        memcpy(server->key, p + size, size);
        p += 2 * size;
        memcpy(client->iv, p, iv);
        memcpy(server->iv, p + iv, iv);

        client->seq = 0;
        server->seq = 0;
    }

    OPENSSL_cleanse(block, sizeof(block));

    return rc;
}


int
cometa_tls_next(cometa_tls_t *t, cometa_tls_half_t *half)
{
    int      rc;
    uint8_t  secret[COMETA_TLS_SECRET_MAX];

    rc = cometa_tls_keys_expand(t->hash, half->secret, "traffic upd", secret,
                                t->hash);

    if (rc == 0) {
        rc = cometa_tls_set_secret(t, half, secret);
    }

    OPENSSL_cleanse(secret, sizeof(secret));

    return rc;
}


size_t
cometa_tls_record_size(const uint8_t *in, size_t size)
{
    return (size < COMETA_TLS_HEAD) ? 0
           : COMETA_TLS_HEAD + ((size_t) in[3] << 8 | in[4]);
}


size_t
cometa_tls_seal(cometa_tls_t *t, uint8_t type, const uint8_t *data, size_t len,
    uint8_t *out)
{
    size_t              n, skip;
    uint8_t            *p;
    cometa_tls_half_t  *half;
    cometa_tls_aead_t   a;

    half = &t->write;

    if (len > COMETA_TLS_PLAIN_MAX || half->seq >= cometa_tls_limit(t)) {
        return 0;
    }

    skip = COMETA_TLS_HEAD + cometa_tls_explicit(t);
    p = out + skip;
    n = len;

    if (len) {
        memmove(p, data, len);
    }

    out[0] = type;

    if (t->version == COMETA_TLS_1_3) {
        out[0] = COMETA_TLS_DATA;
        p[n++] = type;
    }

    cometa_tls_put(&out[1], COMETA_TLS_1_2, 2);
    cometa_tls_put(&out[3], skip - COMETA_TLS_HEAD + n + COMETA_TLS_TAG, 2);

    if (skip > COMETA_TLS_HEAD) {
        cometa_tls_put(&out[COMETA_TLS_HEAD], half->nonce++, EXPLICIT);
    }

    cometa_tls_bind(t, half, half->seq++, out, n, &a);

    if (cometa_tls_aead_seal(t->cipher, &a, p, n) != 0) {
        return 0;
    }

    return skip + n + COMETA_TLS_TAG;
}


size_t
cometa_tls_seal_alert(cometa_tls_t *t, uint8_t alert, uint8_t *out)
{
    uint8_t  message[2];

    message[0] = (alert == COMETA_TLS_CLOSE_NOTIFY
                  || alert == COMETA_TLS_NO_RENEGOTIATION)
                 ? LEVEL_WARNING : LEVEL_FATAL;
    message[1] = alert;

    return cometa_tls_seal(t, COMETA_TLS_ALERT, message, 2, out);
}


int
cometa_tls_update_due(const cometa_tls_t *t)
{
    if (t->version != COMETA_TLS_1_3) {
        return 0;
    }

    return t->update
           || (t->cipher != COMETA_TLS_CHACHA20_POLY1305
               && t->write.seq >= COMETA_TLS_UPDATE_DUE);
}


size_t
cometa_tls_seal_update(cometa_tls_t *t, uint8_t *out)
{
    size_t                n;

    static const uint8_t  message[] = { KEY_UPDATE, 0, 0, 1, 0 };

    if (t->version != COMETA_TLS_1_3) {
        return 0;
    }

    n = cometa_tls_seal(t, COMETA_TLS_HANDSHAKE, message, sizeof(message),
                        out);

    if (n == 0 || cometa_tls_next(t, &t->write) != 0) {
        return 0;
    }

    t->update = 0;

    return n;
}


int
cometa_tls_prove(const cometa_tls_t *t, const cometa_tls_half_t *half,
    uint64_t seq, const uint8_t *record, size_t size)
{
    size_t             n, skip;
    cometa_tls_aead_t  a;

    skip = COMETA_TLS_HEAD + cometa_tls_explicit(t);

    if (size < skip + COMETA_TLS_TAG
        || size != cometa_tls_record_size(record, size))
    {
        return -1;
    }

    n = size - skip - COMETA_TLS_TAG;

    cometa_tls_bind(t, half, seq, record, n, &a);

    return cometa_tls_aead_verify(t->cipher, &a, record + skip, n);
}


void
cometa_tls_wipe(cometa_tls_t *t)
{
    cometa_tls_aead_forget(t->cipher);
    OPENSSL_cleanse(t, sizeof(*t));
}


void
cometa_tls_bind(const cometa_tls_t *t, const cometa_tls_half_t *half,
    uint64_t seq, const uint8_t *record, size_t len, cometa_tls_aead_t *a)
{
    size_t  i;

    a->key = half->key;

    if (t->version == COMETA_TLS_1_3) {
        memcpy(a->aad, record, COMETA_TLS_HEAD);
        a->aad_len = COMETA_TLS_HEAD;

    } else {
        cometa_tls_put(a->aad, seq, 8);
        memcpy(a->aad + 8, record, 3);
        cometa_tls_put(a->aad + 11, len, 2);
        a->aad_len = COMETA_TLS_AAD_MAX;
    }

    if (cometa_tls_explicit(t)) {
        memcpy(a->nonce, half->iv, IMPLICIT);
        memcpy(a->nonce + IMPLICIT, record + COMETA_TLS_HEAD, EXPLICIT);
        return;
    }

    cometa_tls_put(a->nonce, 0, 4);
    cometa_tls_put(a->nonce + 4, seq, 8);

    for (i = 0; i < COMETA_TLS_IV; i++) {
        a->nonce[i] ^= half->iv[i];
    }
}


size_t
cometa_tls_explicit(const cometa_tls_t *t)
{
    return (t->version != COMETA_TLS_1_3
            && t->cipher != COMETA_TLS_CHACHA20_POLY1305) ? EXPLICIT : 0;
}


static uint64_t
cometa_tls_limit(const cometa_tls_t *t)
{
    if (t->cipher == COMETA_TLS_CHACHA20_POLY1305) {
        return UINT64_MAX;
    }

    return (t->version == COMETA_TLS_1_3) ? COMETA_TLS_GCM_MAX
           : COMETA_TLS_GCM_12_MAX;
}


/* In the order of the network. */

static void
cometa_tls_put(uint8_t *p, uint64_t value, size_t bytes)
{
    while (bytes--) {
        *p++ = (uint8_t) (value >> (8 * bytes));
    }
}
