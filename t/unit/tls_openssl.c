
/*
 * The record layer against OpenSSL's own client and server: each cipher, both
 * ends, 0 to 2 tickets, with and without resumption, in random pieces, and
 * every way in which a connection ends.
 */

#include "tls_talk.h"


#define ROUNDS  150


static void test_suite(const suite_t *suite, int replaced, int tickets);
static void test_talk(talk_t *k, SSL_SESSION **session);
static void talk_round(talk_t *k);
static void test_our_close(talk_t *k);
static void test_peer_close(talk_t *k);
static void test_our_alert(talk_t *k);
static void test_peer_alert(talk_t *k);
static void test_renegotiation(talk_t *k);
static void test_splits(talk_t *k);
static int peer_reason(talk_t *k);


static unsigned  rounds, updates;


int
main(void)
{
    int     replaced, tickets;
    size_t  i;

    ok(cometa_tls_start() == 0, "started");
    make_certificate();

    for (i = 0; i < sizeof(suites) / sizeof(suites[0]); i++) {

        for (replaced = CLIENT; replaced <= SERVER; replaced++) {

            for (tickets = 0; tickets <= 2; tickets++) {
                test_suite(&suites[i], replaced, tickets);
            }
        }
    }

    diag("%u rounds, %u updates of keys", rounds, updates);

    X509_free(certificate);
    EVP_PKEY_free(key);
    cometa_tls_end();

    return done_testing();
}


static void
test_suite(const suite_t *suite, int replaced, int tickets)
{
    talk_t        k;
    SSL_SESSION  *session;

    memset(&k, 0, sizeof(k));
    k.suite = suite;
    k.replaced = replaced;
    k.tickets = tickets;
    session = NULL;

    contexts[CLIENT] = make_context(&k, CLIENT);
    contexts[SERVER] = make_context(&k, SERVER);

    diag("%s, the %s is ours, %d tickets", suite->name,
         replaced ? "server" : "client", tickets);

    test_talk(&k, &session);

    /* once more: with data at once, and the session if there is one */

    k.early = (replaced == SERVER);
    test_talk(&k, &session);
    k.early = 0;

    if (tickets == 1) {
        test_our_close(&k);
        test_peer_close(&k);
        test_our_alert(&k);
        test_peer_alert(&k);
        test_splits(&k);

        if (suite->version == TLS1_2_VERSION) {
            test_renegotiation(&k);
        }
    }

    SSL_SESSION_free(session);
    SSL_CTX_free(contexts[CLIENT]);
    SSL_CTX_free(contexts[SERVER]);
}


static void
test_talk(talk_t *k, SSL_SESSION **session)
{
    int  i, resumed;

    resumed = *session && SSL_SESSION_is_resumable(*session);

    ok(talk_open(k, *session), "replaced");
    ok(SSL_session_reused(k->ssl[CLIENT]) == resumed, "%s",
       resumed ? "resumed" : "not resumed");

    for (i = 0; i < ROUNDS; i++) {
        talk_round(k);
    }

    settle(k);

    ok(!broken && k->sent[0] == k->received[0] && k->sent[1] == k->received[1]
       && k->sent[0] > 100000 && k->sent[1] > 100000
       && k->rc == COMETA_TLS_READ_AGAIN, "talked");

    broken = 0;

    SSL_SESSION_free(*session);
    *session = SSL_get1_session(k->ssl[CLIENT]);

    talk_close(k);
}


/* Small sizes are as likely as large ones. */

static void
talk_round(talk_t *k)
{
    rounds++;

    switch (pick(8)) {

    case 0:
        peer_write(k, 1 + pick(WRITE - 1));
        break;

    case 1:
        peer_write(k, 1 + pick(200));
        break;

    case 2:
        our_write(k, pick(COMETA_TLS_PLAIN_MAX + 1));
        break;

    case 3:
        our_write(k, pick(200));
        break;

    case 4:
        if (k->suite->version == TLS1_3_VERSION && pick(2)) {
            updates++;
            SSL_key_update(k->peer, pick(2) ? SSL_KEY_UPDATE_REQUESTED
                                    : SSL_KEY_UPDATE_NOT_REQUESTED);
            SSL_do_handshake(k->peer);
        }

        break;

    case 5:
        if (k->suite->version == TLS1_3_VERSION && pick(2)) {
            updates++;
            our_update(k, pick(2));
        }

        break;

    case 6:
        deliver(k, 1 + pick(pick(2) ? 64 : 50000));
        peer_read(k);
        break;

    default:
        fetch(k, 1 + pick(pick(2) ? 64 : 50000));
        our_read(k);
    }
}


