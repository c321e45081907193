/*
 * Interests where there are more slots than bits in a word: each worker that is
 * interested is told, once, and one that has gone is forgotten, no other.
 */

#include "zone.h"
#include "ngx_cometa_interest.c"


#define LOW   3                 /* a slot of the first word */
#define HIGH  67                /* the same bit of the second one */


static uint64_t  told[2];       /* a bit for each slot, since the last look */
static uint32_t  letters;


static void
become(uint32_t slot)
{
    ngx_cometa_zone.slot = slot;
    (void) ngx_cometa_interest_start(&test_cycle);
}


/* Whether just these slots hear of it; NGX_COMETA_NONE: nobody. */

static int
hears(uint64_t hash, uint32_t one, uint32_t other)
{
    uint32_t  slot;
    uint64_t  all[2];

    memset(told, 0, sizeof(told));
    memset(all, 0, sizeof(all));
    letters = 0;

    for (slot = ngx_cometa_interest_next(hash, 0);
         slot != NGX_COMETA_NONE;
         slot = ngx_cometa_interest_next(hash, slot + 1))
    {
        told[slot / 64] |= (uint64_t) 1 << (slot % 64);
        letters++;
    }

    if (one != NGX_COMETA_NONE) {
        all[one / 64] |= (uint64_t) 1 << (one % 64);
    }

    if (other != NGX_COMETA_NONE) {
        all[other / 64] |= (uint64_t) 1 << (other % 64);
    }

    return memcmp(all, told, sizeof(all)) == 0
           && letters == (uint32_t) (__builtin_popcountll(all[0])
                                     + __builtin_popcountll(all[1]));
}


/* Who hears of this device of an application: a bit for each slot. */

static uint64_t
heard_by(uint64_t hash, uint32_t app)
{
    uint32_t  slot;
    uint64_t  bits;

    bits = 0;

    for (slot = ngx_cometa_interest_hears(hash, app, 0);
         slot != NGX_COMETA_NONE;
         slot = ngx_cometa_interest_hears(hash, app, slot + 1))
    {
        /* one of the two that are used here */
        bits |= (slot == LOW) ? 1 : (slot == HIGH) ? 2 : 4;
    }

    return bits;
}


/* Those who hear of all devices of an application, beside those of a device. */

static void
channels(uint64_t hash)
{
    uint32_t  app;

    app = ngx_cometa_zone.head->apps - 1;

    ok(heard_by(hash, 0) == 0 && heard_by(hash, app) == 0,
       "nobody hears of an application");

    become(HIGH);
    ngx_cometa_interest_hear(app);
    ngx_cometa_interest_hear(app);
    ok(heard_by(hash, app) == 2 && heard_by(hash + 1, app) == 2,
       "one hears of all its devices");
    ok(heard_by(hash, app - 1) == 0 && heard_by(hash, 0) == 0
       && !ngx_cometa_interest_any(hash),
       "of no other application, and of no attach");

    become(LOW);
    ngx_cometa_interest_add(hash);
    ok(heard_by(hash, app) == 3 && heard_by(hash + 1, app) == 2
       && heard_by(hash, 0) == 1,
       "another one hears of the device alone");

    ngx_cometa_interest_hear(app);
    ok(heard_by(hash, app) == 3, "or of both, once");

    ngx_cometa_interest_hear_no_more(app);
    ngx_cometa_interest_remove(hash);
    ok(heard_by(hash, app) == 2, "it hears no more");

    ngx_cometa_slot_forget(&ngx_cometa_zone.slots[LOW]);
    ok(heard_by(hash, app) == 2, "a slot that is vacated is no other");
    ngx_cometa_slot_forget(&ngx_cometa_zone.slots[HIGH]);
    ok(heard_by(hash, app) == 0, "and is forgotten here as well");
}


int
main(void)
{
    uint64_t  hash;

    zone_make(8 * 1024 * 1024, 8);
    ok(ngx_cometa_zone.head->words == 2, "a row has two words");

    hash = 5 * NGX_COMETA_ROWS + 77;

    ok(!ngx_cometa_interest_any(hash)
       && hears(hash, NGX_COMETA_NONE, NGX_COMETA_NONE),
       "nobody is interested");

    become(HIGH);
    ngx_cometa_interest_add(hash);
    ngx_cometa_interest_add(hash);
    ok(ngx_cometa_interest_any(hash), "somebody is, in the second word");
    ok(hears(hash, HIGH, NGX_COMETA_NONE), "and is told");
    ok(!ngx_cometa_interest_any(hash + 1)
       && hears(hash + 1, NGX_COMETA_NONE, NGX_COMETA_NONE)
       && !ngx_cometa_interest_any(hash - 1)
       && hears(hash - 1, NGX_COMETA_NONE, NGX_COMETA_NONE),
       "not of what stands in the rows beside it");

    ngx_cometa_interest_remove(hash);
    ok(hears(hash, HIGH, NGX_COMETA_NONE), "one of two sockets has gone");
    ngx_cometa_interest_remove(hash);
    ok(!ngx_cometa_interest_any(hash)
       && hears(hash, NGX_COMETA_NONE, NGX_COMETA_NONE),
       "with the last one, so has the interest");

    ngx_cometa_interest_add(hash);
    ngx_cometa_interest_add(hash + 1);
    become(LOW);
    ngx_cometa_interest_add(hash);
    ngx_cometa_interest_add(hash + 1);
    ok(hears(hash, LOW, HIGH) && hears(hash + 1, LOW, HIGH),
       "the same bit of both words");

    ngx_cometa_slot_forget(&ngx_cometa_zone.slots[HIGH]);
    ok(hears(hash, LOW, NGX_COMETA_NONE)
       && hears(hash + 1, LOW, NGX_COMETA_NONE),
       "a slot that is vacated is forgotten in all rows, and no other");

    ngx_cometa_slot_forget(&ngx_cometa_zone.slots[LOW]);
    ok(!ngx_cometa_interest_any(hash) && !ngx_cometa_interest_any(hash + 1),
       "then nobody is interested");

    channels(hash);

    become(0);

    return done_testing();
}
