/*
 * Letters between processes: whatever is written arrives, each field and each
 * byte of the body, in the handler for its type and in no other one; what is
 * cut off or of no known type is ignored. The sender notes what it has said,
 * the reader what it has heard; a letter's struct is known to neither note.
 */

#include "mailbox_world.h"
#include "ngx_cometa_mail.c"
#include "ngx_cometa_mail_move.c"
#include "ngx_cometa_notice.c"


#define ROUNDS    4000
#define BURST     64            /* letters, until they are read */
#define BODY_MAX  300
#define NOTE_MAX  1024
#define FIELDS    16


/* A letter in words: numbers in the order in which they are spoken of. */

typedef struct {
    uint32_t  type;
    uint32_t  n;
    uint64_t  fields[FIELDS];
    uint32_t  len;
    u_char    body[BODY_MAX];
} note_t;

typedef struct {
    uint32_t  n;
    note_t    notes[NOTE_MAX];
} notes_t;


static notes_t     said;
static notes_t    *heard;                       /* in shared memory */
static uint32_t    seed = 20261127;


ngx_log_t *
ngx_cometa_trace_log(void)
{
    return ngx_cycle->log;
}


void
ngx_log_error_core(ngx_uint_t level, ngx_log_t *log, ngx_err_t err,
    const char *fmt, ...)
{
    (void) level;
    (void) log;
    (void) err;
    (void) fmt;
}


/* The same in each run. */

static uint64_t
random_bits(void)
{
    uint64_t    n;
    ngx_uint_t  i;

    for (n = 0, i = 0; i < 4; i++) {
        seed = seed * 1664525 + 1013904223;
        n = n << 16 | seed >> 16;
    }

    return n;
}


static uint32_t
random_below(uint32_t n)
{
    return random_bits() % n;
}


/* Notes */

static note_t *
note(notes_t *notes, ngx_uint_t type)
{
    note_t  *t;

    t = &notes->notes[notes->n++ % NOTE_MAX];

    memset(t, 0, sizeof(note_t));
    t->type = type;

    return t;
}


static void
note_number(note_t *t, uint64_t n)
{
    t->fields[t->n++] = n;
}


static void
note_body(note_t *t, void *data, size_t len)
{
    t->len = len;

    if (len) {
        memcpy(t->body, data, ngx_min(len, BODY_MAX));
    }
}


static void
note_device(note_t *t, uint32_t app, uint32_t handle, uint64_t session)
{
    note_number(t, app);
    note_number(t, handle);
    note_number(t, session);
}


static void
note_ref(note_t *t, ngx_cometa_ref_t *ref)
{
    note_number(t, ref->slot);
    note_number(t, ref->debug);
    note_number(t, ref->epoch);
    note_number(t, ref->index);
    note_number(t, ref->generation);
}


/* What is heard */

static note_t *
hear(ngx_cometa_mail_head_t *head, ngx_uint_t type)
{
    note_t  *t;

    t = note(heard, type);
    note_number(t, head->debug);
    note_device(t, head->app, head->handle, head->session);

    return t;
}


static void
hear_call(ngx_cometa_mail_call_t *mail, u_char *message, size_t len)
{
    note_t  *t;

    t = hear(&mail->head, NGX_COMETA_MAIL_CALL);
    note_ref(t, &mail->ref);
    note_number(t, mail->deadline);
    note_number(t, mail->time);
    note_number(t, mail->timeout);
    note_number(t, mail->queue);
    note_body(t, message, len);
}


static void
hear_query(ngx_cometa_mail_query_t *mail)
{
    note_ref(hear(&mail->head, NGX_COMETA_MAIL_QUERY), &mail->ref);
}


static void
hear_cancel(ngx_cometa_mail_cancel_t *mail)
{
    note_ref(hear(&mail->head, NGX_COMETA_MAIL_CANCEL), &mail->ref);
}


