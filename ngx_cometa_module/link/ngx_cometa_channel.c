
/*
 * Descriptors of a slot among nginx's connections. They are marked as channels,
 * so that nginx neither reports them as left open at exit nor closes them after
 * worker_shutdown_timeout.
 */

#include "ngx_cometa_channel.h"


ngx_connection_t *
ngx_cometa_channel_open(int fd, ngx_cycle_t *cycle,
    ngx_event_handler_pt handler)
{
    ngx_event_t       *rev, *wev;
    ngx_connection_t  *c;

    c = ngx_get_connection(fd, cycle->log);
    if (c == NULL) {
        return NULL;
    }

    c->pool = cycle->pool;

    rev = c->read;
    wev = c->write;

    rev->log = cycle->log;
    wev->log = cycle->log;
    rev->channel = 1;
    wev->channel = 1;

    rev->handler = handler;

    if (ngx_add_event(rev, NGX_READ_EVENT,
                      (ngx_event_flags & NGX_USE_CLEAR_EVENT)
                      ? NGX_CLEAR_EVENT : NGX_LEVEL_EVENT)
        != NGX_OK)
    {
        ngx_free_connection(c);
        c->fd = (ngx_socket_t) -1;
        return NULL;
    }

    return c;
}


void
ngx_cometa_channel_close(ngx_connection_t *c)
{
    if (ngx_del_event) {
        (void) ngx_del_event(c->read, NGX_READ_EVENT, 0);
    }

    ngx_free_connection(c);
    c->fd = (ngx_socket_t) -1;
}
