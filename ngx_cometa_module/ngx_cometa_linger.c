
/*
 * Connections that are about to be closed. State: the timer of each, in its
 * read event.
 */

#include "ngx_cometa_linger.h"
#include "ngx_cometa_compat.h"
#include "ngx_cometa_turn.h"


#define NGX_COMETA_LINGER_TIME   5000   /* ms */
#define NGX_COMETA_LINGER_LEAVE  1000   /* ms, in a worker that leaves */
#define NGX_COMETA_LINGER_SIZE   4096   /* bytes that are read at once */


static void ngx_cometa_linger_write(ngx_event_t *wev);
static void ngx_cometa_linger_read(ngx_event_t *rev);
static void ngx_cometa_linger_end(ngx_connection_t *c);


void
ngx_cometa_linger(ngx_connection_t *c)
{
    ngx_event_t  *rev;

    rev = c->read;

    /* its owner goes, and with it the name of the device in the log */

    (void) ngx_cometa_connection_detach(c, NULL, NULL, 0, ngx_cycle->log);

    rev->handler = ngx_cometa_linger_read;
    c->write->handler = ngx_cometa_linger_write;

    if (ngx_shutdown_socket(c->fd, NGX_WRITE_SHUTDOWN) == -1) {
        ngx_cometa_linger_end(c);
        return;
    }

    ngx_add_timer(rev, ngx_exiting ? NGX_COMETA_LINGER_LEAVE
                                   : NGX_COMETA_LINGER_TIME);

    /* edge-triggered: what is there already makes no new event */

    if (!rev->posted) {
        ngx_cometa_turn_again(rev);
    }
}


static void
ngx_cometa_linger_write(ngx_event_t *wev)
{
    (void) ngx_handle_write_event(wev, 0);
}


static void
ngx_cometa_linger_read(ngx_event_t *rev)
{
    ssize_t            n;
    ngx_connection_t  *c;

    static u_char  buffer[NGX_COMETA_LINGER_SIZE];

    c = rev->data;

    /* nginx wants it closed because worker_shutdown_timeout has passed */

    if (rev->timedout || c->close) {
        ngx_cometa_linger_end(c);
        return;
    }

    if (rev->posted) {
        return;
    }

    ngx_cometa_turn_begin();

    do {
        n = ngx_cometa_connection_recv(c, buffer, NGX_COMETA_LINGER_SIZE);

        if (n == NGX_AGAIN) {
            break;
        }

        if (n == 0 || n == NGX_ERROR) {
            ngx_cometa_linger_end(c);
            return;
        }

        ngx_cometa_work += ngx_cometa_work_bytes(n) + 1;

    } while (rev->ready && !ngx_cometa_turn_over());

    if (ngx_handle_read_event(rev, 0) != NGX_OK) {
        ngx_cometa_linger_end(c);
        return;
    }

    if (rev->ready) {
        ngx_cometa_turn_again(rev);
    }
}


/* Behind the end of its writing side no alert of TLS can be sent. */

static void
ngx_cometa_linger_end(ngx_connection_t *c)
{
    ngx_cometa_connection_close(c, 1);
}