static void
hear_evict(ngx_cometa_mail_evict_t *mail, ngx_str_t *addr)
{
    note_t  *t;

    t = hear(&mail->head, NGX_COMETA_MAIL_EVICT);
    note_number(t, mail->wait);
    note_body(t, addr->data, addr->len);
}


static void
hear_listeners(ngx_cometa_mail_listeners_t *mail)
{
    note_t  *t;

    t = hear(&mail->head, NGX_COMETA_MAIL_LISTENERS);
    note_number(t, mail->slot);
    note_number(t, mail->epoch);
    note_number(t, mail->n);
}


static void
hear_reply(ngx_cometa_mail_reply_t *mail, u_char *data, size_t len)
{
    note_t  *t;

    t = hear(&mail->head, NGX_COMETA_MAIL_REPLY);
    note_ref(t, &mail->ref);
    note_number(t, mail->latency);
    note_body(t, data, len);
}


static void
hear_fail(ngx_cometa_mail_fail_t *mail)
{
    note_t  *t;

    t = hear(&mail->head, NGX_COMETA_MAIL_FAIL);
    note_ref(t, &mail->ref);
    note_number(t, mail->error);
}


static void
hear_queued(ngx_cometa_mail_queued_t *mail)
{
    note_ref(hear(&mail->head, NGX_COMETA_MAIL_QUEUED), &mail->ref);
}


static void
hear_written(ngx_cometa_mail_written_t *mail)
{
    note_ref(hear(&mail->head, NGX_COMETA_MAIL_WRITTEN), &mail->ref);
}


static void
hear_online(ngx_cometa_mail_online_t *mail, ngx_cometa_key_t *key)
{
    note_t  *t;

    t = hear(&mail->head, NGX_COMETA_MAIL_ONLINE);
    note_number(t, key->hash);
    note_number(t, key->app.len);
    note_number(t, key->device.len);
    note_body(t, key->app.data, key->app.len + key->device.len);
}


/* The texts are pieces of one body: see say_event(). */

static void
hear_event(ngx_cometa_mail_event_t *mail, ngx_cometa_notice_t *notice)
{
    note_t  *t;

    t = hear(&mail->head, NGX_COMETA_MAIL_EVENT);
    note_number(t, mail->hash);
    note_number(t, notice->time);
    note_number(t, notice->kind);
    note_number(t, notice->sequence);
    note_number(t, notice->device.len);
    note_number(t, notice->extra.len);
    note_number(t, notice->word.len);
    note_body(t, notice->device.data,
              notice->data.data + notice->data.len - notice->device.data);
}


static void
hear_arrival(ngx_cometa_mail_arrived_t *mail, ngx_uint_t type)
{
    note_t  *t;

    t = hear(&mail->head, type);
    note_number(t, mail->index);
    note_number(t, mail->slot);
    note_number(t, mail->epoch);
    note_number(t, mail->handle);
    note_number(t, mail->rc);
}


static void
hear_arrived(ngx_cometa_mail_arrived_t *mail)
{
    hear_arrival(mail, NGX_COMETA_MAIL_ARRIVED);
}


static void
hear_ws_arrived(ngx_cometa_mail_arrived_t *mail)
{
    hear_arrival(mail, NGX_COMETA_MAIL_WS_ARRIVED);
}


static void
hear_ws_tail(ngx_cometa_mail_ws_tail_t *mail, u_char *data, size_t len)
{
    note_t  *t;

    t = hear(&mail->head, NGX_COMETA_MAIL_WS_TAIL);
    note_number(t, mail->index);
    note_number(t, mail->end);
    note_body(t, data, len);
}


static void
hear_ws_late(ngx_cometa_mail_ws_late_t *mail, u_char *data, size_t len)
{
    note_t  *t;

    t = hear(&mail->head, NGX_COMETA_MAIL_WS_LATE);
    note_number(t, mail->slot);
    note_number(t, mail->epoch);
    note_body(t, data, len);
}


