/*
 * Timers: a hashed wheel of intrusive lists.
 */

#include "util.h"
#include "wheel.h"


static void
insert(cometa_timer_t *head, cometa_timer_t *t)
{
    t->prev = head->prev;
    t->next = head;
    head->prev->next = t;
    head->prev = t;
}


static uint32_t
ticks_since_start(cometa_wheel_t *w)
{
    return (uint32_t) ((cometa_now() - w->start)
                       / (COMETA_WHEEL_TICK * 1000000ull));
}


void
cometa_wheel_init(cometa_wheel_t *w)
{
    unsigned  i;

    for (i = 0; i < COMETA_WHEEL_SLOTS; i++) {
        w->slots[i].prev = w->slots[i].next = &w->slots[i];
    }

    w->start = cometa_now();
    w->tick = 0;
}


void
cometa_wheel_set(cometa_wheel_t *w, cometa_timer_t *t, uint64_t ms)
{
    cometa_wheel_unset(t);

    /* one tick more than asked: a timer may be late but never early */

    t->due = ticks_since_start(w) + (uint32_t) (ms / COMETA_WHEEL_TICK) + 1;

    if (t->due <= w->tick) {
        t->due = w->tick + 1;
    }

    insert(&w->slots[t->due % COMETA_WHEEL_SLOTS], t);
}


void
cometa_wheel_unset(cometa_timer_t *t)
{
    if (t->prev == NULL) {
        return;
    }

    t->prev->next = t->next;
    t->next->prev = t->prev;
    t->prev = t->next = NULL;
}


static void
run_slot(cometa_wheel_t *w, cometa_timer_t *head,
    void (*fire)(cometa_timer_t *t))
{
    cometa_timer_t  todo, *t;

    if (head->next == head) {
        return;
    }

    /*
     * The list is moved aside first: what fires may set or unset any timer,
     * those of this slot included.
     */

    todo = *head;
    todo.next->prev = todo.prev->next = &todo;
    head->prev = head->next = head;

    while (todo.next != &todo) {
        t = todo.next;
        cometa_wheel_unset(t);

        if (t->due > w->tick) {
            insert(head, t);        /* a later turn of the wheel */
            continue;
        }

        fire(t);
    }
}


void
cometa_wheel_run(cometa_wheel_t *w, void (*fire)(cometa_timer_t *t))
{
    uint32_t  now = ticks_since_start(w);

    while (w->tick < now) {
        w->tick++;
        run_slot(w, &w->slots[w->tick % COMETA_WHEEL_SLOTS], fire);
    }
}
