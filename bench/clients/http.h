/*
 * The head of an HTTP/1.1 message, as much of it as the bench needs.
 */

#ifndef COMETA_BENCH_HTTP_H
#define COMETA_BENCH_HTTP_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    int       status;           /* of a response; 0 for a request */
    size_t    head;             /* bytes up to and with the empty line */
    uint64_t  length;           /* Content-Length, 0 if there is none */
    unsigned  chunked:1;
    unsigned  close:1;          /* "Connection: close" */
} cometa_http_t;

/* 1: the head is complete, 0: more bytes are needed, -1: not HTTP/1.1 */
int cometa_http_head(const char *p, size_t n, cometa_http_t *h);

#endif