static void
hear_follow(ngx_cometa_mail_follow_t *mail)
{
    note_t  *t;

    t = hear(&mail->head, NGX_COMETA_MAIL_FOLLOW);
    note_ref(t, &mail->ref);
    note_number(t, mail->slot);
    note_number(t, mail->epoch);
}


static ngx_cometa_mail_handlers_t  ears = {
    hear_call, hear_query, hear_cancel, hear_evict, hear_listeners,
    hear_reply, hear_fail, hear_queued, hear_written, hear_online, hear_event,
    hear_arrived, hear_ws_arrived, hear_ws_tail, hear_ws_late, hear_follow
};


/* What is said: at random, of any type. */

static note_t *
say_to_owner(ngx_uint_t type, ngx_uint_t debug, ngx_cometa_place_t *to)
{
    note_t  *t;

    t = note(&said, type);
    note_number(t, debug);
    note_device(t, (uint16_t) to->app, to->handle, to->session);

    return t;
}


static note_t *
say_to_origin(ngx_uint_t type, ngx_uint_t debug, ngx_cometa_mail_head_t *from)
{
    note_t  *t;

    t = note(&said, type);
    note_number(t, debug);
    note_device(t, from->app, from->handle, from->session);

    return t;
}


static void
say_owner(ngx_uint_t type, ngx_cometa_place_t *to, ngx_cometa_ref_t *ref,
    ngx_str_t *body)
{
    note_t                  *t;
    uint32_t                 n;
    uint64_t                 pos;
    ngx_cometa_mail_call_t   call;

    n = random_bits();

    switch (type) {

    case NGX_COMETA_MAIL_CALL:
        memset(&call, 0xa5, sizeof(call));
        call.ref = *ref;
        call.deadline = random_bits();
        call.time = random_bits();
        call.timeout = random_bits();
        call.queue = random_bits();

        t = say_to_owner(type, ref->debug, to);
        note_ref(t, ref);
        note_number(t, call.deadline);
        note_number(t, call.time);
        note_number(t, call.timeout);
        note_number(t, call.queue);
        note_body(t, body->data, body->len);
        (void) ngx_cometa_mail_call(to, &call, body, &pos);
        return;

    case NGX_COMETA_MAIL_QUERY:
        note_ref(say_to_owner(type, ref->debug, to), ref);
        (void) ngx_cometa_mail_query(to, ref, 0, &pos);
        return;

    case NGX_COMETA_MAIL_CANCEL:
        note_ref(say_to_owner(type, ref->debug, to), ref);
        ngx_cometa_mail_cancel(to, ref);
        return;

    case NGX_COMETA_MAIL_EVICT:
        t = say_to_owner(type, 0, to);
        note_number(t, n);
        note_body(t, body->data, body->len);
        ngx_cometa_mail_evict(to, n, body);
        return;

    default: /* NGX_COMETA_MAIL_LISTENERS */
        t = say_to_owner(type, 0, to);
        note_number(t, ngx_cometa_zone.slot);
        note_number(t, ngx_cometa_zone.epoch);
        note_number(t, n);
        ngx_cometa_mail_listeners(to, n);
    }
}


static void say_event(note_t *t, uint64_t hash, ngx_cometa_mail_head_t *from,
    ngx_str_t *body);


