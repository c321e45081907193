
/*
 * A connection between two ends of OpenSSL in memory, one of which is replaced
 * by our record layer after the handshake, with secrets and counts from
 * OpenSSL's callbacks. Data is a pattern: each end knows what must come.
 */

#ifndef TLS_TALK_H
#define TLS_TALK_H


#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "cometa_tls_aead.h"
#include "cometa_tls_record.h"
#include "tap.h"


#define WIRE     (1 << 20)
#define WRITE    40000

enum { CLIENT = 0, SERVER = 1 };        /* whose secret; who is replaced */
enum { IN = 0, OUT = 1 };


typedef struct {
    int          version;
    uint8_t      cipher;
    uint8_t      hash;
    const char  *name;
} suite_t;

/* What the callbacks of one end have seen. */

typedef struct {
    int          version;
    int          known[2];
    uint8_t      secret[2][COMETA_TLS_SECRET_MAX];
    uint64_t     count[2];
    int          me;
} seen_t;

/* Bytes that go from one end to the other, and how far they were read. */

typedef struct {
    uint8_t      bytes[WIRE];
    size_t       len;
    size_t       pos;
} wire_t;

typedef struct {
    const suite_t  *suite;
    int             replaced;           /* CLIENT, SERVER */
    int             tickets;
    int             early;              /* data behind the client's Finished */
    SSL            *ssl[2];
    seen_t          seen[2];
    cometa_tls_t    t;                  /* our end */
    SSL            *peer;
    uint64_t        sent[2];            /* by the peer, by us */
    uint64_t        received[2];        /* by us, by the peer */
    size_t          last;               /* our last record by OpenSSL */
    int             rc;
    uint8_t         alert;
} talk_t;


static const suite_t  suites[] = {
    { TLS1_3_VERSION, COMETA_TLS_AES_128_GCM, 32, "TLS_AES_128_GCM_SHA256" },
    { TLS1_3_VERSION, COMETA_TLS_AES_256_GCM, 48, "TLS_AES_256_GCM_SHA384" },
    { TLS1_3_VERSION, COMETA_TLS_CHACHA20_POLY1305, 32,
      "TLS_CHACHA20_POLY1305_SHA256" },
    { TLS1_2_VERSION, COMETA_TLS_AES_128_GCM, 32,
      "ECDHE-ECDSA-AES128-GCM-SHA256" },
    { TLS1_2_VERSION, COMETA_TLS_AES_256_GCM, 48,
      "ECDHE-ECDSA-AES256-GCM-SHA384" },
    { TLS1_2_VERSION, COMETA_TLS_CHACHA20_POLY1305, 32,
      "ECDHE-ECDSA-CHACHA20-POLY1305" }
};


static EVP_PKEY  *key;
static X509      *certificate;
static SSL_CTX   *contexts[2];
static wire_t     to_us, to_peer;
static uint8_t    buffer[WRITE + 64];
static uint8_t    last[COMETA_TLS_RECORD_MAX];
static unsigned   seed = 20261126;
static int        broken;               /* a byte was not the one expected */


/* Known to both ends: the byte at this place in a direction. */

static uint8_t
pattern(uint64_t offset)
{
    return (uint8_t) ((offset * 0x9e3779b97f4a7c15) >> 56);
}


/* 0 to n - 1, the same ones in each run. */

static unsigned
pick(unsigned n)
{
    seed = seed * 1664525 + 1013904223;

    return (seed >> 8) % n;
}


static void
move(BIO *from, BIO *to)
{
    int      n;
    uint8_t  bytes[4096];

    while ((n = BIO_read(from, bytes, sizeof(bytes))) > 0) {
        BIO_write(to, bytes, n);
    }
}


static void
make_certificate(void)
{
    X509_NAME  *name;

    key = EVP_EC_gen("P-256");
    certificate = X509_new();

    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);

    name = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               (const unsigned char *) "test", -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    X509_sign(certificate, key, EVP_sha256());
}


/* A secret of TLS 1.3 comes when its direction goes over to it. */

