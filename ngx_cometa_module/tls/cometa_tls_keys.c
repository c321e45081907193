
/*
 * Keys from secrets; see cometa_tls_keys.h. EVP_KDF_CTX_free() cleanses what a
 * context has of a secret.
 */

#include <string.h>

#include "cometa_tls_aead.h"
#include "cometa_tls_keys.h"


#if (COMETA_TLS_HAVE)

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>


#define PREFIX     "tls13 "
#define LABEL_MAX  32


static int cometa_tls_keys_derive(EVP_KDF *kdf, OSSL_PARAM *params,
    uint8_t *out, size_t len);
static const char *cometa_tls_keys_hash(unsigned hash);


static EVP_KDF  *cometa_tls_hkdf;
static EVP_KDF  *cometa_tls_prf;


void
cometa_tls_keys_start(void)
{
    cometa_tls_hkdf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_HKDF, NULL);
    cometa_tls_prf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_TLS1_PRF, NULL);

    ERR_clear_error();
}


void
cometa_tls_keys_end(void)
{
    EVP_KDF_free(cometa_tls_hkdf);
    EVP_KDF_free(cometa_tls_prf);

    cometa_tls_hkdf = NULL;
    cometa_tls_prf = NULL;
}


int
cometa_tls_keys_expand(unsigned hash, const uint8_t *secret,
    const char *label, uint8_t *out, size_t len)
{
    int         mode;
    char       *name;
    size_t      n;
    uint8_t     info[4 + LABEL_MAX], *p;
    OSSL_PARAM  params[5];

    name = (char *) cometa_tls_keys_hash(hash);
    n = sizeof(PREFIX) - 1 + strlen(label);

    if (name == NULL || n > LABEL_MAX || len > UINT8_MAX) {
        return -1;
    }

    /* struct HkdfLabel: the length wanted, the label, no context */

    p = info;
    *p++ = 0;
    *p++ = (uint8_t) len;
    *p++ = (uint8_t) n;
    memcpy(p, PREFIX, sizeof(PREFIX) - 1);
    memcpy(p + sizeof(PREFIX) - 1, label, n - (sizeof(PREFIX) - 1));
    p += n;
    *p++ = 0;

    mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;

    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, name,
                                                 0);
    params[1] = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode);
    params[2] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY,
                                                  (uint8_t *) secret, hash);
    params[3] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info,
                                                  (size_t) (p - info));
    params[4] = OSSL_PARAM_construct_end();

    return cometa_tls_keys_derive(cometa_tls_hkdf, params, out, len);
}


int
cometa_tls_keys_prf(unsigned hash, const uint8_t *secret, size_t secret_len,
    const uint8_t *seed, size_t seed_len, uint8_t *out, size_t len)
{
    char       *name;
    OSSL_PARAM  params[4];

    name = (char *) cometa_tls_keys_hash(hash);

    if (name == NULL) {
        return -1;
    }

    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, name,
                                                 0);
    params[1] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SECRET,
                                                  (uint8_t *) secret,
                                                  secret_len);
    params[2] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED,
                                                  (uint8_t *) seed, seed_len);
    params[3] = OSSL_PARAM_construct_end();

    return cometa_tls_keys_derive(cometa_tls_prf, params, out, len);
}


static int
cometa_tls_keys_derive(EVP_KDF *kdf, OSSL_PARAM *params, uint8_t *out,
    size_t len)
{
    int           rc;
    EVP_KDF_CTX  *ctx;

    if (kdf == NULL) {
        return -1;
    }

    ctx = EVP_KDF_CTX_new(kdf);
    rc = (ctx && EVP_KDF_derive(ctx, out, len, params) == 1) ? 0 : -1;

    EVP_KDF_CTX_free(ctx);

    if (rc != 0) {
        ERR_clear_error();
    }

    return rc;
}


static const char *
cometa_tls_keys_hash(unsigned hash)
{
    return (hash == 32) ? "SHA256" : (hash == 48) ? "SHA384" : NULL;
}


#else

void
cometa_tls_keys_start(void)
{
}


void
cometa_tls_keys_end(void)
{
}


int
cometa_tls_keys_expand(unsigned hash, const uint8_t *secret, const char *label,
    uint8_t *out, size_t len)
{
    (void) hash;
    (void) secret;
    (void) label;
    (void) out;
    (void) len;

    return -1;
}


int
cometa_tls_keys_prf(unsigned hash, const uint8_t *secret, size_t secret_len,
    const uint8_t *seed, size_t seed_len, uint8_t *out, size_t len)
{
    (void) secret_len;
    (void) seed;
    (void) seed_len;

    return cometa_tls_keys_expand(hash, secret, "", out, len);
}

#endif
