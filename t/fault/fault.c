
/*
 * Preloaded into nginx: makes the n-th system call or allocation of a kind fail
 * in its workers. The test says which one in a file that all processes map: see
 * t/lib/Test/Nginx/Cometa/Fault.pm, which knows the layout.
 *
 * A worker counts when it waits for events, which it has done once before to
 * see what epoll can do: if its start fails, nginx gives it up, and has no
 * other.
 */

#define _GNU_SOURCE

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include <unwind.h>


#define FAULT_FDS     65536
#define FAULT_WHERE   2048

/* The "error" of a transfer that is cut short, and of one that loses ... */

#define FAULT_SHORT   -1
#define FAULT_LOST    -2    /* ... the descriptors in it */


/* The order is known to Fault.pm. */

typedef enum {
    FAULT_NONE,
    FAULT_MEMORY,
    FAULT_ACCEPT,
    FAULT_RECV,             /* TCP only, as FAULT_SEND */
    FAULT_SEND,
    FAULT_EPOLL,            /* what adds or changes */
    FAULT_WAKE,             /* a write to an eventfd */
    FAULT_TAKE,             /* what passes descriptors between workers */
    FAULT_PASS,
    FAULT_SOCKET,
    FAULT_KINDS
} fault_kind_e;


typedef struct {
    uint32_t             kind;              /* 0: all goes well */
    int32_t              error;
    uint64_t             first;             /* these fail, counted from 1 */
    uint64_t             last;
    uint64_t             calls;             /* of this kind, since the test */
    uint64_t             fired;             /* has begun; those that failed */
    char                 where[FAULT_WHERE];    /* the first of them */
} fault_t;


typedef struct {
    struct epoll_event   event;
    int                  epoll;             /* 0: not watched */
} fault_watched_t;


static struct {
    void              *(*malloc)(size_t);
    void              *(*calloc)(size_t, size_t);
    void              *(*realloc)(void *, size_t);
    int                (*posix_memalign)(void **, size_t, size_t);
    int                (*accept4)(int, struct sockaddr *, socklen_t *, int);
    ssize_t            (*recv)(int, void *, size_t, int);
    ssize_t            (*readv)(int, const struct iovec *, int);
    ssize_t            (*recvmsg)(int, struct msghdr *, int);
    ssize_t            (*send)(int, const void *, size_t, int);
    ssize_t            (*writev)(int, const struct iovec *, int);
    ssize_t            (*sendmsg)(int, const struct msghdr *, int);
    ssize_t            (*write)(int, const void *, size_t);
    int                (*socket)(int, int, int);
    int                (*close)(int);
    int                (*eventfd)(unsigned int, int);
    int                (*epoll_ctl)(int, int, int, struct epoll_event *);
    int                (*epoll_wait)(int, struct epoll_event *, int, int);
} real;

static fault_t          fault_none;
static fault_t         *fault = &fault_none;
static int              fault_counts;       /* this is a worker */
static int              fault_busy;         /* in the functions below */
static unsigned char    fault_eventfds[FAULT_FDS];
static fault_watched_t  fault_watched[FAULT_FDS];


#define FAULT_FIND(name)  *(void **) &real.name = dlsym(RTLD_NEXT, #name)
#define FAULT_NEED(name)  if (real.name == NULL) { FAULT_FIND(name); }


static void __attribute__((constructor))
fault_start(void)
{
    int          fd;
    void        *p;
    const char  *name;

    FAULT_FIND(malloc);
    FAULT_FIND(calloc);
    FAULT_FIND(realloc);
    FAULT_FIND(posix_memalign);
    FAULT_FIND(accept4);
    FAULT_FIND(recv);
    FAULT_FIND(readv);
    FAULT_FIND(recvmsg);
    FAULT_FIND(send);
    FAULT_FIND(writev);
    FAULT_FIND(sendmsg);
    FAULT_FIND(write);
    FAULT_FIND(socket);
    FAULT_FIND(close);
    FAULT_FIND(eventfd);
    FAULT_FIND(epoll_ctl);
    FAULT_FIND(epoll_wait);

    name = getenv("COMETA_FAULT");
    if (name == NULL) {
        return;
    }

    fd = open(name, O_RDWR|O_CLOEXEC);
    if (fd == -1) {
        perror(name);
        _exit(1);
    }

    p = mmap(NULL, sizeof(fault_t), PROT_READ|PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) {
        perror(name);
        _exit(1);
    }

    fault = p;
    (void) real.close(fd);
}


