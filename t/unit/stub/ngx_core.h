/* For unit tests, in place of nginx's own. */

#include "../ngx_stub_mailbox.h"
