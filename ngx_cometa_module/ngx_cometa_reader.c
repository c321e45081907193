
/*
 * The loop that reads a connection. State: the buffer of this process.
 */

#include "ngx_cometa_reader.h"
#include "ngx_cometa_compat.h"
#include "ngx_cometa_debug.h"
#include "ngx_cometa_drain.h"
#include "ngx_cometa_parked.h"
#include "ngx_cometa_turn.h"


#define NGX_COMETA_READER_SIZE  65536


/* One is enough: a worker reads one connection at a time. */

static u_char      *ngx_cometa_reader_buffer;
static ngx_uint_t   ngx_cometa_reader_busy;


ngx_int_t
ngx_cometa_reader_start(ngx_cycle_t *cycle)
{
    ngx_cometa_reader_buffer = ngx_palloc(cycle->pool, NGX_COMETA_READER_SIZE);

    return ngx_cometa_reader_buffer ? NGX_OK : NGX_ERROR;
}


ngx_uint_t
ngx_cometa_reader_due(ngx_connection_t *c)
{
    if (c->close) {
        c->close = 0;
        c->error = 0;
        ngx_cometa_drain_overdue();
        return 0;
    }

    if (c->read->posted) {
        return 0;
    }

    return !c->read->pending_eof || !ngx_cometa_turn_end(c->read);
}


ngx_int_t
ngx_cometa_reader_turn(ngx_connection_t *c, const ngx_cometa_reader_t *reader,
    u_char *data, size_t len)
{
    size_t      size;
    ssize_t     n;
    ngx_int_t   rc;
    ngx_uint_t  more;

    ngx_cometa_expect(!ngx_cometa_reader_busy);

    ngx_cometa_reader_busy = 1;
    more = 1;

    ngx_cometa_turn_begin();

    rc = reader->take(c, data, len);

    while (rc == NGX_OK && more && !ngx_cometa_turn_over()) {

        size = reader->portion(c);

        n = ngx_cometa_connection_recv(c, ngx_cometa_reader_buffer,
                                       ngx_min(size, NGX_COMETA_READER_SIZE));
        if (n == NGX_AGAIN) {
            more = 0;
            break;
        }

        if (n == 0 || n == NGX_ERROR) {
            ngx_cometa_work += NGX_COMETA_WORK_CLOSE;
            c->error = (n == NGX_ERROR);
            rc = NGX_ERROR;
            break;
        }

        ngx_cometa_work += ngx_cometa_work_bytes(n);

        rc = reader->take(c, ngx_cometa_reader_buffer, n);

        more = c->read->ready;
    }

    ngx_cometa_reader_busy = 0;

    if (rc == NGX_ERROR || ngx_handle_read_event(c->read, 0) != NGX_OK) {
        return NGX_ERROR;
    }

    if (more || rc == NGX_AGAIN) {
        return NGX_AGAIN;
    }

#if (NGX_SSL)
    if (c->ssl && ngx_cometa_parked.idle) {
        ngx_cometa_parked.idle(c);
    }
#endif

    return NGX_OK;
}
