/* A test's device over OpenSSL; the file CA is to be trusted. */

#include <stdlib.h>

#include "cometa_openssl.h"
#include "device.h"


void
transport(cometa_config_t *config)
{
    static cometa_openssl_t  io;

    if (cometa_openssl_init(&io, getenv("CA")) != 0) {
        exit(2);
    }

    config->transport = &cometa_openssl_transport;
    config->io = &io;
}
