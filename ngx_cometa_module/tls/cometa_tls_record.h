
/*
 * The record layer of TLS for a connection whose handshake OpenSSL has done:
 * TLS 1.3 (RFC 8446, 5) and the AEAD ciphers of TLS 1.2 (RFC 5246, 6.2.3.3;
 * RFC 5288; RFC 7905). No I/O and no nginx; the cryptography is OpenSSL's EVP.
 *
 * State: cometa_tls_t has all of one connection, without a pointer, so that it
 * may go to another process as it is. It holds keys: whoever drops one calls
 * cometa_tls_wipe(). Contexts of EVP are one for each cipher and process.
 */

#ifndef _COMETA_TLS_RECORD_H_INCLUDED_
#define _COMETA_TLS_RECORD_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#define COMETA_TLS_SECRET_MAX   48      /* of SHA-384 */
#define COMETA_TLS_MASTER       48      /* the master secret of TLS 1.2 */
#define COMETA_TLS_RANDOM       32
#define COMETA_TLS_KEY_MAX      32
#define COMETA_TLS_IV           12

#define COMETA_TLS_HEAD         5       /* type, version, length */
#define COMETA_TLS_PLAIN_MAX    16384   /* RFC 8446, 5.1 */
#define COMETA_TLS_OVERHEAD     30      /* head, nonce, type, tag, at most */

/* A record as it is received, at most (RFC 8446, 5.2; RFC 5246, 6.2.3). */
#define COMETA_TLS_RECORD_MAX   (COMETA_TLS_HEAD + COMETA_TLS_PLAIN_MAX + 2048)

/* What is said in answer to what was read: an alert, or an update of keys. */
#define COMETA_TLS_REPLY_MAX    64

/* Types of content (RFC 8446, 5.1). */
#define COMETA_TLS_CHANGE       20
#define COMETA_TLS_ALERT        21
#define COMETA_TLS_HANDSHAKE    22
#define COMETA_TLS_DATA         23


/* Ciphers, by what they do with a record. */

typedef enum {
    COMETA_TLS_AES_128_GCM = 1,
    COMETA_TLS_AES_256_GCM,
    COMETA_TLS_CHACHA20_POLY1305
} cometa_tls_cipher_t;


/* One direction. */

typedef struct {
    uint64_t  seq;                          /* of the next record */
    uint64_t  nonce;                        /* explicit one, TLS 1.2 GCM */
    uint8_t   key[COMETA_TLS_KEY_MAX];
    uint8_t   iv[COMETA_TLS_IV];            /* TLS 1.2 GCM: the first 4 */
    uint8_t   secret[COMETA_TLS_SECRET_MAX];    /* TLS 1.3: for an update */
    uint32_t  records;                      /* with this key */
} cometa_tls_half_t;


typedef struct {
    uint16_t           version;             /* 0x0303, 0x0304 */
    uint8_t            cipher;              /* cometa_tls_cipher_t */
    uint8_t            hash;                /* of the secrets: 32, 48 bytes */
    uint8_t            client;              /* this side is the client */
    uint8_t            update;              /* the peer wants our new key */
    uint8_t            closed;              /* close_notify was received */
    uint8_t            begun;               /* bytes of `part` */
    uint8_t            part[8];             /* a handshake message's begin */
    cometa_tls_half_t  read;
    cometa_tls_half_t  write;
} cometa_tls_t;


/* What cometa_tls_read() found. */

enum {
    COMETA_TLS_READ_AGAIN = 0,      /* the record is not complete */
    COMETA_TLS_READ_DATA,           /* application data, 0 bytes or more */
    COMETA_TLS_READ_NOTHING,        /* a record that is not for the reader */
    COMETA_TLS_READ_CLOSED,         /* close_notify */
    COMETA_TLS_READ_ALERT,          /* the peer's fatal alert: all is over */
    COMETA_TLS_READ_ERROR           /* ours: *alert says which one to send */
};


/* At the start of a process, and at its end. 0, or -1 without memory. */
int cometa_tls_start(void);
void cometa_tls_end(void);

/*
 * Sets one direction of TLS 1.3 from its traffic secret (t->version, cipher and
 * hash are set), with the sequence number 0. 0, or -1 if EVP fails.
 */
int cometa_tls_set_secret(cometa_tls_t *t, cometa_tls_half_t *half,
    const uint8_t *secret);

/*
 * Sets both directions of TLS 1.2 from the key block (RFC 5246, 6.3), with the
 * sequence numbers 0. 0, or -1 if EVP fails.
 */
int cometa_tls_set_master(cometa_tls_t *t, const uint8_t *master,
    const uint8_t *client_random, const uint8_t *server_random);

/*
 * Looks at the record at the front of `in`, decrypts it in place, and sets
 * `used` to its length; `data` and `len` are what is for the reader, within
 * `in`. A reply is to be sent by the caller when t->update is set
 * (cometa_tls_seal_update()), or when an alert is to be sent. Any length of
 * `in` is allowed.
 */
int cometa_tls_read(cometa_tls_t *t, uint8_t *in, size_t size, size_t *used,
    uint8_t **data, size_t *len, uint8_t *alert);

/*
 * Bytes that the record at the front of `in` has in all, 0 if its head is not
 * complete. It does not say whether the head is valid.
 */
size_t cometa_tls_record_size(const uint8_t *in, size_t size);

/*
 * Seals one record of at most COMETA_TLS_PLAIN_MAX bytes into `out`, which has
 * room for COMETA_TLS_OVERHEAD more than that. Returns its length, or 0 if no
 * record may be sealed any more with this key, or EVP fails: then the
 * connection has to end. A sequence number is used once, whatever happens.
 */
size_t cometa_tls_seal(cometa_tls_t *t, uint8_t type, const uint8_t *data,
    size_t len, uint8_t *out);

/* An alert: its level is fatal but for close_notify and no_renegotiation. */
size_t cometa_tls_seal_alert(cometa_tls_t *t, uint8_t alert, uint8_t *out);

/*
 * Whether a KeyUpdate has to be sealed before any more data: the peer asked for
 * one, or the key has sealed as many records as it may (RFC 8446, 5.5).
 */
int cometa_tls_update_due(const cometa_tls_t *t);

/* A KeyUpdate, which asks for none; then the next key of ours is in use. */
size_t cometa_tls_seal_update(cometa_tls_t *t, uint8_t *out);

/*
 * For the proof before the switch: opens a copy of a record that was written,
 * or read, in this direction under this sequence number. Nothing of the state
 * changes. 0: it is such a record; -1: it is not.
 */
int cometa_tls_prove(const cometa_tls_t *t, const cometa_tls_half_t *half,
    uint64_t seq, const uint8_t *record, size_t size);

/* Zeroes all of it, in a way that the compiler does not leave out. */
void cometa_tls_wipe(cometa_tls_t *t);


#endif /* _COMETA_TLS_RECORD_H_INCLUDED_ */
