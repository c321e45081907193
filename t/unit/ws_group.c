/*
 * WebSockets by device, against a model: what is told to the owner, and who is
 * touched by it.
 */

#pragma GCC diagnostic ignored "-Wunused-parameter"

#include "ngx_cometa_ws_group.c"
#include "tap.h"


#define DEVICES  500
#define SOCKETS  3000
#define STEPS    200000


volatile ngx_cycle_t         *ngx_cycle;
ngx_cometa_zone_t             ngx_cometa_zone;

static ngx_cycle_t            cycle;
static ngx_cometa_app_t       apps[2];
static ngx_cometa_head_t      head = { .apps = 2 };

static ngx_int_t              interests;
static ngx_int_t              hears;    /* of events of applications */
static ngx_uint_t             letters;
static ngx_uint_t             told;     /* the last count */
static uint32_t               told_to;  /* and whose owner heard it */


void *
ngx_calloc(size_t size, ngx_log_t *log)
{
    return calloc(1, size);
}


void
ngx_cometa_interest_add(uint64_t hash)
{
    interests++;
}


void
ngx_cometa_interest_remove(uint64_t hash)
{
    interests--;
}


void
ngx_cometa_interest_hear(uint32_t app)
{
    hears++;
}


void
ngx_cometa_interest_hear_no_more(uint32_t app)
{
    hears--;
}


ngx_int_t
ngx_cometa_registry_find(ngx_cometa_key_t *key, ngx_cometa_place_t *place)
{
    char  name[8] = "";

    memcpy(name, key->device.data, key->device.len);
    memset(place, 0, sizeof(ngx_cometa_place_t));
    place->handle = atoi(name);

    return NGX_OK;
}


void
ngx_cometa_mail_listeners(ngx_cometa_place_t *to, uint32_t n)
{
    letters++;
    told = n;
    told_to = to->handle;
}


/* Some devices have the same place in the table, two the same hash. */

typedef struct {
    ngx_queue_t             link;
    ngx_cometa_ws_group_t  *group;
    ngx_uint_t              device;
} model_socket_t;

static model_socket_t  sockets[SOCKETS];
static ngx_uint_t      counts[DEVICES];
static char            names[DEVICES][8];


static ngx_cometa_key_t
key_of(ngx_uint_t device)
{
    ngx_cometa_key_t  key;

    key.app.data = apps[device % 2].name;
    key.app.len = 4;
    key.device.data = (u_char *) names[device];
    key.device.len = strlen(names[device]);
    key.hash = (device < 2) ? 7 : (uint64_t) device / 3 * NGX_COMETA_WS_CHAINS
                                  + device % 3 + (uint64_t) device * 4096;

    return key;
}


static int
join(model_socket_t *s, ngx_uint_t device)
{
    ngx_cometa_key_t  key;

    key = key_of(device);

    s->device = device;
    s->group = ngx_cometa_ws_group_join(&key, device % 2, &s->link);
    counts[device]++;

    return s->group != NULL
           && s->group->n == counts[device]
           && s->group->app == device % 2
           && s->group->key.device.len == key.device.len
           && memcmp(s->group->key.device.data, key.device.data,
                     key.device.len) == 0;
}


static int
leave(model_socket_t *s)
{
    counts[s->device]--;

    ngx_cometa_ws_group_leave(s->group, &s->link);

    if (s->group->n != counts[s->device]) {
        return 0;
    }

    ngx_cometa_ws_group_free_empty(s->group);
    s->group = NULL;

    return 1;
}


static int
heard(ngx_uint_t device)
{
    /* of two with the same hash the owner may hear of the other */

    return device < 2 || (told == counts[device] && told_to == device);
}


/* All that is in the table, by walking over it. */

static int
complete(ngx_uint_t total)
{
    ngx_queue_t            *q;
    ngx_uint_t              groups, n, expected, i;
    ngx_cometa_ws_group_t  *group;

    groups = 0;
    n = 0;
    expected = 0;

    for (group = ngx_cometa_ws_group_next(NULL);
         group;
         group = ngx_cometa_ws_group_next(group))
    {
        groups++;

        for (q = ngx_queue_head(&group->sockets);
             q != ngx_queue_sentinel(&group->sockets);
             q = ngx_queue_next(q))
        {
            n++;
        }
    }

    for (i = 0; i < DEVICES; i++) {
        expected += (counts[i] != 0);
    }

    return groups == expected && n == total
           && ngx_cometa_ws_group_total() == total
           && interests == (ngx_int_t) total;
}


