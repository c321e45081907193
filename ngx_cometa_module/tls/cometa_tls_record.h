
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

#include "cometa_tls_aead.h"


#define COMETA_TLS_1_2          0x0303
#define COMETA_TLS_1_3          0x0304

#define COMETA_TLS_SECRET_MAX   48      /* of SHA-384 */
#define COMETA_TLS_MASTER       48      /* the master secret of TLS 1.2 */
#define COMETA_TLS_RANDOM       32

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

/* Alerts (RFC 8446, 6). */
#define COMETA_TLS_CLOSE_NOTIFY        0
#define COMETA_TLS_UNEXPECTED_MESSAGE  10
#define COMETA_TLS_BAD_RECORD_MAC      20
#define COMETA_TLS_RECORD_OVERFLOW     22
#define COMETA_TLS_ILLEGAL_PARAMETER   47
#define COMETA_TLS_DECODE_ERROR        50
#define COMETA_TLS_PROTOCOL_VERSION    70
#define COMETA_TLS_INTERNAL_ERROR      80
#define COMETA_TLS_USER_CANCELED       90
#define COMETA_TLS_NO_RENEGOTIATION    100

/*
 * Records that have no data, in a row, at most: updates of keys, and alerts
 * that are only warnings (attempts to renegotiate are counted with them).
 */
#define COMETA_TLS_UPDATES_MAX   32
#define COMETA_TLS_WARNINGS_MAX  4

/*
 * Records sealed with one key. Of AES-GCM in TLS 1.3 an update is due after
 * 2^24, and 2^24.5 is the end (RFC 8446, 5.5). TLS 1.2 has no update, and its
 * peers go on for ever: 2^32 records of the largest size leave an attacker a
 * chance of 2^-45. ChaCha20 ends with the sequence numbers.
 */
#define COMETA_TLS_UPDATE_DUE   ((uint64_t) 1 << 24)
#define COMETA_TLS_GCM_MAX      23726566
#define COMETA_TLS_GCM_12_MAX   ((uint64_t) 1 << 32)


/*
 * One direction. A new key begins with the sequence number 0, so this is also
 * the number of records that the key has had.
 */

typedef struct {
    uint64_t      seq;                      /* of the next record */
    uint8_t       key[COMETA_TLS_KEY_MAX];
    uint8_t       iv[COMETA_TLS_IV];        /* TLS 1.2 GCM: the first 4 */

    union {
        uint64_t  nonce;                    /* TLS 1.2 GCM: of the next one */
        uint8_t   secret[COMETA_TLS_SECRET_MAX];    /* TLS 1.3 */
    };
} cometa_tls_half_t;


typedef struct {
    uint16_t           version;             /* COMETA_TLS_1_2, _1_3 */
    uint8_t            cipher;              /* cometa_tls_cipher_t */
    uint8_t            hash;                /* of the secrets: 32, 48 bytes */
    uint8_t            client;              /* this side is the client */
    uint8_t            update;              /* the peer wants our new key */
    uint8_t            closed;              /* nothing more is read: what
                                               cometa_tls_read() said */
    uint8_t            alert;               /* and its alert */
    uint8_t            updates;             /* in a row, without data */
    uint8_t            warnings;            /* the same */
    uint8_t            begun;               /* bytes of `part` */
    uint8_t            part[4];             /* a handshake message's begin */
    cometa_tls_half_t  read;
    cometa_tls_half_t  write;
} cometa_tls_t;


/* What cometa_tls_read() found. */

enum {
    COMETA_TLS_READ_AGAIN = 0,      /* the record is not complete */
    COMETA_TLS_READ_DATA,           /* application data, 0 bytes or more */
    COMETA_TLS_READ_NOTHING,        /* a record that is not for the reader;
                                       *alert is to be sent if it is not 0 */
    COMETA_TLS_READ_CLOSED,         /* close_notify */
    COMETA_TLS_READ_ALERT,          /* *alert of the peer: all is over */
    COMETA_TLS_READ_ERROR           /* ours: *alert says which one to send */
};


/*
 * At the start of a process, and at its end. 0, or -1 without memory, or if
 * COMETA_TLS_HAVE is 0. A cipher that OpenSSL does not have is found out when
 * keys are set for it.
 */
int cometa_tls_start(void);
void cometa_tls_end(void);

/*
 * Sets one direction of TLS 1.3 from its traffic secret (t->version, cipher and
 * hash are set), with the sequence number 0. 0, or -1 if EVP fails, or has not
 * got the cipher.
 */
int cometa_tls_set_secret(cometa_tls_t *t, cometa_tls_half_t *half,
    const uint8_t *secret);

/*
 * Sets both directions of TLS 1.2 from the key block (RFC 5246, 6.3), with the
 * sequence numbers 0 (t->version, cipher, hash and client are set). 0, or -1 as
 * above. With GCM the caller then sets t->write.nonce to a value such that no
 * record of this key has had it, or one of those that follow.
 */
int cometa_tls_set_master(cometa_tls_t *t, const uint8_t *master,
    const uint8_t *client_random, const uint8_t *server_random);

/*
 * Looks at the record at the front of `in`, decrypts it in place, and sets
 * `used` to its length; `data` and `len` are what is for the reader, within
 * `in`. A reply is to be sent by the caller when t->update is set
 * (cometa_tls_seal_update()), or when an alert is to be sent. Any length of
 * `in` is allowed; a record that is not complete stays as it is. After CLOSED,
 * ALERT and ERROR nothing more is read: the same is said again, and `used` is
 * 0. The caller bounds how many records it reads in a turn: data of 0 bytes is
 * allowed without end.
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
 * `data` and `out` may overlap.
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

/*
 * A KeyUpdate, which asks for none; then the next key of ours is in use. 0 as
 * above, and in TLS 1.2.
 */
size_t cometa_tls_seal_update(cometa_tls_t *t, uint8_t *out);

/*
 * For the proof before the switch: opens a copy of a record that was written,
 * or read, in this direction under this sequence number. Nothing of the state
 * changes. 0: it is such a record; -1: it is not.
 */
int cometa_tls_prove(const cometa_tls_t *t, const cometa_tls_half_t *half,
    uint64_t seq, const uint8_t *record, size_t size);

/*
 * Zeroes all of it, in a way that the compiler does not leave out, and takes
 * its key out of the contexts.
 */
void cometa_tls_wipe(cometa_tls_t *t);


/* What the files of the record layer share. */

/* The next key of one direction (RFC 8446, 7.2). 0, or -1 if EVP fails. */
int cometa_tls_next(cometa_tls_t *t, cometa_tls_half_t *half);

/*
 * Nonce and additional data of a record with `len` bytes sealed, whose head is
 * written, and its explicit nonce (RFC 8446, 5.2 and 5.3; RFC 5246, 6.2.3.3;
 * RFC 5288, 3; RFC 7905, 2).
 */
void cometa_tls_bind(const cometa_tls_t *t, const cometa_tls_half_t *half,
    uint64_t seq, const uint8_t *record, size_t len, cometa_tls_aead_t *a);

/* Bytes of the nonce that stand in the record. */
size_t cometa_tls_explicit(const cometa_tls_t *t);


#endif /* _COMETA_TLS_RECORD_H_INCLUDED_ */