static void
on_key(const SSL *ssl, const char *line)
{
    int          whose;
    size_t       i;
    unsigned     byte;
    seen_t      *seen;
    const char  *hex;

    static const char  *label[2] = { "CLIENT_TRAFFIC_SECRET_0 ",
                                     "SERVER_TRAFFIC_SECRET_0 " };

    seen = SSL_get_app_data(ssl);

    for (whose = CLIENT; whose <= SERVER; whose++) {

        if (strncmp(line, label[whose], strlen(label[whose])) != 0) {
            continue;
        }

        hex = strrchr(line, ' ') + 1;

        for (i = 0; sscanf(hex + 2 * i, "%2x", &byte) == 1; i++) {
            seen->secret[whose][i] = byte;
        }

        seen->known[whose] = 1;
        seen->count[(whose == seen->me) ? OUT : IN] = 0;
    }
}


/* In TLS 1.2 the record behind ChangeCipherSpec is the first. */

static void
on_message(int write, int version, int type, const void *buf, size_t len,
    SSL *ssl, void *arg)
{
    seen_t         *seen;
    const uint8_t  *head = buf;

    (void) version;
    (void) len;
    (void) arg;

    if (type != SSL3_RT_HEADER) {
        return;
    }

    seen = SSL_get_app_data(ssl);
    seen->count[write ? OUT : IN]++;

    if (seen->version == TLS1_2_VERSION && head[0] == COMETA_TLS_CHANGE) {
        seen->count[write ? OUT : IN] = 0;
    }
}


static SSL_CTX *
make_context(talk_t *k, int server)
{
    SSL_CTX  *ctx;

    ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());

    SSL_CTX_set_min_proto_version(ctx, k->suite->version);
    SSL_CTX_set_max_proto_version(ctx, k->suite->version);
    SSL_CTX_set_keylog_callback(ctx, on_key);
    SSL_CTX_set_msg_callback(ctx, on_message);

    if (k->suite->version == TLS1_3_VERSION) {
        SSL_CTX_set_ciphersuites(ctx, k->suite->name);
    } else {
        SSL_CTX_set_cipher_list(ctx, k->suite->name);
    }

    if (server) {
        SSL_CTX_use_certificate(ctx, certificate);
        SSL_CTX_use_PrivateKey(ctx, key);
        SSL_CTX_set_num_tickets(ctx, k->tickets);
        SSL_CTX_set_session_id_context(ctx, (const unsigned char *) "t", 1);
    }

    return ctx;
}


static void
peer_write(talk_t *k, size_t len)
{
    size_t  i;

    for (i = 0; i < len; i++) {
        buffer[i] = pattern(k->sent[0] + i);
    }

    if (len && SSL_write(k->peer, buffer, (int) len) == (int) len) {
        k->sent[0] += len;
    }
}


static void
peer_read(talk_t *k)
{
    int  n, i;

    for ( ;; ) {
        n = SSL_read(k->peer, buffer, 1 + pick(20000));

        if (n <= 0) {
            break;
        }

        for (i = 0; i < n; i++) {
            broken |= (buffer[i] != pattern(k->received[1]++));
        }
    }
}


static void
our_send(const uint8_t *record, size_t len)
{
    if (len == 0 || to_peer.len + len > WIRE) {
        broken = 1;
        return;
    }

    memcpy(to_peer.bytes + to_peer.len, record, len);
    to_peer.len += len;
}


static void
our_write(talk_t *k, size_t len)
{
    size_t   i;
    uint8_t  record[COMETA_TLS_PLAIN_MAX + COMETA_TLS_OVERHEAD];

    for (i = 0; i < len; i++) {
        buffer[i] = pattern(k->sent[1]++);
    }

    our_send(record, cometa_tls_seal(&k->t, COMETA_TLS_DATA, buffer, len,
                                     record));
}


static void
our_update(talk_t *k, int request)
{
    size_t   len;
    uint8_t  record[COMETA_TLS_REPLY_MAX];

    if (request) {
        len = cometa_tls_seal(&k->t, COMETA_TLS_HANDSHAKE,
                              (const uint8_t *) "\x18\0\0\1\1", 5, record);
        cometa_tls_next(&k->t, &k->t.write);

    } else {
        len = cometa_tls_seal_update(&k->t, record);
    }

    our_send(record, len);
}


