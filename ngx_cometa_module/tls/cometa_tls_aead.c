
/*
 * AEAD by EVP; see cometa_tls_aead.h. Ciphers are fetched once: an implicit
 * fetch for each message would cost more than the message.
 *
 * Errors that OpenSSL has put into its queue are dropped here. They would be
 * found by the next SSL operation of another connection, and be taken for its
 * own.
 */

#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "cometa_tls_aead.h"


#if (COMETA_TLS_HAVE)

#define CIPHERS  3
#define PIECE    512        /* a multiple of the block */

enum { OPEN = 0, SEAL = 1 };


typedef struct {
    const char      *name;
    size_t           key;
    EVP_CIPHER      *cipher;
    EVP_CIPHER_CTX  *ctx[2];
} cometa_tls_aead_cipher_t;


static cometa_tls_aead_cipher_t *cometa_tls_aead_find(unsigned cipher);
static EVP_CIPHER_CTX *cometa_tls_aead_begin(unsigned cipher,
    const cometa_tls_aead_t *a, int seal);
static int cometa_tls_aead_finish(EVP_CIPHER_CTX *ctx, const uint8_t *tag);


static cometa_tls_aead_cipher_t  cometa_tls_aead[CIPHERS] = {
    { "AES-128-GCM", 16, NULL, { NULL, NULL } },
    { "AES-256-GCM", 32, NULL, { NULL, NULL } },
    { "ChaCha20-Poly1305", 32, NULL, { NULL, NULL } }
};


int
cometa_tls_aead_start(void)
{
    int                        i, seal;
    cometa_tls_aead_cipher_t  *c;

    for (i = 0; i < CIPHERS; i++) {
        c = &cometa_tls_aead[i];
        c->cipher = EVP_CIPHER_fetch(NULL, c->name, NULL);

        if (c->cipher == NULL) {
            ERR_clear_error();
            continue;
        }

        for (seal = OPEN; seal <= SEAL; seal++) {
            c->ctx[seal] = EVP_CIPHER_CTX_new();

            if (c->ctx[seal] == NULL
                || EVP_CipherInit_ex(c->ctx[seal], c->cipher, NULL, NULL, NULL,
                                     seal) != 1)
            {
                cometa_tls_aead_end();
                ERR_clear_error();
                return -1;
            }
        }
    }

    return 0;
}


void
cometa_tls_aead_end(void)
{
    int                        i;
    cometa_tls_aead_cipher_t  *c;

    for (i = 0; i < CIPHERS; i++) {
        c = &cometa_tls_aead[i];

        EVP_CIPHER_CTX_free(c->ctx[OPEN]);
        EVP_CIPHER_CTX_free(c->ctx[SEAL]);
        EVP_CIPHER_free(c->cipher);

        c->ctx[OPEN] = NULL;
        c->ctx[SEAL] = NULL;
        c->cipher = NULL;
    }
}


size_t
cometa_tls_aead_key(unsigned cipher)
{
    cometa_tls_aead_cipher_t  *c;

    c = cometa_tls_aead_find(cipher);

    return c ? c->key : 0;
}


static cometa_tls_aead_cipher_t *
cometa_tls_aead_find(unsigned cipher)
{
    cometa_tls_aead_cipher_t  *c;

    if (cipher < COMETA_TLS_AES_128_GCM
        || cipher > COMETA_TLS_CHACHA20_POLY1305)
    {
        return NULL;
    }

    c = &cometa_tls_aead[cipher - COMETA_TLS_AES_128_GCM];

    return c->cipher ? c : NULL;
}


int
cometa_tls_aead_seal(unsigned cipher, const cometa_tls_aead_t *a, uint8_t *p,
    size_t len)
{
    int              n;
    EVP_CIPHER_CTX  *ctx;

    ctx = cometa_tls_aead_begin(cipher, a, SEAL);

    if (ctx
        && (len == 0 || EVP_EncryptUpdate(ctx, p, &n, p, (int) len) == 1)
        && EVP_EncryptFinal_ex(ctx, p + len, &n) == 1
        && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, COMETA_TLS_TAG,
                               p + len) == 1)
    {
        return 0;
    }

    ERR_clear_error();
    return -1;
}


/* What did not open is not left lying about: it is nobody's plain text. */

