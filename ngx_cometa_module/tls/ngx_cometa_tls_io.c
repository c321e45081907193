
/*
 * Reads and writes parked connections. State: two buffers of this process. What
 * does not fit into the caller's buffer, a record that is not complete, and a
 * sealed record that the socket has not taken, are kept with the connection:
 * less than two records, and one.
 */

#include "ngx_cometa_tls_io.h"
#include "ngx_cometa_parked.h"
#include "ngx_cometa_tls_state.h"
#include "cometa_tls_record.h"


#define NGX_COMETA_TLS_AHEAD  65536     /* read at once */
#define NGX_COMETA_TLS_IN     (COMETA_TLS_RECORD_MAX + NGX_COMETA_TLS_AHEAD)
#define NGX_COMETA_TLS_EMPTY  64        /* records without data, in a row */


/* What is left of the buffer of this process when it was read. */

typedef struct {
    u_char                   *p;        /* records */
    size_t                    len;
    u_char                   *plain;    /* data of the last one, before them */
    size_t                    plain_len;
} ngx_cometa_tls_rest_t;


static ssize_t ngx_cometa_tls_recv(ngx_connection_t *c, u_char *buf,
    size_t size);
static ssize_t ngx_cometa_tls_kept(ngx_cometa_tls_state_t *s, u_char *buf,
    size_t size);
static size_t ngx_cometa_tls_load(ngx_cometa_tls_state_t *s);
static ssize_t ngx_cometa_tls_open(ngx_cometa_tls_state_t *s,
    ngx_cometa_tls_rest_t *rest, u_char *buf, size_t size);
static ngx_int_t ngx_cometa_tls_data(ngx_cometa_tls_state_t *s,
    ngx_cometa_tls_rest_t *rest, u_char *data, size_t n, u_char **p,
    u_char *end);
static int ngx_cometa_tls_empty(ngx_cometa_tls_state_t *s, int rc);
static ssize_t ngx_cometa_tls_ended(ngx_cometa_tls_state_t *s, int rc,
    uint8_t alert);
static ngx_int_t ngx_cometa_tls_keep(ngx_cometa_tls_state_t *s,
    ngx_cometa_tls_rest_t *rest);
static void ngx_cometa_tls_answer(ngx_cometa_tls_state_t *s, uint8_t alert);
static ssize_t ngx_cometa_tls_send(ngx_connection_t *c, u_char *buf,
    size_t size);
static ssize_t ngx_cometa_tls_write(ngx_cometa_tls_state_t *s, size_t n,
    size_t plain);
static ssize_t ngx_cometa_tls_flush(ngx_cometa_tls_state_t *s);
static void ngx_cometa_tls_close(ngx_connection_t *c, ngx_uint_t quiet);


static u_char  *ngx_cometa_tls_in;
static u_char  *ngx_cometa_tls_out;


ngx_int_t
ngx_cometa_tls_ready(void)
{
    if (ngx_cometa_tls_in == NULL) {
        ngx_cometa_tls_in = ngx_alloc(NGX_COMETA_TLS_IN, ngx_cycle->log);
    }

    if (ngx_cometa_tls_out == NULL) {
        ngx_cometa_tls_out = ngx_alloc(NGX_COMETA_TLS_OUT, ngx_cycle->log);
    }

    if (ngx_cometa_tls_in == NULL || ngx_cometa_tls_out == NULL) {
        return NGX_ERROR;
    }

    ngx_cometa_parked.close = ngx_cometa_tls_close;

    return ngx_cometa_tls_states_ready();
}


ngx_int_t
ngx_cometa_tls_enter(ngx_connection_t *c, const cometa_tls_t *tls,
    uint32_t app)
{
    if (ngx_cometa_tls_ready() != NGX_OK
        || ngx_cometa_tls_state_create(c, tls, app) == NULL)
    {
        return NGX_ERROR;
    }

    /* what nginx knew of the socket it knew with OpenSSL's buffer before it */

    c->read->available = -1;

    c->recv = ngx_cometa_tls_recv;
    c->send = ngx_cometa_tls_send;
    c->recv_chain = ngx_cometa_tls_recv_chain;
    c->send_chain = ngx_cometa_tls_send_chain;

    return NGX_OK;
}


/*
 * As ngx_unix_recv() does. If more is kept here than was given, the connection
 * stays ready; when nothing is, the socket says whether it is.
 */

