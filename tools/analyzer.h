/*
 * What clang's analyzer has to be told of nginx: `make check` includes this
 * file before each source that is analyzed, and nothing else does.
 *
 * The analyzer does not follow a doubly linked list: it believes that an
 * element is still at the head after ngx_queue_remove(), so every loop that
 * frees the elements of a queue is a "use after free" to it.  Here the head
 * comes from a function that the analyzer does not see, which may return
 * another element each time.
 */

#include <ngx_config.h>
#include <ngx_core.h>

ngx_queue_t *ngx_analyzed_queue_head(ngx_queue_t *queue);

#undef ngx_queue_head
#define ngx_queue_head(h)  ngx_analyzed_queue_head(h)
