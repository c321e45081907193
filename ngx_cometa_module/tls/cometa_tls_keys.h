
/*
 * Keys of TLS from its secrets: HKDF-Expand-Label of TLS 1.3 (RFC 8446, 7.1)
 * and the pseudorandom function of TLS 1.2 (RFC 5246, 5), by OpenSSL's EVP.
 * What is used on the way is cleansed; `out` is the caller's.
 */

#ifndef _COMETA_TLS_KEYS_H_INCLUDED_
#define _COMETA_TLS_KEYS_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


/* A function that OpenSSL does not have is left out: what needs it fails. */
void cometa_tls_keys_start(void);
void cometa_tls_keys_end(void);

/*
 * HKDF-Expand-Label with an empty context. `hash` is 32 for SHA-256 or 48 for
 * SHA-384, which is also the length of the secret; the label is without its
 * "tls13 ". 0, or -1 if EVP fails.
 */
int cometa_tls_keys_expand(unsigned hash, const uint8_t *secret,
    const char *label, uint8_t *out, size_t len);

/*
 * PRF(secret, label, seed). `hash` is as above; the secret and the seed have
 * the lengths that are given. 0, or -1 if EVP fails.
 */
int cometa_tls_keys_prf(unsigned hash, const uint8_t *secret,
    size_t secret_len, const uint8_t *seed, size_t seed_len, uint8_t *out,
    size_t len);


#endif /* _COMETA_TLS_KEYS_H_INCLUDED_ */
