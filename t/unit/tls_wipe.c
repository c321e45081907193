
/*
 * What is left of keys. OpenSSL's memory is ours here: no block may be freed
 * with a secret or a key in it, and when a connection is wiped none may be
 * anywhere, not in the contexts either.
 */

#define _GNU_SOURCE

#include <pthread.h>
#include <stdlib.h>

#include <openssl/crypto.h>

#include "tls_record.h"


#define BLOCKS   16384
#define NEEDLES  8
#define NEEDLE   16                     /* bytes that are looked for */
#define STACK    (1 << 20)
#define FAR      (1 << 15)


typedef struct {
    uint8_t  *p;
    size_t    size;
} block_t;


static void *my_malloc(size_t size, const char *file, int line);
static void *my_realloc(void *p, size_t size, const char *file, int line);
static void my_free(void *p, const char *file, int line);
static int is_in(const uint8_t *p, size_t size);
static int is_anywhere(void);
static void look_for(const uint8_t *needle);
static void test_suite(const suite_t *suite);
static void test_stack(const suite_t *suite);
static void *on_stack(void *data);
static void far_down(cometa_tls_t *t);
static void set_keys(cometa_tls_t *t);


static block_t   blocks[BLOCKS];
static uint8_t   needles[NEEDLES][NEEDLE];
static unsigned  count, leaks;
static uint8_t   stack[STACK] __attribute__((aligned(4096)));
static pair_t    ours;
static int       left;


int
main(void)
{
    size_t  i;

    ok(CRYPTO_set_mem_functions(my_malloc, my_realloc, my_free) == 1,
       "OpenSSL's memory is ours");
    ok(cometa_tls_start() == 0, "started");

    for (i = 0; i < SUITES; i++) {
        test_suite(&suites[i]);
        test_stack(&suites[i]);
    }

    cometa_tls_end();

    return done_testing();
}


static void *
my_malloc(size_t size, const char *file, int line)
{
    size_t    i;
    uint8_t  *p;

    (void) file;
    (void) line;

    p = malloc(size);

    for (i = 0; i < BLOCKS && p; i++) {

        if (blocks[i].p == NULL) {
            blocks[i].p = p;
            blocks[i].size = size;
            return p;
        }
    }

    abort();
}


static void *
my_realloc(void *p, size_t size, const char *file, int line)
{
    void    *copy;
    size_t   i;

    copy = my_malloc(size, file, line);

    for (i = 0; i < BLOCKS && p; i++) {

        if (blocks[i].p == p) {
            memcpy(copy, p, (size < blocks[i].size) ? size : blocks[i].size);
            break;
        }
    }

    my_free(p, file, line);

    return copy;
}


static void
my_free(void *p, const char *file, int line)
{
    size_t  i;

    for (i = 0; i < BLOCKS && p; i++) {

        if (blocks[i].p == p) {

            if (is_in(p, blocks[i].size)) {
                diag("freed with a key in it: %s:%d", file, line);
                leaks++;
            }

            blocks[i].p = NULL;
            free(p);
            return;
        }
    }
}


static int
is_in(const uint8_t *p, size_t size)
{
    unsigned  i;

    for (i = 0; i < count; i++) {

        if (memmem(p, size, needles[i], NEEDLE)) {
            return 1;
        }
    }

    return 0;
}


static int
is_anywhere(void)
{
    size_t  i;

    for (i = 0; i < BLOCKS; i++) {

        if (blocks[i].p && is_in(blocks[i].p, blocks[i].size)) {
            return 1;
        }
    }

    return 0;
}


static void
look_for(const uint8_t *needle)
{
    memcpy(needles[count++], needle, NEEDLE);
}


/* All of a connection's life, by one end; its peer is there to read from. */

static void
test_suite(const suite_t *suite)
{
    size_t    n, used, len;
    pair_t    pair;
    uint8_t   record[256], alert, *data;

    static const uint8_t  secret[2][4 * NEEDLE] = {
        "CCCCCCCCCCCCCCCC", "MMMMMMMMMMMMMMMM"
    };

    count = 0;
    leaks = 0;
    look_for(secret[0]);
    look_for(secret[1]);

    pair_start(&pair, suite, 0);
    look_for(pair.reader.read.key);
    look_for(pair.reader.write.key);

    n = cometa_tls_seal(&pair.writer, COMETA_TLS_DATA, secret[0] + NEEDLE, 20,
                        record);
    cometa_tls_read(&pair.reader, record, n, &used, &data, &len, &alert);
    cometa_tls_prove(&pair.reader, &pair.reader.read, 0, record, n);

    ok(is_anywhere(), "%s: the contexts have keys", suite->name);

    if (suite->version == COMETA_TLS_1_3) {
        n = cometa_tls_seal_update(&pair.writer, record);
        look_for(pair.writer.write.key);
        look_for(pair.writer.write.secret);
        cometa_tls_read(&pair.reader, record, n, &used, &data, &len, &alert);
        n = cometa_tls_seal(&pair.writer, COMETA_TLS_DATA, secret[0] + NEEDLE,
                            20, record);
        cometa_tls_read(&pair.reader, record, n, &used, &data, &len, &alert);
        ok(is_anywhere(), "%s: and the next ones", suite->name);
    }

    cometa_tls_wipe(&pair.writer);
    cometa_tls_wipe(&pair.reader);

    ok(!is_anywhere() && !is_in((uint8_t *) &pair, sizeof(pair)),
       "%s: nothing is left", suite->name);
    ok(leaks == 0, "%s: nothing was freed", suite->name);
}


/*
 * Keys are set, or changed, far down on a stack of their own; what lies there
 * then has been left by it.
 */

static void
test_stack(const suite_t *suite)
{
    pthread_t       thread;
    pthread_attr_t  attr;

    memset(stack, 0, STACK);
    pair_end_start(&ours.reader, suite, 0);
    set_keys(&ours.reader);

    count = 0;
    look_for(ours.reader.read.key);

    if (suite->version == COMETA_TLS_1_3) {
        look_for(ours.reader.read.secret);
    }

    pair_end_start(&ours.reader, suite, 0);

    pthread_attr_init(&attr);
    pthread_attr_setstack(&attr, stack, STACK);

    if (pthread_create(&thread, &attr, on_stack, &ours.reader) != 0) {
        abort();
    }

    pthread_join(thread, NULL);
    pthread_attr_destroy(&attr);

    ok(is_in((uint8_t *) &ours, sizeof(ours)) && !left,
       "%s: nothing is left on the stack", suite->name);
}


static void *
on_stack(void *data)
{
    uint8_t  here;

    far_down(data);
    left = is_in(stack, &here - stack - FAR / 2);

    return NULL;
}


__attribute__((noinline))
static void
far_down(cometa_tls_t *t)
{
    volatile uint8_t  far[FAR];

    far[0] = 0;
    set_keys(t);
    far[FAR - 1] = far[0];
}


static void
set_keys(cometa_tls_t *t)
{
    static const uint8_t  master[COMETA_TLS_MASTER] = { 1 };
    static const uint8_t  random[COMETA_TLS_RANDOM] = { 2 };

    if (t->version == COMETA_TLS_1_3) {
        cometa_tls_next(t, &t->read);
    } else {
        cometa_tls_set_master(t, master, random, random);
    }
}
