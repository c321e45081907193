
/*
 * Sends and receives parcels with descriptors, by SCM_RIGHTS. State: the buffer
 * of this process for what it receives, and one for a state of TLS.
 */

#include "ngx_cometa_envelope.h"
#include "ngx_cometa_slot.h"
#include "ngx_cometa_tls_pack.h"
#include "ngx_cometa_tls_state.h"

#include <openssl/crypto.h>
#include <sys/socket.h>


/* Before the state of TLS, which is aligned then. */

typedef struct {
    uint32_t            kind;       /* of the parcel, NGX_COMETA_PARCEL_TLS */
    uint32_t            len;
    uint64_t            unused;
} ngx_cometa_envelope_head_t;

#define NGX_COMETA_ENVELOPE_TLS                                               \
    (sizeof(ngx_cometa_envelope_head_t) + NGX_COMETA_TLS_PACK_MAX)


/* A message of the kernel's, with room for one descriptor. */

typedef struct {
    struct msghdr       msg;
    struct iovec        iov[2];

    union {
        struct cmsghdr  cm;
        char            space[CMSG_SPACE(sizeof(int))];
    } control;
} ngx_cometa_message_t;


static void ngx_cometa_envelope_message(ngx_cometa_message_t *m, u_char *data,
    size_t len);
static ngx_int_t ngx_cometa_envelope_tls(ngx_connection_t *c, uint32_t kind,
    size_t *len);
static void ngx_cometa_envelope_open(ngx_cometa_envelope_t *e);


static u_char  *ngx_cometa_envelope_buffer;
static size_t   ngx_cometa_envelope_size;
static u_char  *ngx_cometa_envelope_state;


ngx_int_t
ngx_cometa_envelope_start(ngx_cycle_t *cycle, size_t max)
{
    ngx_cometa_envelope_size = NGX_COMETA_ENVELOPE_TLS + max;
    ngx_cometa_envelope_buffer = ngx_palloc(cycle->pool,
                                            ngx_cometa_envelope_size);

    return ngx_cometa_envelope_buffer ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_cometa_envelope_send(int door, ngx_connection_t *c, u_char *data,
    size_t len)
{
    size_t                 n;
    ssize_t                rc;
    uint32_t               kind;
    struct cmsghdr        *cmsg;
    ngx_cometa_message_t   m;

    ngx_memcpy(&kind, data, sizeof(uint32_t));

    if (ngx_cometa_envelope_tls(c, kind, &n) != NGX_OK) {
        return NGX_AGAIN;
    }

    ngx_cometa_envelope_message(&m, data, len);

    if (n) {
        m.iov[1] = m.iov[0];
        m.iov[0].iov_base = ngx_cometa_envelope_state;
        m.iov[0].iov_len = n;
        m.msg.msg_iovlen = 2;
    }

    cmsg = &m.control.cm;
    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(sizeof(int));
    ngx_memcpy(CMSG_DATA(cmsg), &c->fd, sizeof(int));

    rc = sendmsg(door, &m.msg, MSG_NOSIGNAL);

    if (n) {
        OPENSSL_cleanse(ngx_cometa_envelope_state, n);
    }

    return (rc == -1) ? NGX_AGAIN : NGX_OK;
}


/* A message with these bytes, and room for one descriptor. */

static void
ngx_cometa_envelope_message(ngx_cometa_message_t *m, u_char *data, size_t len)
{
    ngx_memzero(m, sizeof(ngx_cometa_message_t));

    m->iov[0].iov_base = data;
    m->iov[0].iov_len = len;

    m->msg.msg_iov = m->iov;
    m->msg.msg_iovlen = 1;
    m->msg.msg_control = &m->control;
    m->msg.msg_controllen = sizeof(m->control.space);
}


/* What goes before the parcel: `len` bytes, none for a plain connection. */

static ngx_int_t
ngx_cometa_envelope_tls(ngx_connection_t *c, uint32_t kind, size_t *len)
{
    size_t                       n;
    ngx_cometa_envelope_head_t   head;

    *len = 0;

    if (ngx_cometa_tls_state(c) == NULL) {
        return NGX_OK;
    }

    if (ngx_cometa_envelope_state == NULL) {
        ngx_cometa_envelope_state = ngx_alloc(NGX_COMETA_ENVELOPE_TLS,
                                              ngx_cycle->log);
        if (ngx_cometa_envelope_state == NULL) {
            return NGX_ERROR;
        }
    }

    n = sizeof(ngx_cometa_envelope_head_t);
    ngx_memzero(&head, n);

    head.kind = kind | NGX_COMETA_PARCEL_TLS;
    head.len = ngx_cometa_tls_pack(c, ngx_cometa_envelope_state + n);

    /* a parked connection never goes as if it were a plain one */

    if (head.len == 0) {
        return NGX_ERROR;
    }

    ngx_memcpy(ngx_cometa_envelope_state, &head, n);

    *len = n + head.len;

    return NGX_OK;
}


ngx_int_t
ngx_cometa_envelope_receive(int door, ngx_cometa_envelope_t *e)
{
    ssize_t                n;
    struct cmsghdr        *cmsg;
    ngx_cometa_message_t   m;

    ngx_memzero(e, sizeof(ngx_cometa_envelope_t));

    ngx_cometa_envelope_message(&m, ngx_cometa_envelope_buffer,
                                ngx_cometa_envelope_size);

    n = recvmsg(door, &m.msg, MSG_CMSG_CLOEXEC);

    if (n == -1 && ngx_errno != NGX_EAGAIN) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, ngx_errno,
                      "connections that other workers pass to this one wait, "
                      "recvmsg() failed");
        return NGX_ERROR;
    }

    if (n <= 0) {
        return NGX_AGAIN;
    }

    e->fd = -1;
    e->data = ngx_cometa_envelope_buffer;
    e->len = n;

    cmsg = CMSG_FIRSTHDR(&m.msg);

    /* if this process had no descriptor left the kernel has closed it */

    if (cmsg
        && cmsg->cmsg_level == SOL_SOCKET
        && cmsg->cmsg_type == SCM_RIGHTS
        && cmsg->cmsg_len == CMSG_LEN(sizeof(int)))
    {
        ngx_memcpy(&e->fd, CMSG_DATA(cmsg), sizeof(int));
    }

    ngx_cometa_envelope_open(e);

    return NGX_OK;
}


static void
ngx_cometa_envelope_open(ngx_cometa_envelope_t *e)
{
    size_t                       n;
    ngx_cometa_envelope_head_t   head;

    n = sizeof(ngx_cometa_envelope_head_t);

    ngx_memzero(&head, n);
    ngx_memcpy(&head, e->data, ngx_min(e->len, n));

    if ((head.kind & NGX_COMETA_PARCEL_TLS) == 0 || e->len < n) {
        return;
    }

    e->tls = e->data + n;
    e->tls_len = ngx_min(head.len, e->len - n);
    e->data = e->tls + e->tls_len;
    e->len -= n + e->tls_len;
}


void
ngx_cometa_envelope_wipe(ngx_cometa_envelope_t *e)
{
    if (e->tls) {
        OPENSSL_cleanse(e->tls, e->tls_len);
        e->tls = NULL;
    }
}
