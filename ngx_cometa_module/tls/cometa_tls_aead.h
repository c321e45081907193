
/*
 * The three AEAD ciphers of TLS by OpenSSL's EVP, on one message at a time.
 *
 * Each cipher has two contexts in a process, one for each direction, which get
 * the key anew for every message. So a context is no part of a connection; but
 * the last key stays in it until cometa_tls_aead_forget(). No locks: a process
 * uses this from one thread.
 */

#ifndef _COMETA_TLS_AEAD_H_INCLUDED_
#define _COMETA_TLS_AEAD_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include <openssl/opensslv.h>


/*
 * Only OpenSSL from 3.0 on has all that this needs. Built with another library
 * the functions are there and fail, so that nothing can be set up.
 */

#ifndef COMETA_TLS_HAVE
#define COMETA_TLS_HAVE  (OPENSSL_VERSION_NUMBER >= 0x30000000L)
#endif


#define COMETA_TLS_KEY_MAX      32
#define COMETA_TLS_IV           12
#define COMETA_TLS_TAG          16
#define COMETA_TLS_AAD_MAX      13


typedef enum {
    COMETA_TLS_AES_128_GCM = 1,
    COMETA_TLS_AES_256_GCM,
    COMETA_TLS_CHACHA20_POLY1305
} cometa_tls_cipher_t;


/* What goes with a message into the cipher; the key is the caller's. */

typedef struct {
    const uint8_t  *key;
    size_t          aad_len;
    uint8_t         nonce[COMETA_TLS_IV];
    uint8_t         aad[COMETA_TLS_AAD_MAX];
} cometa_tls_aead_t;


/*
 * 0, or -1 without memory or OpenSSL. A cipher that OpenSSL does not have is
 * left out.
 */
int cometa_tls_aead_start(void);
void cometa_tls_aead_end(void);

/* Bytes of a key; 0 for a cipher that is not known, or not to be had. */
size_t cometa_tls_aead_key(unsigned cipher);

/*
 * Encrypts `len` bytes at `p` in place and puts the tag behind them. 0, or -1
 * if EVP fails: then nothing of it may be sent.
 */
int cometa_tls_aead_seal(unsigned cipher, const cometa_tls_aead_t *a,
    uint8_t *p, size_t len);

/*
 * Decrypts `len` bytes at `p` in place; the tag is behind them. 0, or -1 if
 * the tag is wrong: then `p` has been zeroed.
 */
int cometa_tls_aead_open(unsigned cipher, const cometa_tls_aead_t *a,
    uint8_t *p, size_t len);

/* Whether the tag behind `len` bytes at `p` is right: 0, else -1. */
int cometa_tls_aead_verify(unsigned cipher, const cometa_tls_aead_t *a,
    const uint8_t *p, size_t len);

/* Takes the last key out of both contexts of a cipher. */
void cometa_tls_aead_forget(unsigned cipher);


#endif /* _COMETA_TLS_AEAD_H_INCLUDED_ */