/* Reads all records that are there, and answers a wish for a new key. */

static void
our_read(talk_t *k)
{
    size_t    used, len, i;
    uint8_t  *data;

    do {
        k->rc = cometa_tls_read(&k->t, to_us.bytes + to_us.pos,
                                to_us.len - to_us.pos, &used, &data, &len,
                                &k->alert);
        to_us.pos += used;

        for (i = 0; i < len; i++) {
            broken |= (data[i] != pattern(k->received[0]++));
        }

        if (cometa_tls_update_due(&k->t)) {
            our_update(k, 0);
        }

    } while (k->rc == COMETA_TLS_READ_DATA || k->rc == COMETA_TLS_READ_NOTHING);

    if (to_us.pos == to_us.len) {
        to_us.pos = 0;
        to_us.len = 0;
    }
}


/* From us to the peer, a piece. */

static void
deliver(talk_t *k, size_t most)
{
    size_t  n;

    n = to_peer.len - to_peer.pos;
    n = (n < most) ? n : most;

    if (n) {
        BIO_write(SSL_get_rbio(k->peer), to_peer.bytes + to_peer.pos, (int) n);
        to_peer.pos += n;
    }

    if (to_peer.pos == to_peer.len) {
        to_peer.pos = 0;
        to_peer.len = 0;
    }
}


/* From the peer to us, a piece. */

static void
fetch(talk_t *k, size_t most)
{
    int     n;
    size_t  room;

    room = WIRE - to_us.len;
    n = BIO_read(SSL_get_wbio(k->peer), to_us.bytes + to_us.len,
                 (int) ((most < room) ? most : room));
    to_us.len += (n > 0) ? (size_t) n : 0;
}


/* Until nothing moves any more. */

static void
settle(talk_t *k)
{
    while (to_peer.len || BIO_pending(SSL_get_wbio(k->peer)) > 0) {
        deliver(k, WIRE);
        peer_read(k);
        fetch(k, WIRE);
        our_read(k);
    }
}


/* Keeps what our end wrote last: the proof is made with its last record. */

static void
talk_move(talk_t *k, int from)
{
    int    n;
    char  *p;
    BIO   *out;

    out = SSL_get_wbio(k->ssl[from]);
    n = (int) BIO_get_mem_data(out, &p);

    if (k->replaced == from && n > 0) {
        k->last = (n > (int) sizeof(last)) ? sizeof(last) : (size_t) n;
        memcpy(last, p + n - k->last, k->last);
    }

    move(out, SSL_get_rbio(k->ssl[!from]));
}


/*
 * With `early` the client's data stands in the server's input behind the
 * Finished.
 */

static int
talk_handshake(talk_t *k)
{
    int   i;
    char  none;

    for (i = 0; i < 10; i++) {
        SSL_do_handshake(k->ssl[CLIENT]);

        if (k->early && SSL_is_init_finished(k->ssl[CLIENT])
            && k->sent[0] == 0)
        {
            peer_write(k, 1000);
        }

        talk_move(k, CLIENT);
        SSL_do_handshake(k->ssl[SERVER]);
        talk_move(k, SERVER);
    }

    if (k->replaced == CLIENT) {
        (void) SSL_read(k->ssl[CLIENT], &none, 1);      /* the tickets */
    }

    return SSL_is_init_finished(k->ssl[CLIENT])
           && SSL_is_init_finished(k->ssl[SERVER]);
}


/* Whether the last record of OpenSSL's is under the sequence number before. */

static int
talk_prove(talk_t *k)
{
    size_t              size, pos;
    cometa_tls_half_t  *half;

    half = &k->t.write;

    if (half->seq == 0) {
        return 1;
    }

    pos = 0;
    size = cometa_tls_record_size(last, k->last);

    while (size && pos + size < k->last) {
        pos += size;
        size = cometa_tls_record_size(last + pos, k->last - pos);
    }

    size = k->last - pos;

    return cometa_tls_prove(&k->t, half, half->seq - 1, last + pos, size) == 0
           && cometa_tls_prove(&k->t, half, half->seq, last + pos, size) != 0
           && cometa_tls_prove(&k->t, half, half->seq - 2, last + pos, size)
              != 0;
}