static void
test_our_close(talk_t *k)
{
    int      n;
    char     none;
    uint8_t  out[COMETA_TLS_REPLY_MAX];

    talk_open(k, NULL);

    our_write(k, 100);
    our_send(out, cometa_tls_seal_alert(&k->t, COMETA_TLS_CLOSE_NOTIFY, out));
    settle(k);

    n = SSL_read(k->peer, &none, 1);
    ok(k->received[1] == 100
       && SSL_get_error(k->peer, n) == SSL_ERROR_ZERO_RETURN,
       "our close_notify");

    SSL_shutdown(k->peer);
    settle(k);
    ok(k->rc == COMETA_TLS_READ_CLOSED, "and the answer");

    talk_close(k);
}


static void
test_peer_close(talk_t *k)
{
    uint8_t  out[COMETA_TLS_REPLY_MAX];

    talk_open(k, NULL);

    peer_write(k, 100);
    SSL_shutdown(k->peer);
    settle(k);
    ok(k->rc == COMETA_TLS_READ_CLOSED && k->received[0] == 100,
       "close_notify of the peer");

    our_send(out, cometa_tls_seal_alert(&k->t, COMETA_TLS_CLOSE_NOTIFY, out));
    deliver(k, WIRE);
    ok(SSL_shutdown(k->peer) == 1, "and our answer");

    talk_close(k);
}


static void
test_our_alert(talk_t *k)
{
    uint8_t  out[COMETA_TLS_REPLY_MAX];

    talk_open(k, NULL);

    our_send(out, cometa_tls_seal_alert(&k->t, COMETA_TLS_ILLEGAL_PARAMETER,
                                        out));
    deliver(k, WIRE);
    ok(peer_reason(k) == SSL_AD_REASON_OFFSET + COMETA_TLS_ILLEGAL_PARAMETER,
       "our alert");

    talk_close(k);
}


static void
test_peer_alert(talk_t *k)
{
    talk_open(k, NULL);

    our_write(k, 100);
    to_peer.bytes[to_peer.len - 1] ^= 1;
    settle(k);
    ok(k->rc == COMETA_TLS_READ_ALERT && k->alert == COMETA_TLS_BAD_RECORD_MAC,
       "an alert of the peer");

    talk_close(k);
}


static int
peer_reason(talk_t *k)
{
    char  none;

    ERR_clear_error();
    (void) SSL_read(k->peer, &none, 1);

    return ERR_GET_REASON(ERR_peek_error());
}


/* A client starts with its hello, a server asks for one. */

static void
test_renegotiation(talk_t *k)
{
    size_t    used, len;
    uint8_t  *data, out[COMETA_TLS_REPLY_MAX];

    talk_open(k, NULL);

    SSL_renegotiate(k->peer);
    SSL_do_handshake(k->peer);
    fetch(k, WIRE);

    ok(cometa_tls_read(&k->t, to_us.bytes, to_us.len, &used, &data, &len,
                       &k->alert) == COMETA_TLS_READ_NOTHING
       && used == to_us.len && k->alert == COMETA_TLS_NO_RENEGOTIATION,
       "a wish to renegotiate");

    our_send(out, cometa_tls_seal_alert(&k->t, k->alert, out));
    deliver(k, WIRE);
    ok(peer_reason(k) == SSL_R_NO_RENEGOTIATION, "is refused");

    talk_close(k);
}


/* One flight, given in two parts in every way, comes to the same state. */

static void
test_splits(talk_t *k)
{
    int           same;
    size_t        split, size;
    uint64_t      received;
    cometa_tls_t  before, after;

    static wire_t  flight;

    talk_open(k, NULL);

    peer_write(k, 50);
    peer_write(k, 1);

    if (k->suite->version == TLS1_3_VERSION) {
        SSL_key_update(k->peer, SSL_KEY_UPDATE_NOT_REQUESTED);
        SSL_do_handshake(k->peer);
    }

    peer_write(k, 100);
    fetch(k, WIRE);

    flight = to_us;
    size = to_us.len;
    before = k->t;
    received = k->received[0];

    our_read(k);
    after = k->t;
    same = 1;

    for (split = 0; split < size; split++) {
        k->t = before;
        k->received[0] = received;

        to_us = flight;
        to_us.len = split;
        our_read(k);
        same &= (k->rc == COMETA_TLS_READ_AGAIN);

        memcpy(to_us.bytes + to_us.len, flight.bytes + split, size - split);
        to_us.len += size - split;
        our_read(k);

        same &= (memcmp(&k->t, &after, sizeof(after)) == 0
                 && k->received[0] == received + 151 && to_us.len == 0);
    }

    ok(same && !broken, "one flight in every split, %zu bytes", size);

    talk_close(k);
}
