
/*
 * What becomes of calls whose owner moves or dies. All state is this process's
 * own.
 */

#include "ngx_cometa_call_owner.h"
#include "ngx_cometa.h"
#include "ngx_cometa_call.h"
#include "ngx_cometa_call_end.h"
#include "ngx_cometa_call_table.h"
#include "ngx_cometa_mail.h"
#include "ngx_cometa_mailbox.h"
#include "ngx_cometa_registry.h"
#include "ngx_cometa_slot.h"
#include "ngx_cometa_zone.h"


static void ngx_cometa_call_look(ngx_event_t *ev);
static void ngx_cometa_call_held_by(ngx_cometa_call_t *call,
    ngx_cometa_place_t *place);
static void ngx_cometa_call_lost(ngx_cometa_call_t *call);


ngx_int_t
ngx_cometa_call_start(ngx_cycle_t *cycle)
{
    ngx_cometa_call_end_start(cycle, ngx_cometa_call_look);

    return ngx_cometa_call_table_start(cycle);
}


/* Dead owners are noticed by their slots; see ngx_cometa_zone.h. */

static void
ngx_cometa_call_look(ngx_event_t *ev)
{
    ngx_cometa_call_deaths();
    ngx_cometa_call_hold_again();
}


void
ngx_cometa_call_follow(ngx_cometa_mail_follow_t *mail)
{
    ngx_cometa_call_t   *call;
    ngx_cometa_place_t   place;

    call = ngx_cometa_call_table_find(&mail->ref);

    if (call == NULL) {
        return;
    }

    place = call->place;
    place.slot = mail->slot;
    place.epoch = mail->epoch;
    place.handle = mail->head.handle;

    ngx_cometa_call_held_by(call, &place);
}


/* The device has moved with the written call; its new owner may be dead. */

static void
ngx_cometa_call_held_by(ngx_cometa_call_t *call, ngx_cometa_place_t *place)
{
    ngx_cometa_call_unlink(call);

    call->place = *place;
    call->state = NGX_COMETA_CALL_WRITTEN;

    ngx_cometa_call_trace(call, "goes with its device to another worker");

    if (!ngx_cometa_slot_alive(place->slot, place->epoch)) {
        ngx_cometa_call_lost(call);
        return;
    }

    ngx_cometa_call_hold(call);
}


void
ngx_cometa_call_deaths(void)
{
    ngx_queue_t  lost;

    ngx_queue_init(&lost);
    ngx_cometa_call_held_lost(&lost);

    if (ngx_queue_empty(&lost)) {
        return;
    }

    /* what their owners said last may still lie in the ring */

    ngx_cometa_mailbox_collect();

    while (!ngx_queue_empty(&lost)) {
        ngx_cometa_call_lost(ngx_queue_data(ngx_queue_head(&lost),
                                            ngx_cometa_call_t, link));
    }
}


static void
ngx_cometa_call_lost(ngx_cometa_call_t *call)
{
    ngx_uint_t           written;
    ngx_cometa_slot_t   *slot;
    ngx_cometa_place_t   place;

    slot = &ngx_cometa_zone.slots[call->place.slot];

    switch (call->state) {

    case NGX_COMETA_CALL_WAITS_TURN:
        written = 0;
        break;

    case NGX_COMETA_CALL_SENT:

        /* if its ring tells no more, it has to be taken for written */

        written = slot->last_epoch != call->place.epoch
                  || slot->last_begun > call->pos;
        break;

    default: /* NGX_COMETA_CALL_WRITTEN */
        written = 1;
    }

    ngx_cometa_call_trace(call, written ? "was written, its worker has died"
                                        : "was not, and its worker has died");

    if (written && !call->query) {

        /* a worker that leaves has handed its devices over before */

        if (ngx_cometa_call_find(call, &place) == NGX_OK
            && place.session == call->session
            && ngx_cometa_slot_alive(place.slot, place.epoch))
        {
            ngx_cometa_call_held_by(call, &place);
            return;
        }

        ngx_cometa_call_end(call, NGX_COMETA_WORKER_LOST, NULL, 0);
        return;
    }

    ngx_cometa_call_unlink(call);
    ngx_cometa_call_route(call);
}