static ssize_t
ngx_cometa_tls_recv(ngx_connection_t *c, u_char *buf, size_t size)
{
    size_t                   want;
    ssize_t                  n;
    ngx_cometa_tls_rest_t    rest;
    ngx_cometa_tls_state_t  *s;

    s = ngx_cometa_tls_state(c);

    if (s == NULL || s->away) {
        return NGX_ERROR;
    }

    n = ngx_cometa_tls_kept(s, buf, size);

    if (n) {
        return n;
    }

    ngx_memzero(&rest, sizeof(ngx_cometa_tls_rest_t));

    rest.p = ngx_cometa_tls_in;
    rest.len = ngx_cometa_tls_load(s);

    for ( ;; ) {
        n = ngx_cometa_tls_open(s, &rest, buf, size);

        if (n != NGX_AGAIN) {
            break;
        }

        ngx_memmove(ngx_cometa_tls_in, rest.p, rest.len);
        rest.p = ngx_cometa_tls_in;

        /* all of it fits, but for a record that is longer */

        want = cometa_tls_record_size(rest.p, rest.len);
        want = ngx_max(want, rest.len + size);
        want = ngx_min(want, NGX_COMETA_TLS_IN) - rest.len;

        n = ngx_recv(c, rest.p + rest.len, want);

        if (n <= 0) {
            break;
        }

        rest.len += n;
    }

    if (ngx_cometa_tls_keep(s, &rest) != NGX_OK) {
        c->read->error = 1;
        return NGX_ERROR;
    }

    return n;
}


/* Data that was opened already. */

static ssize_t
ngx_cometa_tls_kept(ngx_cometa_tls_state_t *s, u_char *buf, size_t size)
{
    size_t                   n;
    ngx_cometa_tls_bytes_t  *in;

    in = s->in;

    if (in == NULL || in->plain == 0) {
        return 0;
    }

    n = ngx_min(size, in->plain);

    ngx_memcpy(buf, in->data + in->pos, n);

    in->plain -= n;
    in->pos += n;

    if (in->pos == in->len) {
        ngx_cometa_tls_bytes_free(&s->in);
    }

    /* whether the socket has more is not known, so it is asked next time */

    ngx_cometa_tls_connection(s)->read->ready = 1;

    return n;
}


/* Records that are not opened go to the buffer of this process. */

static size_t
ngx_cometa_tls_load(ngx_cometa_tls_state_t *s)
{
    size_t                   n;
    ngx_cometa_tls_bytes_t  *in;

    in = s->in;

    if (in == NULL) {
        return 0;
    }

    n = in->len - in->pos;

    ngx_memcpy(ngx_cometa_tls_in, in->data + in->pos, n);
    ngx_cometa_tls_bytes_free(&s->in);

    return n;
}


/*
 * Opens as many records as surely fit, but at least one. Returns how many bytes
 * were given; NGX_AGAIN: more has to be received; 0 or NGX_ERROR: the end.
 */

static ssize_t
ngx_cometa_tls_open(ngx_cometa_tls_state_t *s, ngx_cometa_tls_rest_t *rest,
    u_char *buf, size_t size)
{
    int      rc;
    size_t   used, n, record;
    u_char  *p, *end, *data;
    uint8_t  alert;

    p = buf;
    end = buf + size;
    rc = COMETA_TLS_READ_AGAIN;
    alert = 0;

    do {
        record = cometa_tls_record_size(rest->p, rest->len);

        /* one that is too long is refused now: what is behind is not kept */

        if (p > buf && record > (size_t) (end - p)
            && record <= COMETA_TLS_RECORD_MAX)
        {
            break;
        }

        rc = cometa_tls_read(&s->tls, rest->p, rest->len, &used, &data, &n,
                             &alert);

        rest->p += used;
        rest->len -= used;

        if (rc == COMETA_TLS_READ_DATA) {
            rc = ngx_cometa_tls_data(s, rest, data, n, &p, end);

        } else if (rc == COMETA_TLS_READ_NOTHING) {
            ngx_cometa_tls_answer(s, alert);
            rc = ngx_cometa_tls_empty(s, rc);
        }

    } while (rc == COMETA_TLS_READ_DATA || rc == COMETA_TLS_READ_NOTHING);

    if (s->tls.closed) {
        alert = s->tls.alert;
        rest->len = 0;
    }

    if (p > buf) {

        if (rest->len || rest->plain_len || s->tls.closed) {
            ngx_cometa_tls_connection(s)->read->ready = 1;
        }

        return p - buf;
    }

    return (rc == COMETA_TLS_READ_AGAIN) ? NGX_AGAIN
           : ngx_cometa_tls_ended(s, rc, alert);
}