static int
talk_keys(talk_t *k, SSL *ssl, seen_t *seen)
{
    uint8_t  master[COMETA_TLS_MASTER];
    uint8_t  random[2][COMETA_TLS_RANDOM];

    if (k->suite->version == TLS1_3_VERSION) {
        return seen->known[CLIENT] && seen->known[SERVER]
               && cometa_tls_set_secret(&k->t, &k->t.write,
                                        seen->secret[k->replaced]) == 0
               && cometa_tls_set_secret(&k->t, &k->t.read,
                                        seen->secret[!k->replaced]) == 0;
    }

    SSL_SESSION_get_master_key(SSL_get_session(ssl), master, sizeof(master));
    SSL_get_client_random(ssl, random[0], COMETA_TLS_RANDOM);
    SSL_get_server_random(ssl, random[1], COMETA_TLS_RANDOM);

    return cometa_tls_set_master(&k->t, master, random[0], random[1]) == 0;
}


/* What OpenSSL has not read yet is ours to read. */

static int
talk_replace(talk_t *k)
{
    int      good;
    SSL     *ssl;
    seen_t  *seen;

    ssl = k->ssl[k->replaced];
    seen = &k->seen[k->replaced];

    memset(&k->t, 0, sizeof(k->t));
    k->t.version = (uint16_t) k->suite->version;
    k->t.cipher = k->suite->cipher;
    k->t.hash = k->suite->hash;
    k->t.client = (k->replaced == CLIENT);

    good = talk_keys(k, ssl, seen);

    k->t.read.seq = seen->count[IN];
    k->t.write.seq = seen->count[OUT];

    if (k->t.version == COMETA_TLS_1_2) {
        k->t.write.nonce = 0xfffffffffffffff0;  /* it may wrap */
    }

    good &= talk_prove(k) && !SSL_has_pending(ssl)
            && strcmp(SSL_rstate_string(ssl), "RH") == 0;

    if (BIO_pending(SSL_get_rbio(ssl)) > 0) {
        to_us.len = BIO_read(SSL_get_rbio(ssl), to_us.bytes, WIRE);
    }

    return good;
}


static int
talk_open(talk_t *k, SSL_SESSION *session)
{
    int  i;

    for (i = CLIENT; i <= SERVER; i++) {
        memset(&k->seen[i], 0, sizeof(seen_t));
        k->seen[i].version = k->suite->version;
        k->seen[i].me = i;

        k->ssl[i] = SSL_new(contexts[i]);
        SSL_set_app_data(k->ssl[i], &k->seen[i]);
        SSL_set_bio(k->ssl[i], BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
        SSL_set_mode(k->ssl[i], SSL_MODE_AUTO_RETRY);
    }

    SSL_set_connect_state(k->ssl[CLIENT]);
    SSL_set_accept_state(k->ssl[SERVER]);

    if (session) {
        SSL_set_session(k->ssl[CLIENT], session);
    }

    memset(k->sent, 0, sizeof(k->sent));
    memset(k->received, 0, sizeof(k->received));
    memset(&to_us, 0, sizeof(to_us));
    memset(&to_peer, 0, sizeof(to_peer));
    k->last = 0;
    k->rc = COMETA_TLS_READ_AGAIN;
    k->peer = k->ssl[!k->replaced];

    return talk_handshake(k) && talk_replace(k);
}


static void
talk_close(talk_t *k)
{
    cometa_tls_wipe(&k->t);

    /* so that a session stays good */

    SSL_set_shutdown(k->ssl[CLIENT], SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_set_shutdown(k->ssl[SERVER], SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);

    SSL_free(k->ssl[CLIENT]);
    SSL_free(k->ssl[SERVER]);
    ERR_clear_error();
}


#endif /* TLS_TALK_H */