/* Adds one caller, as "file+offset symbol", to what is at *data. */

static _Unwind_Reason_Code
fault_frame(struct _Unwind_Context *context, void *data)
{
    int        n;
    char     **p, *address, *end;
    Dl_info    info;

    p = data;
    end = fault->where + FAULT_WHERE;
    address = (char *) _Unwind_GetIP(context) - 1;

    if (!dladdr(address, &info) || info.dli_fname == NULL) {
        return _URC_NO_REASON;
    }

    n = snprintf(*p, end - *p, "%s+%#lx %s\n", info.dli_fname,
                 (unsigned long) (address - (char *) info.dli_fbase),
                 info.dli_sname ? info.dli_sname : "?");

    if (n >= end - *p) {
        return _URC_END_OF_STACK;
    }

    *p += n;

    return _URC_NO_REASON;
}


/* Whether this call is to fail. */

static int
fault_hits(fault_kind_e kind)
{
    char      *where;
    uint64_t   n;

    if (!fault_counts || fault_busy
        || __atomic_load_n(&fault->kind, __ATOMIC_ACQUIRE) != kind)
    {
        return 0;
    }

    n = __atomic_add_fetch(&fault->calls, 1, __ATOMIC_SEQ_CST);

    if (n < fault->first || n > fault->last) {
        return 0;
    }

    if (__atomic_add_fetch(&fault->fired, 1, __ATOMIC_SEQ_CST) == 1) {
        where = fault->where;
        fault_busy = 1;
        (void) _Unwind_Backtrace(fault_frame, &where);
        fault_busy = 0;
    }

    errno = fault->error;

    return 1;
}


static int
fault_is(int fd, int domain, int type)
{
    int        d, t;
    socklen_t  len;

    len = sizeof(int);

    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &d, &len) == 0
           && getsockopt(fd, SOL_SOCKET, SO_TYPE, &t, &len) == 0
           && d == domain && t == type;
}


/*
 * The kernel says that a socket is ready when that changes, and nothing has
 * changed: it is told to say so again.
 */

static void
fault_again(int fd)
{
    int               error;
    fault_watched_t  *w;

    error = errno;
    w = &fault_watched[fd];

    if (w->epoll) {
        (void) real.epoll_ctl(w->epoll, EPOLL_CTL_MOD, fd, &w->event);
    }

    errno = error;
}


/*
 * Whether the transfer fails: 1, or 0 if it is as usual. One that is cut short
 * is done as usual, with `len` less than it was.
 */

static int
fault_transfer(fault_kind_e kind, int fd, size_t *len)
{
    if (__atomic_load_n(&fault->kind, __ATOMIC_ACQUIRE) != kind
        || !fault_is(fd, AF_INET, SOCK_STREAM) || !fault_hits(kind))
    {
        return 0;
    }

    fault_again(fd);

    if (fault->error != FAULT_SHORT) {
        return 1;
    }

    *len = (*len + 1) / 2;

    return 0;
}


void *
malloc(size_t size)
{
    FAULT_NEED(malloc);
    return fault_hits(FAULT_MEMORY) ? NULL : real.malloc(size);
}


void *
calloc(size_t n, size_t size)
{
    FAULT_NEED(calloc);
    return fault_hits(FAULT_MEMORY) ? NULL : real.calloc(n, size);
}


void *
realloc(void *p, size_t size)
{
    FAULT_NEED(realloc);
    return fault_hits(FAULT_MEMORY) ? NULL : real.realloc(p, size);
}


int
posix_memalign(void **p, size_t alignment, size_t size)
{
    FAULT_NEED(posix_memalign);
    return fault_hits(FAULT_MEMORY) ? fault->error
                                    : real.posix_memalign(p, alignment, size);
}


int
accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
    if (fault_hits(FAULT_ACCEPT)) {
        return -1;
    }

    return real.accept4(fd, addr, len, flags);
}


ssize_t
recv(int fd, void *data, size_t len, int flags)
{
    if (fault_transfer(FAULT_RECV, fd, &len)) {
        return -1;
    }

    return real.recv(fd, data, len, flags);
}


