/* NSS, the library of Firefox. */

#include <nspr.h>
#include <nss.h>
#include <private/pprio.h>
#include <ssl.h>
#include <sslexp.h>
#include <sslproto.h>

#include "device.h"


static PRFileDesc              *ssl;
static SSLChannelInfo           channel;
static SSLCipherSuiteInfo       suite;


static SECStatus
any_certificate(void *arg, PRFileDesc *fd, PRBool check, PRBool server)
{
    (void) arg;
    (void) fd;
    (void) check;
    (void) server;

    return SECSuccess;
}


int
tls_open(int fd, int version, const char *ciphers)
{
    SSLVersionRange  range;

    (void) ciphers;

    range.min = range.max = version == 2 ? SSL_LIBRARY_VERSION_TLS_1_2
                                         : SSL_LIBRARY_VERSION_TLS_1_3;

    if (NSS_NoDB_Init(NULL) != SECSuccess) {
        return -1;
    }

    ssl = SSL_ImportFD(NULL, PR_ImportTCPSocket(fd));

    if (ssl == NULL
        || SSL_OptionSet(ssl, SSL_SECURITY, PR_TRUE) != SECSuccess
        || SSL_OptionSet(ssl, SSL_HANDSHAKE_AS_CLIENT, PR_TRUE) != SECSuccess
        || SSL_VersionRangeSet(ssl, &range) != SECSuccess
        || SSL_AuthCertificateHook(ssl, any_certificate, NULL) != SECSuccess
        || SSL_SetURL(ssl, "localhost") != SECSuccess
        || SSL_ResetHandshake(ssl, PR_FALSE) != SECSuccess
        || SSL_ForceHandshake(ssl) != SECSuccess
        || SSL_GetChannelInfo(ssl, &channel, sizeof(channel)) != SECSuccess
        || SSL_GetCipherSuiteInfo(channel.cipherSuite, &suite, sizeof(suite))
           != SECSuccess)
    {
        return -1;
    }

    return 0;
}


/* 0 is close_notify: without one NSS reports an error */

ssize_t
tls_read(void *p, size_t n)
{
    return PR_Read(ssl, p, (PRInt32) n);
}


int
tls_write(const void *p, size_t n)
{
    return PR_Write(ssl, p, (PRInt32) n) == (PRInt32) n ? 0 : -1;
}


int
tls_update(void)
{
    if (channel.protocolVersion != SSL_LIBRARY_VERSION_TLS_1_3) {
        return -1;
    }

    return SSL_KeyUpdate(ssl, PR_TRUE) == SECSuccess ? 0 : -1;
}


int
tls_close(void)
{
    return PR_Shutdown(ssl, PR_SHUTDOWN_SEND) == PR_SUCCESS ? 0 : -1;
}


const char *
tls_version(void)
{
    return channel.protocolVersion == SSL_LIBRARY_VERSION_TLS_1_3 ? "TLSv1.3"
                                                                  : "TLSv1.2";
}


const char *
tls_cipher(void)
{
    return suite.cipherSuiteName;
}