static void
random_steps(void)
{
    int                wrong;
    ngx_uint_t         step, device, total;
    model_socket_t    *s;
    ngx_cometa_key_t   key;

    wrong = 0;
    total = 0;

    for (step = 0; step < STEPS; step++) {
        s = &sockets[rand() % SOCKETS];

        if (s->group == NULL) {
            /* most of them to few devices */
            device = rand() % (rand() % 2 ? DEVICES : 4);
            wrong += !join(s, device);
            total++;

        } else {
            device = s->device;
            wrong += !leave(s);
            total--;
        }

        wrong += !heard(device);
        key = key_of(device);
        wrong += (device >= 2
                  && (ngx_cometa_ws_group_find(key.hash) != NULL)
                     != (counts[device] != 0));

        if (step % 1000 == 0) {
            wrong += !complete(total);
        }
    }

    ok(wrong == 0, "%d random steps are those of the model", STEPS);
    ok(letters == STEPS, "each is told to the owner: %d", (int) letters);

    for (s = sockets; s < sockets + SOCKETS; s++) {
        wrong += s->group && !leave(s);
    }

    ok(wrong == 0 && complete(0), "and all is gone at the end");
}


/* To count them does not take a look at them: they may be anything. */

static void
untouched(void)
{
    ngx_uint_t        i;
    ngx_cometa_key_t  key;

    for (i = 0; i < SOCKETS; i++) {
        (void) join(&sockets[i], 5);
    }

    key = key_of(5);

    sockets[1000].group->sockets.next = NULL;

    ngx_cometa_ws_listeners(&key);

    ok(told == SOCKETS, "%d sockets are counted and not looked at",
       (int) told);

    counts[6] = 0;
    key = key_of(6);
    ngx_cometa_ws_listeners(&key);

    ok(told == 0 && told_to == 6, "and none of another device");
}


/* Those of an application are a group, whose device has no name. */

static void
channels(void)
{
    ngx_uint_t              before;
    ngx_queue_t             one, two, other;
    ngx_cometa_key_t        key;
    ngx_cometa_ws_group_t  *group;

    key = key_of(1);
    key.device.len = 0;
    before = letters;

    ok(ngx_cometa_ws_group_channels(1) == NULL, "there is no channel");

    group = ngx_cometa_ws_group_join(&key, 1, &one);
    ok(group && ngx_cometa_ws_group_join(&key, 1, &two) == group
       && group->n == 2 && ngx_cometa_ws_group_channels(1) == group,
       "two channels of an application are in one group");

    key.app.data = apps[0].name;
    ok(ngx_cometa_ws_group_join(&key, 0, &other) != group
       && ngx_cometa_ws_group_channels(0) != group
       && ngx_cometa_ws_group_channels(0) != NULL,
       "that of another one is in another, also with the same hash");
    ok(hears == 3 && letters == before,
       "each is counted as an interest, and no owner is told");

    ngx_cometa_ws_group_leave(group, &one);
    ngx_cometa_ws_group_free_empty(group);
    ok(ngx_cometa_ws_group_channels(1) == group, "one has gone");

    ngx_cometa_ws_group_leave(group, &two);
    ngx_cometa_ws_group_free_empty(group);
    ok(ngx_cometa_ws_group_channels(1) == NULL && hears == 1,
       "and the other one");

    group = ngx_cometa_ws_group_channels(0);
    ngx_cometa_ws_group_leave(group, &other);
    ngx_cometa_ws_group_free_empty(group);
    ok(ngx_cometa_ws_group_channels(0) == NULL && hears == 0, "none is left");
}


int
main(void)
{
    ngx_uint_t  i;

    ngx_cycle = &cycle;
    ngx_cometa_zone.apps = apps;
    ngx_cometa_zone.head = &head;

    memcpy(apps[0].name, "app0", 4);
    memcpy(apps[1].name, "app1", 4);

    for (i = 0; i < DEVICES; i++) {
        sprintf(names[i], "%d", (int) i);
    }

    srand(1);

    random_steps();
    untouched();
    channels();

    return done_testing();
}