ssize_t
readv(int fd, const struct iovec *iov, int n)
{
    size_t        len;
    struct iovec  first;

    len = first.iov_len = n ? iov[0].iov_len : 0;

    if (fault_transfer(FAULT_RECV, fd, &len)) {
        return -1;
    }

    if (len == first.iov_len) {
        return real.readv(fd, iov, n);
    }

    first.iov_base = iov[0].iov_base;
    first.iov_len = len;

    return real.readv(fd, &first, 1);
}


ssize_t
send(int fd, const void *data, size_t len, int flags)
{
    if (fault_transfer(FAULT_SEND, fd, &len)) {
        return -1;
    }

    return real.send(fd, data, len, flags);
}


ssize_t
writev(int fd, const struct iovec *iov, int n)
{
    size_t        len;
    struct iovec  first;

    len = first.iov_len = n ? iov[0].iov_len : 0;

    if (fault_transfer(FAULT_SEND, fd, &len)) {
        return -1;
    }

    if (len == first.iov_len) {
        return real.writev(fd, iov, n);
    }

    first.iov_base = iov[0].iov_base;
    first.iov_len = len;

    return real.writev(fd, &first, 1);
}


ssize_t
write(int fd, const void *data, size_t len)
{
    FAULT_NEED(write);

    if (fd >= 0 && fd < FAULT_FDS && fault_eventfds[fd]
        && fault_hits(FAULT_WAKE))
    {
        return -1;
    }

    return real.write(fd, data, len);
}


ssize_t
sendmsg(int fd, const struct msghdr *msg, int flags)
{
    if (fault->kind == FAULT_PASS && fault_is(fd, AF_UNIX, SOCK_SEQPACKET)
        && fault_hits(FAULT_PASS))
    {
        return -1;
    }

    return real.sendmsg(fd, msg, flags);
}


/* The kernel has no room for the descriptors in the message. */

static void
fault_lose(struct msghdr *msg)
{
    int              *fd;
    size_t            i, n;
    struct cmsghdr   *cmsg;

    for (cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
        if (cmsg->cmsg_type != SCM_RIGHTS) {
            continue;
        }

        fd = (int *) CMSG_DATA(cmsg);
        n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        for (i = 0; i < n; i++) {
            (void) real.close(fd[i]);
        }
    }

    msg->msg_controllen = 0;
    msg->msg_flags |= MSG_CTRUNC;
}


ssize_t
recvmsg(int fd, struct msghdr *msg, int flags)
{
    int      hit;
    ssize_t  n;

    hit = fault->kind == FAULT_TAKE && fault_is(fd, AF_UNIX, SOCK_SEQPACKET);

    if (hit && fault->error != FAULT_LOST) {
        return fault_hits(FAULT_TAKE) ? -1 : real.recvmsg(fd, msg, flags);
    }

    n = real.recvmsg(fd, msg, flags);

    if (hit && n > 0 && fault_hits(FAULT_TAKE)) {
        fault_lose(msg);
    }

    return n;
}


int
socket(int domain, int type, int protocol)
{
    return fault_hits(FAULT_SOCKET) ? -1 : real.socket(domain, type, protocol);
}


int
eventfd(unsigned int value, int flags)
{
    int  fd;

    fd = real.eventfd(value, flags);

    if (fd >= 0 && fd < FAULT_FDS) {
        fault_eventfds[fd] = 1;
    }

    return fd;
}


int
close(int fd)
{
    FAULT_NEED(close);

    if (fd >= 0 && fd < FAULT_FDS) {
        fault_eventfds[fd] = 0;
        fault_watched[fd].epoll = 0;
    }

    return real.close(fd);
}


int
epoll_ctl(int epoll, int op, int fd, struct epoll_event *event)
{
    int  rc;

    if (op != EPOLL_CTL_DEL && fault_hits(FAULT_EPOLL)) {
        return -1;
    }

    rc = real.epoll_ctl(epoll, op, fd, event);

    if (rc == 0 && fd < FAULT_FDS) {
        fault_watched[fd].epoll = (op == EPOLL_CTL_DEL) ? 0 : epoll;

        if (op != EPOLL_CTL_DEL) {
            fault_watched[fd].event = *event;
        }
    }

    return rc;
}


int
epoll_wait(int epoll, struct epoll_event *events, int n, int timeout)
{
    static int  waits;

    if (waits++) {
        fault_counts = 1;
    }

    return real.epoll_wait(epoll, events, n, timeout);
}
