
/*
 * All that differs between the versions of nginx we build with, 1.22 to 1.31,
 * stands here.
 */

#ifndef _NGX_COMETA_COMPAT_H_INCLUDED_
#define _NGX_COMETA_COMPAT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


#if (NGX_SSL)

/*
 * Ends TLS at once. ngx_ssl_shutdown() may have to wait until the socket takes
 * its alert, and would go on later with the log, the data and the address of an
 * owner that has been freed. So an alert that cannot be sent now is not sent.
 * Behind a write that is not complete, or an error, OpenSSL takes no alert at
 * all: it calls that an error, which nginx logs as critical.
 */

static ngx_inline void
ngx_cometa_ssl_close(ngx_connection_t *c, ngx_uint_t quiet)
{
    c->ssl->no_wait_shutdown = 1;

    if (quiet || c->error || c->timedout || c->ssl->last == NGX_ERROR) {
        c->ssl->no_send_shutdown = 1;
    }

    if (ngx_ssl_shutdown(c) == NGX_AGAIN) {
        c->ssl->no_send_shutdown = 1;
        (void) ngx_ssl_shutdown(c);
    }
}

#endif


/*
 * Closes a connection that nginx accepted for HTTP; when it returns there is
 * nothing left of it. `quiet`: without a word by TLS, as must be if a write is
 * not complete. Without a pool (see ngx_cometa_adopt.c) the end of
 * ngx_http_close_connection() is done here.
 */

static ngx_inline void
ngx_cometa_connection_close(ngx_connection_t *c, ngx_uint_t quiet)
{
#if (NGX_SSL)
    if (c->ssl) {
        ngx_cometa_ssl_close(c, quiet);
    }
#endif

    if (c->pool) {
        ngx_http_close_connection(c);
        return;
    }

#if (NGX_STAT_STUB)
    (void) ngx_atomic_fetch_add(ngx_stat_active, -1);
#endif

    c->destroyed = 1;

    ngx_close_connection(c);
}


/*
 * Writes as c->send() does. When TLS has failed nothing can be written, and
 * OpenSSL would make a critical error of it that any peer could cause.
 */

static ngx_inline ssize_t
ngx_cometa_connection_send(ngx_connection_t *c, u_char *data, size_t len)
{
#if (NGX_SSL)
    if (c->ssl && c->ssl->last == NGX_ERROR) {
        return NGX_ERROR;
    }
#endif

    return c->send(c, data, len);
}


/*
 * Reads as c->recv() does. nginx may have put off the rest of what TLS has
 * read already, to the next turn of the event loop: we have turns of our own.
 */

static ngx_inline ssize_t
ngx_cometa_connection_recv(ngx_connection_t *c, u_char *data, size_t size)
{
    ssize_t  n;

    n = c->recv(c, data, size);

    if (c->read->posted) {
        ngx_delete_posted_event(c->read);
        c->read->ready = 1;
    }

    return n;
}


/*
 * Makes a connection that has lost its request independent of all that its
 * pool held: `data` is its owner, `addr` a place for its address (NULL: its
 * owner has that), `log` one that lives as long. Returns the length of the
 * address.
 */

static ngx_inline socklen_t
ngx_cometa_connection_detach(ngx_connection_t *c, void *data, u_char *addr,
    size_t size, ngx_log_t *log)
{
    socklen_t  len;

    static struct sockaddr  none;       /* AF_UNSPEC */

    /* the path of a unix socket's client is empty as a rule: not kept */

    len = (addr == NULL || c->sockaddr->sa_family == AF_UNIX)
          ? sizeof(sa_family_t) : ngx_min(c->socklen, (socklen_t) size);

    if (addr) {
        ngx_memcpy(addr, c->sockaddr, len);
    }

    c->sockaddr = addr ? (struct sockaddr *) addr : &none;
    c->socklen = len;
    c->data = data;
    c->log = log;
    c->read->log = log;
    c->write->log = log;
    c->destroyed = 0;

    if (c->pool == NULL) {
        ngx_str_null(&c->addr_text);
        c->local_sockaddr = NULL;
        c->local_socklen = 0;
        c->buffer = NULL;
        c->proxy_protocol = NULL;
        return len;
    }

    c->pool->log = log;

#if (NGX_SSL)
    if (c->ssl) {
        ngx_ssl_free_buffer(c);

        /* the rest of a write is sent from a copy, at another address */
        SSL_set_mode(c->ssl->connection, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    }
#endif

    return len;
}


/*
 * Frees a request and all its buffers, as nginx does when a connection goes
 * idle, and leaves the connection open with nothing that is HTTP behind it.
 */

static ngx_inline void
ngx_cometa_request_release(ngx_http_request_t *r)
{
    ngx_chain_t            *cl;
    ngx_connection_t       *c;
    ngx_http_connection_t  *hc;

    c = r->connection;
    hc = r->http_connection;

    ngx_http_free_request(r, 0);

    c->destroyed = 0;

    if (c->buffer) {
        (void) ngx_pfree(c->pool, c->buffer->start);
        c->buffer = NULL;
    }

    for (cl = hc->free; cl; cl = cl->next) {
        (void) ngx_pfree(c->pool, cl->buf->start);
    }

    for (cl = hc->busy; cl; cl = cl->next) {
        (void) ngx_pfree(c->pool, cl->buf->start);
    }

    hc->free = NULL;
    hc->busy = NULL;
    hc->nbusy = 0;
}


/* Headers of one name are chained since 1.23. */

static ngx_inline void
ngx_cometa_header_single(ngx_table_elt_t *h)
{
#if (nginx_version >= 1023000)
    h->next = NULL;
#endif
}


/*
 * Adds a response header of which nginx keeps no pointer of its own.
 */

static ngx_inline ngx_table_elt_t *
ngx_cometa_header_add(ngx_http_request_t *r, const char *key, size_t len,
    ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NULL;
    }

    h->hash = 1;
    h->key.len = len;
    h->key.data = (u_char *) key;
    h->value = *value;

    ngx_cometa_header_single(h);

    return h;
}


#endif /* _NGX_COMETA_COMPAT_H_INCLUDED_ */
