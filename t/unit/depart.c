/*
 * Offers of devices: what becomes of one whose answer is lost, comes late, or
 * comes from a worker that has died since.
 */

#pragma GCC diagnostic ignored "-Wunused-parameter"

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#undef ngx_add_timer
#undef ngx_del_timer

#define ngx_add_timer(ev, ms)  ((ev)->timer.key = (ms), (ev)->timer_set = 1)
#define ngx_del_timer(ev)      ((ev)->timer_set = 0)

#include "ngx_cometa_depart.c"
#include "tap.h"


static ngx_log_t                 process;
static ngx_cycle_t               cycle = { .log = &process };
volatile ngx_cycle_t            *ngx_cycle = &cycle;
volatile ngx_msec_t              ngx_current_msec = 5000;
ngx_cometa_zone_t                ngx_cometa_zone = { .slot = 0, .epoch = 3 };
ngx_cometa_device_handlers_t     ngx_cometa_device_handlers;

static ngx_cometa_head_t         head = { .apps = 1, .slots = 4 };
static ngx_cometa_slot_t         slots[4];
static ngx_cometa_gauges_t       gauges[4];
static ngx_cometa_device_conf_t  conf = { .id = 100 };
static ngx_connection_t          connection;
static ngx_cometa_device_t       device;

static uint32_t                  dead = NGX_COMETA_NONE;    /* a slot */
static ngx_cometa_place_t        record;        /* session 0: none */
static int                       taken;         /* others count it */
static int                       door;          /* how many it takes */
static uint32_t                  parcels[16];   /* their indices */
static int                       nparcels;
static const char               *became;        /* of the device */
static uint32_t                  went;          /* to this slot */


void
ngx_log_error_core(ngx_uint_t level, ngx_log_t *log, ngx_err_t err,
    const char *fmt, ...)
{
    /* void */
}


void *
ngx_pcalloc(ngx_pool_t *pool, size_t size)
{
    static u_char  memory[65536];
    static size_t  used;

    used += ngx_align(size, 16);

    return memory + used - ngx_align(size, 16);
}


ngx_uint_t
ngx_cometa_slot_alive(uint32_t slot, uint32_t epoch)
{
    return slot != dead;
}


ngx_int_t
ngx_cometa_registry_where(uint32_t rec, uint64_t session,
    ngx_cometa_place_t *place)
{
    *place = record;

    return (record.session == session) ? NGX_OK : NGX_DECLINED;
}


ngx_uint_t
ngx_cometa_registry_held(uint32_t rec, uint64_t session)
{
    return record.session == session && record.slot == 0;
}


ngx_int_t
ngx_cometa_stats_taken(uint32_t app, uint32_t slot, uint32_t epoch, int n)
{
    if (taken == 0) {
        return NGX_DECLINED;
    }

    taken += n;

    return NGX_OK;
}


u_char *
ngx_cometa_parcel_pack(ngx_cometa_device_t *dev,
    ngx_cometa_device_parcel_t *parcel, size_t *len)
{
    *len = sizeof(ngx_cometa_device_parcel_t);

    return (u_char *) parcel;
}


ngx_int_t
ngx_cometa_fdpass_offer(uint32_t slot, uint32_t epoch, ngx_connection_t *c,
    u_char *data, size_t len)
{
    if (door == 0) {
        return NGX_AGAIN;
    }

    door--;
    parcels[nparcels++] = ((ngx_cometa_device_parcel_t *) data)->index;

    return NGX_OK;
}


ngx_int_t
ngx_cometa_fdpass_heir(uint32_t *also, uint32_t *slot, uint32_t *epoch)
{
    *slot = (dead == 1) ? 2 : 1;
    *epoch = 7;

    return NGX_OK;
}


ngx_uint_t
ngx_cometa_fdpass_complete(void)
{
    return 1;
}


void
ngx_cometa_fdpass_left(ngx_connection_t *c)
{
    /* void */
}


ngx_cometa_device_t *
ngx_cometa_device_next(ngx_uint_t *place)
{
    *place = 0;

    return &device;
}


ngx_cometa_device_t *
ngx_cometa_device_get(uint32_t handle, uint64_t session)
{
    return (device.used && device.state.session == session) ? &device : NULL;
}


ngx_uint_t
ngx_cometa_device_count(void)
{
    return device.used;
}


void
ngx_cometa_device_continue(ngx_cometa_device_t *dev)
{
    became = "here";
}


void
ngx_cometa_device_forget(ngx_cometa_device_t *dev)
{
    dev->used = 0;
}


void
ngx_cometa_device_close(ngx_cometa_device_t *dev, ngx_uint_t reason)
{
    became = "closed";
    dev->used = 0;
}


void
ngx_cometa_device_log(ngx_cometa_device_t *dev)
{
    /* void */
}


void
ngx_cometa_device_time_leave(ngx_cometa_device_t *dev)
{
    /* void */
}


void
ngx_cometa_queue_pause(ngx_cometa_device_t *dev,
    ngx_cometa_queue_state_t *state)
{
    /* void */
}


void
ngx_cometa_queue_resume(ngx_cometa_device_t *dev)
{
    dev->away = 0;
}


void
ngx_cometa_queue_left(ngx_cometa_device_t *dev, ngx_cometa_place_t *to)
{
    became = "gone";
    went = to->slot;
}


void
ngx_cometa_queue_closed(ngx_cometa_device_t *dev, ngx_uint_t reason)
{
    became = "lost";
}


ngx_uint_t
ngx_cometa_lane_exists(ngx_cometa_webhook_conf_t *wh, uint64_t hash)
{
    return 0;
}


static int  gave_up;
static int  takes_answers;


