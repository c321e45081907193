/*
 * The head of an HTTP/1.1 message, as much of it as the bench needs.
 */

#define _GNU_SOURCE
#include <string.h>
#include <strings.h>

#include "http.h"

#define MAX_HEAD  8192


/* the value of the header "name" in this line, or NULL */

static const char *
value_of(const char *line, const char *end, const char *name)
{
    size_t  n = strlen(name);

    if ((size_t) (end - line) < n || strncasecmp(line, name, n) != 0) {
        return NULL;
    }

    for (line += n; line < end && *line == ' '; line++) { /* void */ }

    return line;
}


static int
read_line(const char *line, const char *end, cometa_http_t *h)
{
    const char  *v;

    v = value_of(line, end, "Content-Length:");

    if (v) {
        if (v == end) {
            return -1;
        }

        for (h->length = 0; v < end; v++) {
            if (*v < '0' || *v > '9' || h->length > UINT32_MAX) {
                return -1;
            }

            h->length = h->length * 10 + (uint64_t) (*v - '0');
        }

        return 0;
    }

    v = value_of(line, end, "Transfer-Encoding:");

    if (v) {
        h->chunked = (end - v == 7 && strncasecmp(v, "chunked", 7) == 0);
        return h->chunked ? 0 : -1;
    }

    v = value_of(line, end, "Connection:");

    if (v && end - v == 5 && strncasecmp(v, "close", 5) == 0) {
        h->close = 1;
    }

    return 0;
}


static int
status_of(const char *p, size_t n)
{
    if (n < 12 || memcmp(p, "HTTP/1.1 ", 9) != 0) {
        return 0;
    }

    return (p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0');
}


int
cometa_http_head(const char *p, size_t n, cometa_http_t *h)
{
    const char  *line, *eol, *end;

    end = memmem(p, n, "\r\n\r\n", 4);

    if (end == NULL) {
        return n < MAX_HEAD ? 0 : -1;
    }

    memset(h, 0, sizeof(cometa_http_t));
    h->head = (size_t) (end + 4 - p);
    h->status = status_of(p, h->head);

    for (line = memchr(p, '\r', h->head); line < end; line = eol) {
        line += 2;
        eol = memchr(line, '\r', (size_t) (end + 1 - line));

        if (eol == NULL || read_line(line, eol, h) != 0) {
            return -1;
        }
    }

    return 1;
}
