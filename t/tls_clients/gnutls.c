/* GnuTLS. */

#include <gnutls/gnutls.h>

#include "device.h"


static gnutls_session_t  session;


int
tls_open(int fd, int version, const char *ciphers)
{
    int                               rc;
    const char                       *priority;
    gnutls_certificate_credentials_t  none;

    (void) ciphers;

    priority = version == 2 ? "NORMAL:-VERS-ALL:+VERS-TLS1.2"
                            : "NORMAL:-VERS-ALL:+VERS-TLS1.3";

    if (gnutls_certificate_allocate_credentials(&none) < 0
        || gnutls_init(&session, GNUTLS_CLIENT) < 0
        || gnutls_priority_set_direct(session, priority, NULL) < 0
        || gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, none) < 0)
    {
        return -1;
    }

    gnutls_transport_set_int(session, fd);

    do {
        rc = gnutls_handshake(session);
    } while (rc < 0 && !gnutls_error_is_fatal(rc));

    return rc;
}


/* a ticket, or a KeyUpdate, is reported as a warning */

ssize_t
tls_read(void *p, size_t n)
{
    ssize_t  rc;

    do {
        rc = gnutls_record_recv(session, p, n);
    } while (rc < 0 && !gnutls_error_is_fatal((int) rc));

    return rc < 0 ? -1 : rc;
}


int
tls_write(const void *p, size_t n)
{
    size_t   done;
    ssize_t  rc;

    for (done = 0; done < n; done += (size_t) rc) {
        do {
            rc = gnutls_record_send(session, (const char *) p + done, n - done);
        } while (rc < 0 && !gnutls_error_is_fatal((int) rc));

        if (rc < 0) {
            return -1;
        }
    }

    return 0;
}


int
tls_update(void)
{
    if (gnutls_protocol_get_version(session) != GNUTLS_TLS1_3) {
        return -1;
    }

    return gnutls_session_key_update(session, GNUTLS_KU_PEER) < 0 ? -1 : 0;
}


int
tls_close(void)
{
    return gnutls_bye(session, GNUTLS_SHUT_WR) < 0 ? -1 : 0;
}


const char *
tls_version(void)
{
    return gnutls_protocol_get_name(gnutls_protocol_get_version(session));
}


const char *
tls_cipher(void)
{
    return gnutls_cipher_get_name(gnutls_cipher_get(session));
}