static void
say_origin(ngx_uint_t type, ngx_cometa_mail_head_t *from,
    ngx_cometa_ref_t *ref, ngx_str_t *body)
{
    note_t            *t;
    uint64_t           n;
    ngx_cometa_key_t   key;

    n = random_bits();

    if (type < NGX_COMETA_MAIL_ONLINE) {
        t = say_to_origin(type, ref->debug, from);
        note_ref(t, ref);

    } else {
        t = say_to_origin(type, 0, from);
        note_number(t, n);
    }

    switch (type) {

    case NGX_COMETA_MAIL_REPLY:
        note_number(t, n);
        note_body(t, body->data, body->len);
        ngx_cometa_mail_reply(ref, from, n, body->data, body->len);
        return;

    case NGX_COMETA_MAIL_FAIL:
        note_number(t, (uint32_t) n);
        ngx_cometa_mail_fail(ref, from, (uint32_t) n);
        return;

    case NGX_COMETA_MAIL_QUEUED:
        ngx_cometa_mail_queued(ref, from);
        return;

    case NGX_COMETA_MAIL_WRITTEN:
        (void) ngx_cometa_mail_written(ref, from);
        return;

    case NGX_COMETA_MAIL_ONLINE:
        key.hash = n;
        key.app.data = body->data;
        key.app.len = 1 + random_below(NGX_COMETA_ID_MAX);
        key.device.data = body->data + key.app.len;
        key.device.len = 1 + random_below(NGX_COMETA_ID_MAX);

        note_number(t, key.app.len);
        note_number(t, key.device.len);
        note_body(t, body->data, key.app.len + key.device.len);
        ngx_cometa_mail_online(&key, from);
        return;

    default: /* NGX_COMETA_MAIL_EVENT */
        say_event(t, n, from, body);
    }
}


/* The body is cut into its four texts. */

static void
say_event(note_t *t, uint64_t hash, ngx_cometa_mail_head_t *from,
    ngx_str_t *body)
{
    ngx_cometa_notice_t  notice;

    notice.kind = random_below(256);
    notice.sequence = random_bits();
    notice.device.data = body->data;
    notice.device.len = random_below(ngx_min(body->len, NGX_COMETA_ID_MAX)
                                     + 1);
    notice.extra.data = body->data + notice.device.len;
    notice.extra.len = random_below(ngx_min(body->len - notice.device.len,
                                            NGX_COMETA_EXTRA_MAX) + 1);
    notice.word.data = notice.extra.data + notice.extra.len;
    notice.word.len = random_below(ngx_min((size_t) (body->data + body->len
                                                     - notice.word.data),
                                           NGX_COMETA_WORD_MAX) + 1);
    notice.data.data = notice.word.data + notice.word.len;
    notice.data.len = body->data + body->len - notice.data.data;

    note_number(t, 1000 * (uint64_t) ngx_cached_time->sec
                   + ngx_cached_time->msec);
    note_number(t, notice.kind);
    note_number(t, notice.sequence);
    note_number(t, notice.device.len);
    note_number(t, notice.extra.len);
    note_number(t, notice.word.len);
    note_body(t, body->data, body->len);

    ngx_cometa_mail_event(hash, from, &notice);
}


/* From the worker that a connection moves to or from. */

static void
say_move(ngx_uint_t type, uint32_t slot, ngx_cometa_mail_head_t *from,
    ngx_str_t *body)
{
    note_t                     *t;
    uint32_t                    epoch;
    ngx_cometa_mail_ws_tail_t   tail;
    ngx_cometa_mail_ws_late_t   late;
    ngx_cometa_mail_arrived_t   mail;

    epoch = world->slots[slot].epoch;
    t = say_to_origin(type, from->debug, from);

    if (type == NGX_COMETA_MAIL_WS_LATE) {
        late.head = *from;
        late.slot = random_bits();
        late.epoch = random_bits();

        note_number(t, late.slot);
        note_number(t, late.epoch);
        note_body(t, body->data, body->len);
        ngx_cometa_mail_ws_late(slot, epoch, &late, body->data, body->len);
        return;
    }

    if (type == NGX_COMETA_MAIL_WS_TAIL) {
        tail.head = *from;
        tail.index = random_bits();
        tail.end = random_bits();

        note_number(t, tail.index);
        note_number(t, tail.end);
        note_body(t, body->data, body->len);
        ngx_cometa_mail_ws_tail(slot, epoch, &tail, body->data, body->len);
        return;
    }

    mail.head = *from;
    mail.index = random_bits();
    mail.slot = random_bits();
    mail.epoch = random_bits();
    mail.handle = random_bits();
    mail.rc = random_bits();
    mail.unused = 0;

    note_number(t, mail.index);
    note_number(t, mail.slot);
    note_number(t, mail.epoch);
    note_number(t, mail.handle);
    note_number(t, mail.rc);

    ngx_cometa_mail_arrived(slot, epoch, type, &mail);
}


