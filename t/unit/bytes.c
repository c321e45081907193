/*
 * Bytes that grow, against a model; and when there is no memory.
 */

#pragma GCC diagnostic ignored "-Wunused-parameter"

#include "ngx_cometa_bytes.c"
#include "tap.h"


#define ROUNDS  200000
#define MOST    5000


volatile ngx_cycle_t  *ngx_cycle;

static ngx_cycle_t     cycle;
static ngx_uint_t      refused;         /* every allocation, from now on */
static ngx_uint_t      allocations;
static size_t          largest;


void *
ngx_alloc(size_t size, ngx_log_t *log)
{
    allocations++;
    largest = ngx_max(largest, size);

    return refused ? NULL : malloc(size);
}


static u_char  model[4 * MOST];
static size_t  used, len;


static int
same(ngx_cometa_bytes_t *b)
{
    return ngx_cometa_bytes_left(b) == len - used
           && (b == NULL
               || memcmp(b->data + b->pos, model + used, len - used) == 0);
}


static void
random_steps(void)
{
    int                  wrong, i;
    size_t               n;
    u_char               piece[MOST];
    ngx_uint_t           steps;
    ngx_cometa_bytes_t  *b;

    b = NULL;
    wrong = 0;

    for (steps = 0; steps < ROUNDS; steps++) {
        n = rand() % (rand() % 8 ? 100 : 1000);

        if (rand() % 2 && len - used + n <= MOST) {

            for (i = 0; i < (int) n; i++) {
                piece[i] = rand();
            }

            if (used) {
                memmove(model, model + used, len - used);
                len -= used;
                used = 0;
            }

            memcpy(model + len, piece, n);
            len += n;

            refused = (rand() % 16 == 0);

            if (ngx_cometa_bytes_add(&b, piece, n) != NGX_OK) {
                len -= n;
                wrong += !refused;
            }

            refused = 0;

        } else if (b) {
            n = ngx_min(n, len - used);
            b->pos += n;
            used += n;
        }

        if (rand() % 1000 == 0) {
            ngx_cometa_bytes_free(&b);
            len = used = 0;
            wrong += (b != NULL);
        }

        wrong += !same(b);
    }

    ngx_cometa_bytes_free(&b);

    ok(wrong == 0, "%d random steps are those of the model", ROUNDS);
    ok(largest <= 4 * MOST, "%zu bytes at most for %d of use", largest, MOST);
}


/* Who adds and uses in turn needs no more memory. */

static void
a_stream(void)
{
    u_char               piece[100];
    ngx_uint_t           i;
    ngx_cometa_bytes_t  *b;

    b = NULL;
    allocations = 0;
    memset(piece, 'x', sizeof(piece));

    for (i = 0; i < 10000; i++) {
        (void) ngx_cometa_bytes_add(&b, piece, sizeof(piece));
        b->pos = b->len;
    }

    ok(allocations == 1, "10000 pieces in one allocation: %d",
       (int) allocations);
    ngx_cometa_bytes_free(&b);
}


static void
nothing(void)
{
    ngx_cometa_bytes_t  *b;

    b = NULL;
    allocations = 0;

    ok(ngx_cometa_bytes_add(&b, NULL, 0) == NGX_OK && b == NULL
       && allocations == 0, "nothing takes no memory");
    ok(ngx_cometa_bytes_left(b) == 0, "and is empty");
}


int
main(void)
{
    ngx_cycle = &cycle;
    srand(1);

    random_steps();
    a_stream();
    nothing();

    return done_testing();
}
