
/*
 * State: a table of this process, which is made when the first connection is
 * parked, or comes from another process: a configuration that parks none may
 * follow one that did.
 */

#include "ngx_cometa_tls_state.h"
#include "ngx_cometa_stats.h"
#include "ngx_cometa_zone.h"
#include "cometa_tls_record.h"


static ngx_cometa_tls_state_t  **ngx_cometa_tls_table;
static ngx_uint_t                ngx_cometa_tls_table_n;


ngx_int_t
ngx_cometa_tls_states_ready(void)
{
    ngx_uint_t  n;

    if (ngx_cometa_tls_table) {
        return NGX_OK;
    }

    if (ngx_process != NGX_PROCESS_WORKER || cometa_tls_start() != 0) {
        return NGX_ERROR;
    }

    n = ngx_cycle->connection_n;

    ngx_cometa_tls_table = ngx_calloc(n * sizeof(ngx_cometa_tls_state_t *),
                                      ngx_cycle->log);
    if (ngx_cometa_tls_table == NULL) {
        return NGX_ERROR;
    }

    ngx_cometa_tls_table_n = n;

    return NGX_OK;
}


ngx_cometa_tls_state_t *
ngx_cometa_tls_state_create(ngx_connection_t *c, const cometa_tls_t *tls,
    uint32_t app)
{
    ngx_cometa_tls_state_t  *s;

    s = ngx_calloc(sizeof(ngx_cometa_tls_state_t), c->log);
    if (s == NULL) {
        return NULL;
    }

    s->tls = *tls;
    s->place = c - ngx_cycle->connections;
    s->app = app;

    ngx_cometa_tls_table[c - ngx_cycle->connections] = s;
    ngx_cometa_gauge_add(app, tls_parked, 1);

    return s;
}


ngx_cometa_tls_state_t *
ngx_cometa_tls_state(ngx_connection_t *c)
{
    ngx_uint_t  i;

    i = c - ngx_cycle->connections;

    return (i < ngx_cometa_tls_table_n) ? ngx_cometa_tls_table[i] : NULL;
}


void
ngx_cometa_tls_forget(ngx_connection_t *c)
{
    ngx_cometa_tls_state_t  *s;

    s = ngx_cometa_tls_state(c);

    if (s == NULL) {
        return;
    }

    ngx_cometa_tls_table[c - ngx_cycle->connections] = NULL;
    ngx_cometa_gauge_add(s->app, tls_parked, -1);

    /* its functions stay: without a state they fail, nothing goes in clear */

    ngx_cometa_tls_bytes_free(&s->in);
    ngx_cometa_tls_bytes_free(&s->out);

    cometa_tls_wipe(&s->tls);
    ngx_free(s);
}


void
ngx_cometa_tls_away(ngx_connection_t *c, ngx_uint_t away)
{
    ngx_cometa_tls_state_t  *s;

    s = ngx_cometa_tls_state(c);

    if (s) {
        s->away = away;
    }
}


/*
 * Chains are what nginx's HTTP reads and writes by, and nothing of HTTP is left
 * when a connection is parked. That nothing is ever written in the clear does
 * not depend on it.
 */

ssize_t
ngx_cometa_tls_recv_chain(ngx_connection_t *c, ngx_chain_t *in, off_t limit)
{
    return NGX_ERROR;
}


ngx_chain_t *
ngx_cometa_tls_send_chain(ngx_connection_t *c, ngx_chain_t *in, off_t limit)
{
    return NGX_CHAIN_ERROR;
}


ngx_cometa_tls_bytes_t *
ngx_cometa_tls_bytes(u_char *data, size_t len, size_t plain)
{
    ngx_cometa_tls_bytes_t  *bytes;

    bytes = ngx_alloc(sizeof(ngx_cometa_tls_bytes_t) + len, ngx_cycle->log);
    if (bytes == NULL) {
        return NULL;
    }

    bytes->pos = 0;
    bytes->len = len;
    bytes->plain = plain;

    if (data) {
        ngx_memcpy(bytes->data, data, len);
    }

    return bytes;
}


void
ngx_cometa_tls_bytes_free(ngx_cometa_tls_bytes_t **bytes)
{
    if (*bytes) {
        ngx_free(*bytes);
        *bytes = NULL;
    }
}
