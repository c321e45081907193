/*
 * Where a program connects to, and how.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net.h"
#include "park.h"
#include "util.h"

#define SPARE       1024        /* ports that still wait for the end */


void
cometa_net_init(cometa_net_t *net, const char *name, const char *port, int tls)
{
    int                  rc;
    struct addrinfo      hints, *found;
    struct sockaddr_in  *in;

    memset(net, 0, sizeof(cometa_net_t));
    memset(&hints, 0, sizeof(struct addrinfo));

    hints.ai_socktype = SOCK_STREAM;

    rc = getaddrinfo(name, port, &hints, &found);

    if (rc != 0) {
        cometa_die("%s:%s: %s", name, port, gai_strerror(rc));
    }

    memcpy(&net->addr, found->ai_addr, found->ai_addrlen);
    net->addr_len = found->ai_addrlen;
    net->name = name;
    freeaddrinfo(found);

    in = (struct sockaddr_in *) &net->addr;

    if (in->sin_family == AF_INET && ntohl(in->sin_addr.s_addr) >> 24 == 127) {
        net->source = INADDR_LOOPBACK;
    }

    if (!tls) {
        return;
    }

    net->tls = SSL_CTX_new(TLS_client_method());

    if (net->tls == NULL) {
        cometa_die("OpenSSL gives no client context");
    }

    /* the server under test has a certificate made for the run: no check */

    SSL_CTX_set_verify(net->tls, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_session_cache_mode(net->tls, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(net->tls, SSL_MODE_RELEASE_BUFFERS
                               |SSL_MODE_ENABLE_PARTIAL_WRITE
                               |SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}


/* the newest one is resumed by all: tickets may be used more than once */

static int
on_session(SSL *ssl, SSL_SESSION *session)
{
    cometa_net_t  *net = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

    SSL_SESSION_free(net->session);
    net->session = session;

    return 1;
}


void
cometa_net_resume(cometa_net_t *net)
{
    if (net->tls) {
        SSL_CTX_set_app_data(net->tls, net);
        SSL_CTX_set_session_cache_mode(net->tls,
                                       SSL_SESS_CACHE_CLIENT
                                       |SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(net->tls, on_session);
    }
}


void
cometa_net_version(cometa_net_t *net, const char *version)
{
    int  v = strcmp(version, "1.2") == 0 ? TLS1_2_VERSION
             : strcmp(version, "1.3") == 0 ? TLS1_3_VERSION : 0;

    if (v == 0) {
        cometa_die("\"%s\" is no version of TLS: 1.2 or 1.3", version);
    }

    if (net->tls) {
        SSL_CTX_set_min_proto_version(net->tls, v);
        SSL_CTX_set_max_proto_version(net->tls, v);
    }
}


void
cometa_net_park(cometa_net_t *net)
{
    if (net->tls == NULL) {
        cometa_die("what is not TLS cannot be parked");
    }

    cometa_park_watch(net->tls);
}


void
cometa_net_start(cometa_net_t *net)
{
    net->epoll = epoll_create1(EPOLL_CLOEXEC);

    if (net->epoll < 0) {
        cometa_die("epoll_create1: %s", strerror(errno));
    }

    if (net->source) {
        net->source = 127u << 24 | 64u << 16 | ((uint32_t) getpid() & 0x3fffff);
    }

    net->port = (uint16_t) (COMETA_FIRST_PORT
                            + cometa_random_below(COMETA_PORTS));
}


unsigned
cometa_net_descriptors(void)
{
    struct rlimit  limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        cometa_die("getrlimit: %s", strerror(errno));
    }

    return limit.rlim_cur > COMETA_PORTS - SPARE
           ? COMETA_PORTS - SPARE
                                          : (unsigned) limit.rlim_cur;
}


/*
 * OpenSSL writes to the session that a connection resumes: of several that
 * share one, not all would be resumed.
 */

static void
resume_session(const cometa_net_t *net, SSL *ssl)
{
    SSL_SESSION  *session;

    if (net->session) {
        session = SSL_SESSION_dup(net->session);
        SSL_set_session(ssl, session);
        SSL_SESSION_free(session);
    }
}


int
cometa_net_ssl(const cometa_net_t *net, int fd, SSL **ssl)
{
    *ssl = SSL_new(net->tls);

    if (*ssl == NULL || SSL_set_fd(*ssl, fd) != 1) {
        return -1;
    }

    resume_session(net, *ssl);
    SSL_set_connect_state(*ssl);

    return 0;
}