/* Gives data to the caller; what does not fit is left. */

static ngx_int_t
ngx_cometa_tls_data(ngx_cometa_tls_state_t *s, ngx_cometa_tls_rest_t *rest,
    u_char *data, size_t n, u_char **p, u_char *end)
{
    size_t  fits;

    if (n == 0) {
        return ngx_cometa_tls_empty(s, COMETA_TLS_READ_DATA);
    }

    s->empty = 0;

    fits = ngx_min(n, (size_t) (end - *p));
    *p = ngx_cpymem(*p, data, fits);

    rest->plain = data + fits;
    rest->plain_len = n - fits;

    return rest->plain_len ? COMETA_TLS_READ_AGAIN : COMETA_TLS_READ_DATA;
}


/*
 * A record without data, which costs as much as one with some: after too many
 * in a row nothing more is read.
 */

static int
ngx_cometa_tls_empty(ngx_cometa_tls_state_t *s, int rc)
{
    if (++s->empty <= NGX_COMETA_TLS_EMPTY) {
        return rc;
    }

    s->tls.closed = COMETA_TLS_READ_ERROR;
    s->tls.alert = COMETA_TLS_UNEXPECTED_MESSAGE;

    return COMETA_TLS_READ_ERROR;
}


/* As ngx_ssl_recv() leaves a connection. */

static ssize_t
ngx_cometa_tls_ended(ngx_cometa_tls_state_t *s, int rc, uint8_t alert)
{
    ngx_event_t  *rev;

    rev = ngx_cometa_tls_connection(s)->read;
    rev->ready = 0;

    if (rc == COMETA_TLS_READ_CLOSED) {
        rev->eof = 1;
        return 0;
    }

    rev->error = 1;

    if (s->told) {
        return NGX_ERROR;
    }

    s->told = 1;

    if (rc == COMETA_TLS_READ_ALERT) {
        ngx_log_error(NGX_LOG_INFO, ngx_cometa_tls_connection(s)->log, 0,
                      "the peer has ended TLS with the alert %d", (int) alert);
        s->failed = 1;
        return NGX_ERROR;
    }

    ngx_log_error(NGX_LOG_INFO, ngx_cometa_tls_connection(s)->log, 0,
                  "the peer has sent a bad record of TLS, it is answered with "
                  "the alert %d", (int) alert);

    ngx_cometa_tls_answer(s, alert);
    s->failed = 1;

    return NGX_ERROR;
}


/* What is left in the buffer of this process goes with the connection. */

static ngx_int_t
ngx_cometa_tls_keep(ngx_cometa_tls_state_t *s, ngx_cometa_tls_rest_t *rest)
{
    if (rest->plain_len + rest->len == 0) {
        return NGX_OK;
    }

    s->in = ngx_cometa_tls_bytes(NULL, rest->plain_len + rest->len,
                                 rest->plain_len);
    if (s->in == NULL) {
        return NGX_ERROR;
    }

    if (rest->plain_len) {
        ngx_memcpy(s->in->data, rest->plain, rest->plain_len);
    }

    ngx_memcpy(s->in->data + rest->plain_len, rest->p, rest->len);

    return NGX_OK;
}


/*
 * Sends an alert, and a new key of ours if the peer wants one. Behind a record
 * that waits no alert goes out, and the new key before the next data.
 */

static void
ngx_cometa_tls_answer(ngx_cometa_tls_state_t *s, uint8_t alert)
{
    size_t  n;

    if (s->out || s->failed) {
        return;
    }

    n = 0;

    if (cometa_tls_update_due(&s->tls)) {
        n = cometa_tls_seal_update(&s->tls, ngx_cometa_tls_out);

        if (n == 0) {
            s->failed = 1;
            return;
        }
    }

    if (alert) {
        n += cometa_tls_seal_alert(&s->tls, alert, ngx_cometa_tls_out + n);
    }

    if (n) {
        (void) ngx_cometa_tls_write(s, n, 0);
    }
}