ngx_int_t
ngx_cometa_request_give_up(ngx_cometa_device_t *dev)
{
    gave_up++;

    return takes_answers ? NGX_OK : NGX_AGAIN;
}


/* A device of this worker, which is offered to slot 1. */

static void
offer(void)
{
    memset(&device, 0, sizeof(device));
    memset(&record, 0, sizeof(record));

    device.used = 1;
    device.conf = &conf;
    device.connection = &connection;
    device.state.session = 77;
    connection.log = &process;

    record.session = 77;
    record.epoch = 3;

    gauges[0].devices = 1;
    taken = 0;
    door = 1;
    nparcels = 0;
    became = "away";
    went = 0;
    dead = NGX_COMETA_NONE;

    (void) ngx_cometa_depart_step();

    if (nparcels != 1 || !device.away || !ngx_cometa_depart_silence.timer_set) {
        printf("Bail out! no offer\n");
        exit(1);
    }
}


static void
silence(void)
{
    ngx_current_msec += NGX_COMETA_DEPART_SILENCE;
    ngx_cometa_depart_silence.timer_set = 0;
    ngx_cometa_depart_timer(&ngx_cometa_depart_silence);
}


/* Another worker has it: what that does to shared memory. */

static void
takes(uint32_t slot)
{
    record.slot = slot;
    record.epoch = 7;
    record.handle = 5;
    taken = 1;
}


static void
answers(int parcel, ngx_uint_t rc)
{
    ngx_cometa_mail_arrived_t  mail;

    memset(&mail, 0, sizeof(mail));
    mail.head.session = 77;
    mail.index = parcels[parcel];
    mail.slot = 1;
    mail.epoch = 7;
    mail.handle = 5;
    mail.rc = rc;

    ngx_cometa_depart_arrived(&mail);
}


static int
is(const char *expected)
{
    if (strcmp(became, expected) != 0) {
        diag("it is %s", became);
        return 0;
    }

    return strcmp(expected, "away") == 0 ? ngx_cometa_offers_n == 1
                                         : ngx_cometa_offers_n == 0;
}


static void
test_answered(void)
{
    offer();
    takes(1);
    answers(0, NGX_COMETA_ARRIVED);
    ok(is("gone") && went == 1 && gauges[0].devices == 0 && taken == 0,
       "taken");

    offer();
    answers(0, NGX_COMETA_ARRIVE_LATER);
    ok(is("here") && !device.away && gauges[0].devices == 1, "refused");

    silence();
    ok(!ngx_cometa_depart_silence.timer_set, "then no timer is set");
}


static void
test_lost(void)
{
    offer();
    takes(1);
    silence();
    ok(is("gone") && went == 1, "taken, and the answer is lost");

    offer();
    takes(2);
    silence();
    ok(is("gone") && went == 2, "and it has moved on since");

    offer();
    record.session = 78;
    silence();
    ok(is("closed") && !device.used, "it has attached anew elsewhere");

    offer();
    device.used = 0;
    silence();
    ok(ngx_cometa_offers_n == 0, "it was closed meanwhile");

    offer();
    silence();
    ok(is("away") && nparcels == 1 && ngx_cometa_depart_silence.timer_set,
       "its record is here, and the door full: later");

    door = 2;
    silence();
    ok(is("away") && nparcels == 2 && parcels[1] != parcels[0],
       "it is offered once more, and not taken back");

    answers(0, NGX_COMETA_ARRIVE_LATER);
    ok(is("away"), "a refusal of the first parcel is not the last word");

    answers(1, NGX_COMETA_ARRIVE_LATER);
    ok(is("here"), "that of the last one is");

    offer();
    door = 1;
    silence();
    takes(1);
    answers(1, NGX_COMETA_ARRIVE_LATER);
    ok(is("gone") && went == 1,
       "the first was taken, its answer lost, and the second refused");
}


static void
test_dead(void)
{
    offer();
    dead = 1;
    ngx_cometa_depart_deaths();
    ok(is("here"), "the addressee dies before it has taken it");

    parcels[15] = parcels[0];
    door = 1;
    (void) ngx_cometa_depart_step();
    answers(15, NGX_COMETA_ARRIVE_LATER);
    ok(ngx_cometa_offers_n == 1 && device.away,
       "its answer, read later, says nothing about another offer");

    answers(1, NGX_COMETA_ARRIVE_LATER);

    offer();
    takes(1);
    dead = 1;
    ngx_cometa_depart_deaths();
    ok(is("lost") && !device.used, "it dies after that: so the device is lost");
}


/* A device that has asked something waits for the answer, but not for ever. */

static void
test_asks(void)
{
    ngx_cometa_asked_t  asked;

    offer();
    answers(0, NGX_COMETA_ARRIVE_LATER);

    memset(&asked, 0, sizeof(asked));
    asked.questions = (void *) &asked;
    device.asked = &asked;

    ok(!ngx_cometa_depart_can(&device) && gave_up == 0,
       "a device that asks does not move");
    ngx_current_msec += NGX_COMETA_DEPART_EVENTS;
    takes_answers = 0;
    ok(!ngx_cometa_depart_can(&device) && gave_up == 1,
       "after a while all fails, and it has to take that");
    takes_answers = 1;
    ok(ngx_cometa_depart_can(&device) && gave_up == 2, "then it can");

    device.asked = NULL;
}


int
main(void)
{
    ngx_cometa_zone.head = &head;
    ngx_cometa_zone.slots = slots;
    ngx_cometa_zone.gauges = gauges;

    if (ngx_cometa_depart_start(&cycle) != NGX_OK) {
        return 1;
    }

    test_answered();
    test_lost();
    test_dead();
    test_asks();

    return done_testing();
}
