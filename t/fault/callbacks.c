
/*
 * Preloaded into nginx: notes which callbacks of OpenSSL are set, a line each
 * in the file COMETA_CALLBACKS, and plays another module that wants them, too.
 * COMETA_OTHER says how:
 *
 *     first    it has set its key log callback before
 *     keylog   it replaces the key log callback of a context
 *     message  the same with the message callback
 *     late     it replaces the message callback of a connection, when the
 *              handshake has begun
 *     wire     it replaces the callback of a BIO
 *
 * State: what the environment said at the start; workers have another one.
 */

#define _GNU_SOURCE

#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/ssl.h>


typedef void (*message_pt)(int, int, int, const void *, size_t, SSL *, void *);

#define next(function)                                                        \
    static __typeof__(&function) original;                                    \
                                                                              \
    if (original == NULL) {                                                   \
        original = (__typeof__(&function)) dlsym(RTLD_NEXT, #function);       \
    }

#define note(line)  note_line(line "\n", sizeof(line "\n") - 1)


static void start(void) __attribute__((constructor));
static void note_line(const char *line, size_t len);
static int is_other(const char *how);
static void other_keylog(const SSL *ssl, const char *line);
static void other_message(int write, int version, int type, const void *data,
    size_t len, SSL *ssl, void *arg);
static long other_wire(BIO *bio, int op, const char *data, size_t len,
    int argi, long argl, int ret, size_t *processed);


static const char  *name = "";
static const char  *other = "";


static void
start(void)
{
    if (getenv("COMETA_CALLBACKS")) {
        name = strdup(getenv("COMETA_CALLBACKS"));
    }

    if (getenv("COMETA_OTHER")) {
        other = strdup(getenv("COMETA_OTHER"));
    }
}


struct ssl_ctx_st *
SSL_CTX_new(const SSL_METHOD *method)
{
    SSL_CTX  *ctx;

    next(SSL_CTX_new);

    ctx = original(method);

    if (ctx && is_other("first")) {
        SSL_CTX_set_keylog_callback(ctx, other_keylog);
    }

    return ctx;
}


void
SSL_CTX_set_keylog_callback(SSL_CTX *ctx, SSL_CTX_keylog_cb_func callback)
{
    next(SSL_CTX_set_keylog_callback);

    if (callback != other_keylog) {
        note("set: keylog");
    }

    original(ctx, is_other("keylog") ? other_keylog : callback);
}


void
SSL_CTX_set_msg_callback(SSL_CTX *ctx, message_pt callback)
{
    next(SSL_CTX_set_msg_callback);

    note("set: message");

    original(ctx, is_other("message") ? other_message : callback);
}


void
BIO_set_callback_ex(BIO *bio, BIO_callback_fn_ex callback)
{
    next(BIO_set_callback_ex);

    note("set: wire");

    original(bio, (callback && is_other("wire")) ? other_wire : callback);
}


/* nginx does so when it makes a connection, the module in its handshake. */

int
SSL_set_ex_data(SSL *ssl, int idx, void *data)
{
    next(SSL_set_ex_data);

    if (data && SSL_in_before(ssl) == 0 && is_other("late")) {
        note("other: late");
        SSL_set_msg_callback(ssl, other_message);
    }

    return original(ssl, idx, data);
}


static void
note_line(const char *line, size_t len)
{
    int  fd;

    fd = open(name, O_WRONLY|O_APPEND);

    if (fd == -1 || write(fd, line, len) != (ssize_t) len || close(fd) == -1) {
        abort();
    }
}


static int
is_other(const char *how)
{
    return strcmp(other, how) == 0;
}


static void
other_keylog(const SSL *ssl, const char *line)
{
    (void) ssl;
    (void) line;

    note("other: keylog");
}


static void
other_message(int write, int version, int type, const void *data, size_t len,
    SSL *ssl, void *arg)
{
    (void) write;
    (void) version;
    (void) type;
    (void) data;
    (void) len;
    (void) ssl;
    (void) arg;
}


static long
other_wire(BIO *bio, int op, const char *data, size_t len, int argi, long argl,
    int ret, size_t *processed)
{
    (void) bio;
    (void) op;
    (void) data;
    (void) len;
    (void) argi;
    (void) argl;
    (void) processed;

    return ret;
}