/*
 * As SSL_write() does: when the socket does not take all of a record,
 * NGX_AGAIN is returned, and the caller offers the same bytes again. They are
 * not sealed a second time.
 */

static ssize_t
ngx_cometa_tls_send(ngx_connection_t *c, u_char *buf, size_t size)
{
    size_t                   n, plain;
    ssize_t                  rc;
    ngx_cometa_tls_state_t  *s;

    s = ngx_cometa_tls_state(c);

    if (s == NULL || s->away || s->failed) {
        return NGX_ERROR;
    }

    if (s->out) {
        plain = s->out->plain;

        rc = ngx_cometa_tls_flush(s);

        if (rc != NGX_OK) {
            return rc;
        }

        if (plain) {
            c->sent += plain;
            return plain;
        }
    }

    n = 0;

    if (cometa_tls_update_due(&s->tls)) {
        n = cometa_tls_seal_update(&s->tls, ngx_cometa_tls_out);

        if (n == 0) {
            s->failed = 1;
            return NGX_ERROR;
        }
    }

    size = ngx_min(size, COMETA_TLS_PLAIN_MAX);
    plain = cometa_tls_seal(&s->tls, COMETA_TLS_DATA, buf, size,
                            ngx_cometa_tls_out + n);
    if (plain == 0) {
        ngx_log_error(NGX_LOG_INFO, c->log, 0,
                      "no more can be sent with the key of this TLS "
                      "connection");
        s->failed = 1;
        return NGX_ERROR;
    }

    rc = ngx_cometa_tls_write(s, n + plain, size);

    if (rc != NGX_OK) {
        return rc;
    }

    c->sent += size;

    return size;
}


/* Writes the buffer of this process, and keeps what the socket leaves. */

static ssize_t
ngx_cometa_tls_write(ngx_cometa_tls_state_t *s, size_t n, size_t plain)
{
    off_t              sent;
    ssize_t            rc;
    ngx_connection_t  *c;

    c = ngx_cometa_tls_connection(s);

    /* it counts what the caller has sent, not records */

    sent = c->sent;
    rc = ngx_send(c, ngx_cometa_tls_out, n);
    c->sent = sent;

    if (rc == (ssize_t) n) {
        return NGX_OK;
    }

    if (rc < 0 && rc != NGX_AGAIN) {
        s->failed = 1;
        return NGX_ERROR;
    }

    rc = ngx_max(rc, 0);

    s->out = ngx_cometa_tls_bytes(ngx_cometa_tls_out + rc, n - rc, plain);

    if (s->out == NULL) {
        s->failed = 1;
        return NGX_ERROR;
    }

    c->write->ready = 0;

    return NGX_AGAIN;
}


static ssize_t
ngx_cometa_tls_flush(ngx_cometa_tls_state_t *s)
{
    off_t                    sent;
    ssize_t                  rc;
    ngx_connection_t        *c;
    ngx_cometa_tls_bytes_t  *out;

    c = ngx_cometa_tls_connection(s);
    out = s->out;

    sent = c->sent;
    rc = ngx_send(c, out->data + out->pos, out->len - out->pos);
    c->sent = sent;

    if (rc < 0 && rc != NGX_AGAIN) {
        s->failed = 1;
        return NGX_ERROR;
    }

    out->pos += ngx_max(rc, 0);

    if (out->pos < out->len) {
        c->write->ready = 0;
        return NGX_AGAIN;
    }

    ngx_cometa_tls_bytes_free(&s->out);

    return NGX_OK;
}


static void
ngx_cometa_tls_close(ngx_connection_t *c, ngx_uint_t quiet)
{
    size_t                   n;
    ngx_cometa_tls_state_t  *s;

    s = ngx_cometa_tls_state(c);

    if (s == NULL) {
        return;
    }

    if (!quiet && !s->failed && !s->away && s->out == NULL
        && !c->error && !c->timedout)
    {
        n = cometa_tls_seal_alert(&s->tls, COMETA_TLS_CLOSE_NOTIFY,
                                  ngx_cometa_tls_out);
        if (n) {
            (void) ngx_cometa_tls_write(s, n, 0);
        }
    }

    ngx_cometa_tls_forget(c);
}
