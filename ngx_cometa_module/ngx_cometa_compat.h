
/*
 * All that differs between the versions of nginx that the module builds with,
 * 1.22 to 1.31. Also how a connection is taken over from nginx's HTTP, and its
 * end.
 */

#ifndef _NGX_COMETA_COMPAT_H_INCLUDED_
#define _NGX_COMETA_COMPAT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_cometa_parked.h"


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
 * Closes a connection that nginx accepted for HTTP. When this returns nothing
 * of it is left. With `quiet` no TLS alert is sent, which must be so if a write
 * is not complete. If the connection has no pool (see ngx_cometa_adopt.c), this
 * does what ngx_http_close_connection() does at its end.
 */

static ngx_inline void
ngx_cometa_connection_close(ngx_connection_t *c, ngx_uint_t quiet)
{
#if (NGX_SSL)
    if (c->ssl) {
        ngx_cometa_ssl_close(c, quiet);
    }
#endif

    if (ngx_cometa_parked.close) {
        ngx_cometa_parked.close(c, quiet);
    }

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
 * Writes as c->send() does. After TLS has failed nothing can be written:
 * OpenSSL would report an error that nginx logs as critical, and any peer could
 * cause it.
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
 * Reads as c->recv() does. If TLS has read more than was asked for, nginx posts
 * an event for the rest; it is removed, because the module has turns of its
 * own.
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


/* Nothing of the connection is in its pool any more. */

static ngx_inline void
ngx_cometa_connection_bare(ngx_connection_t *c)
{
    ngx_str_null(&c->addr_text);
    c->local_sockaddr = NULL;
    c->local_socklen = 0;
    c->buffer = NULL;
    c->proxy_protocol = NULL;
}


/*
 * Makes a connection whose request was freed independent of its pool. `data` is
 * its new owner. `addr` is room for the address of the client, NULL if the
 * owner keeps that elsewhere. `log` must live as long as the connection.
 * Returns the length of the address.
 */

static ngx_inline socklen_t
ngx_cometa_connection_detach(ngx_connection_t *c, void *data, u_char *addr,
    size_t size, ngx_log_t *log)
{
    socklen_t  len;

    static struct sockaddr  none;       /* AF_UNSPEC */

    /* a client of a unix socket has no path, as a rule: it is not kept */

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
        ngx_cometa_connection_bare(c);
        return len;
    }

    c->pool->log = log;

#if (NGX_SSL)
    if (c->ssl) {
        ngx_ssl_free_buffer(c);

        /* the rest of a write is sent from a copy at another address */
        SSL_set_mode(c->ssl->connection, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    }
#endif

    return len;
}


/*
 * Frees a request and all its buffers, as nginx does when a connection becomes
 * idle. The connection stays open, and nothing of HTTP is left of it.
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


/* Since nginx 1.23 headers of one name are chained. */

static ngx_inline void
ngx_cometa_header_single(ngx_table_elt_t *h)
{
#if (nginx_version >= 1023000)
    h->next = NULL;
#endif
}


/*
 * Adds a response header that has no pointer of its own in nginx.
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