int
cometa_tls_aead_open(unsigned cipher, const cometa_tls_aead_t *a, uint8_t *p,
    size_t len)
{
    int              n;
    EVP_CIPHER_CTX  *ctx;

    ctx = cometa_tls_aead_begin(cipher, a, OPEN);

    if (ctx
        && (len == 0 || EVP_DecryptUpdate(ctx, p, &n, p, (int) len) == 1)
        && cometa_tls_aead_finish(ctx, p + len) == 0)
    {
        return 0;
    }

    OPENSSL_cleanse(p, len);
    ERR_clear_error();

    return -1;
}


/* By pieces, so that it needs no second buffer of the size of a record. */

int
cometa_tls_aead_verify(unsigned cipher, const cometa_tls_aead_t *a,
    const uint8_t *p, size_t len)
{
    int              n, rc;
    size_t           size;
    uint8_t          plain[PIECE];
    EVP_CIPHER_CTX  *ctx;

    ctx = cometa_tls_aead_begin(cipher, a, OPEN);
    rc = ctx ? 0 : -1;

    while (rc == 0 && len) {
        size = (len < PIECE) ? len : PIECE;

        if (EVP_DecryptUpdate(ctx, plain, &n, p, (int) size) != 1) {
            rc = -1;
        }

        p += size;
        len -= size;
    }

    if (rc == 0) {
        rc = cometa_tls_aead_finish(ctx, p);
    }

    OPENSSL_cleanse(plain, PIECE);

    if (rc != 0) {
        ERR_clear_error();
    }

    return rc;
}


static EVP_CIPHER_CTX *
cometa_tls_aead_begin(unsigned cipher, const cometa_tls_aead_t *a, int seal)
{
    int                        n;
    EVP_CIPHER_CTX            *ctx;
    cometa_tls_aead_cipher_t  *c;

    c = cometa_tls_aead_find(cipher);

    if (c == NULL) {
        return NULL;
    }

    ctx = c->ctx[seal];

    if (EVP_CipherInit_ex(ctx, NULL, NULL, a->key, a->nonce, seal) != 1
        || EVP_CipherUpdate(ctx, NULL, &n, a->aad, (int) a->aad_len) != 1)
    {
        return NULL;
    }

    return ctx;
}


/* EVP takes the tag through a pointer that is not const, and only reads it. */

static int
cometa_tls_aead_finish(EVP_CIPHER_CTX *ctx, const uint8_t *tag)
{
    int      n;
    uint8_t  copy[COMETA_TLS_TAG];

    memcpy(copy, tag, COMETA_TLS_TAG);

    if (EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, COMETA_TLS_TAG, copy)
        != 1)
    {
        return -1;
    }

    return (EVP_DecryptFinal_ex(ctx, copy, &n) == 1) ? 0 : -1;
}


/* A key of zeroes takes the place of the last one, and of what came of it. */

void
cometa_tls_aead_forget(unsigned cipher)
{
    int                        seal;
    cometa_tls_aead_cipher_t  *c;

    static const uint8_t       zero[COMETA_TLS_KEY_MAX];

    c = cometa_tls_aead_find(cipher);

    for (seal = OPEN; c && seal <= SEAL; seal++) {
        (void) EVP_CipherInit_ex(c->ctx[seal], NULL, NULL, zero, zero, seal);
    }
}


#else

int
cometa_tls_aead_start(void)
{
    return -1;
}


void
cometa_tls_aead_end(void)
{
}


size_t
cometa_tls_aead_key(unsigned cipher)
{
    (void) cipher;

    return 0;
}


int
cometa_tls_aead_seal(unsigned cipher, const cometa_tls_aead_t *a, uint8_t *p,
    size_t len)
{
    (void) cipher;
    (void) a;
    (void) p;
    (void) len;

    return -1;
}


int
cometa_tls_aead_open(unsigned cipher, const cometa_tls_aead_t *a, uint8_t *p,
    size_t len)
{
    return cometa_tls_aead_seal(cipher, a, p, len);
}


int
cometa_tls_aead_verify(unsigned cipher, const cometa_tls_aead_t *a,
    const uint8_t *p, size_t len)
{
    (void) p;

    return cometa_tls_aead_seal(cipher, a, NULL, len);
}


void
cometa_tls_aead_forget(unsigned cipher)
{
    (void) cipher;
}

#endif
