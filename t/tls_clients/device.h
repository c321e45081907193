/*
 * What a device needs of a TLS library: a file of this directory for each. One
 * connection, blocking. All return 0, or -1 when the connection is to be given
 * up; a library without a way to do it returns -1 from tls_update().
 */

#ifndef COMETA_TLS_CLIENTS_DEVICE_H
#define COMETA_TLS_CLIENTS_DEVICE_H

#include <stddef.h>
#include <sys/types.h>

/* version: 2 or 3, of TLS 1.x; ciphers: in the library's words, or NULL */
int tls_open(int fd, int version, const char *ciphers);

/* bytes, at least one; 0: close_notify; -1: anything else that ends it */
ssize_t tls_read(void *p, size_t n);

int tls_write(const void *p, size_t n);         /* all of it */
int tls_update(void);                           /* keys of both sides */
int tls_close(void);                            /* sends close_notify */
const char *tls_version(void);
const char *tls_cipher(void);

#endif