/* What `to` names is where the device is now, not who gets the letter. */

static void
say_follow(ngx_cometa_ref_t *ref, ngx_cometa_place_t *to)
{
    note_t  *t;

    to->slot = random_bits();
    to->epoch = random_bits();

    t = say_to_owner(NGX_COMETA_MAIL_FOLLOW, ref->debug, to);
    note_ref(t, ref);
    note_number(t, to->slot);
    note_number(t, to->epoch);
    ngx_cometa_mail_follow(ref, to);
}


static void
say_any(uint32_t slot)
{
    u_char                   bytes[BODY_MAX];
    ngx_str_t                body;
    ngx_uint_t               i, type;
    ngx_cometa_ref_t         ref;
    ngx_cometa_place_t       to;
    ngx_cometa_mail_head_t   from;

    type = random_below(NGX_COMETA_MAIL_TYPES);

    for (i = 0; i < BODY_MAX; i++) {
        bytes[i] = random_bits();
    }

    body.data = bytes;
    body.len = random_below(4) ? random_below(BODY_MAX) : 0;

    to.slot = slot;
    to.epoch = world->slots[slot].epoch;
    to.handle = random_bits();
    to.app = random_below(65536);
    to.session = random_bits();

    memset(&from, 0xa5, sizeof(from));
    from.debug = random_below(2);
    from.app = random_below(WORLD_APPS);
    from.handle = random_bits();
    from.session = random_bits();

    ref.slot = slot;
    ref.debug = random_below(2);
    ref.epoch = world->slots[slot].epoch;
    ref.index = random_bits();
    ref.generation = random_bits();

    if (type <= NGX_COMETA_MAIL_LISTENERS) {
        say_owner(type, &to, &ref, &body);
        return;
    }

    if (type == NGX_COMETA_MAIL_FOLLOW) {
        say_follow(&ref, &to);
        return;
    }

    if (type >= NGX_COMETA_MAIL_ARRIVED) {
        say_move(type, slot, &from, &body);
        return;
    }

    say_origin(type, &from, &ref, &body);
}


/* Any bytes that are no whole letter. */

static void
say_nonsense(uint32_t slot)
{
    u_char              bytes[sizeof(ngx_cometa_mail_t) + 8];
    ngx_uint_t          i, type;
    ngx_cometa_post_t   post;

    for (i = 0; i < sizeof(bytes); i++) {
        bytes[i] = random_bits();
    }

    post.class = NGX_COMETA_CLASS_ANSWER;
    post.app = 0;
    post.head = bytes;
    post.body = NULL;
    post.body_len = 0;

    type = random_below(NGX_COMETA_MAIL_TYPES + 1);

    if (type == NGX_COMETA_MAIL_TYPES) {
        bytes[0] = type + random_below(256 - type);
        post.head_len = random_below(sizeof(bytes));

    } else {
        bytes[0] = type;
        post.head_len = random_below(ngx_cometa_mail_types[type].len);

        /* a name that is longer than what is there */

        if (type == NGX_COMETA_MAIL_ONLINE && random_below(2)) {
            post.head_len = sizeof(ngx_cometa_mail_online_t) + 7;
            bytes[offsetof(ngx_cometa_mail_online_t, app_len)] = 8;
        }

        if (type == NGX_COMETA_MAIL_EVENT && random_below(2)) {
            post.head_len = sizeof(ngx_cometa_mail_event_t) + 7;
            bytes[offsetof(ngx_cometa_mail_event_t, texts.name)] = 3;
            bytes[offsetof(ngx_cometa_mail_event_t, texts.extra)] = 3;
            bytes[offsetof(ngx_cometa_mail_event_t, texts.word)] = 2;
        }
    }

    ngx_cometa_mailbox_tell(slot, world->slots[slot].epoch, &post);
}


/* The processes: one reads when it is told to. */

static void
serve(int fd)
{
    char  c;

    while (read(fd, &c, 1) == 1) {
        while (world_turn()) { /* void */ }

        if (write(fd, &c, 1) != 1) {
            return;
        }
    }
}


static void
collect(int fd)
{
    char  c;

    c = 0;

    if (write(fd, &c, 1) != 1 || read(fd, &c, 1) != 1) {
        world_fail("reader");
    }
}


static void
join(void)
{
    ngx_cometa_mail_handlers = ears;

    ngx_pid = getpid();

    if (ngx_cometa_slot_claim(&world->head, NULL) != NGX_OK
        || ngx_cometa_interest_start(&world_cycle) != NGX_OK
        || ngx_cometa_mailbox_open(&world_cycle, ngx_cometa_mail_deliver,
                                   world_deaths, NULL)
           != NGX_OK)
    {
        world_fail("no slot");
    }
}


/* Whether all that was said since the last time has been heard, in order. */

static int
same(void)
{
    uint32_t  i;

    if (said.n != heard->n) {
        diag("%u letters were heard of %u", heard->n, said.n);
        return 0;
    }

    for (i = 0; i < said.n; i++) {
        if (memcmp(&said.notes[i], &heard->notes[i], sizeof(note_t)) != 0) {
            diag("a letter of type %u arrived as another one",
                 said.notes[i].type);
            return 0;
        }
    }

    return 1;
}


static int
burst(uint32_t slot, int fd, uint32_t *types)
{
    uint32_t  i;

    said.n = 0;
    heard->n = 0;

    for (i = 0; i < BURST; i++) {
        if (random_below(8) == 0) {
            say_nonsense(slot);
            continue;
        }

        say_any(slot);
        types[said.notes[said.n - 1].type]++;
    }

    collect(fd);

    return same();
}


static pid_t
reader(int *fd)
{
    int    fds[2];
    pid_t  pid;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) == -1) {
        world_fail("socketpair");
    }

    pid = world_fork();

    if (pid == 0) {
        close(fds[1]);
        join();
        serve(fds[0]);
        _exit(0);
    }

    close(fds[0]);
    *fd = fds[1];

    return pid;
}


int
main(void)
{
    int         fd, good;
    pid_t       pid;
    uint32_t    i, k, types[NGX_COMETA_MAIL_TYPES];
    ngx_log_t   log;

    memset(&log, 0, sizeof(log));
    memset(types, 0, sizeof(types));

    world_cycle.log = &log;
    world_make(65536);

    heard = mmap(NULL, sizeof(notes_t), PROT_READ|PROT_WRITE,
                 MAP_SHARED|MAP_ANONYMOUS, -1, 0);
    if (heard == MAP_FAILED) {
        world_fail("mmap");
    }

    pid = reader(&fd);
    collect(fd);

    join();

    /* the other one wants to hear of all devices */

    memset(world->interests, 0, sizeof(world->interests));

    for (i = 0; i < NGX_COMETA_ROWS; i++) {
        world->interests[i] = 1;
    }

    good = (ngx_cometa_zone.slot == 1);

    for (i = 0; i < ROUNDS && good; i++) {
        good = burst(0, fd, types);
    }

    ok(good, "%u letters arrive as they were sent, nonsense does not",
       i * BURST);

    for (k = 0; k < NGX_COMETA_MAIL_TYPES && types[k] > 1000; k++) {
        /* void */
    }

    ok(k == NGX_COMETA_MAIL_TYPES, "letters of all types were among them");

    /* to oneself, without a ring */

    heard->n = 0;
    said.n = 0;

    for (i = 0; i < NGX_COMETA_ROWS; i++) {
        world->interests[i] = 2;
    }

    for (i = 0; i < 500; i++) {
        say_any(1);
    }

    ok(same(), "letters to oneself arrive at once");

    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);

    return done_testing();
}
