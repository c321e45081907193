
/*
 * Checks whether the URI of a webhook leads to a location that can serve it.
 * All locations must be known by then.
 */

#include "ngx_cometa_conf.h"
#include "ngx_cometa_loc.h"
#include "ngx_cometa_webhook_types.h"


static ngx_uint_t ngx_cometa_webhook_served(ngx_conf_t *cf, void **loc_conf);
static ngx_http_core_loc_conf_t *ngx_cometa_webhook_location(
    ngx_http_core_loc_conf_t *clcf, ngx_str_t *uri);
static ngx_http_core_loc_conf_t *ngx_cometa_webhook_prefix(
    ngx_http_location_tree_node_t *node, ngx_str_t *uri, ngx_uint_t *exact);


ngx_int_t
ngx_cometa_webhook_check(ngx_conf_t *cf, ngx_cometa_webhook_conf_t *webhook)
{
    ngx_cometa_loc_conf_t     *lcf;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = webhook->ctx->loc_conf[ngx_http_core_module.ctx_index];
    clcf = ngx_cometa_webhook_location(clcf, &webhook->uri);

    if (clcf == NULL && ngx_cometa_webhook_served(cf, webhook->ctx->loc_conf))
    {
        return NGX_OK;
    }

    lcf = clcf ? clcf->loc_conf[ngx_http_cometa_module.ctx_index] : NULL;

    if (lcf && lcf->handlers == 0) {
        return NGX_OK;
    }

    /* a server without devices may have inherited it, and need no location */

    if (webhook->replies) {
        webhook->events = 0;
        return NGX_OK;
    }

    if (clcf == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"cometa_webhook %V\" leads to no location of its "
                           "server: add \"location = %V { internal; "
                           "proxy_pass ...; }\"", &webhook->name,
                           &webhook->uri);
        return NGX_ERROR;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "\"cometa_webhook %V\" leads to location \"%V\", "
                       "which serves devices or applications itself: add "
                       "\"location = %V { internal; proxy_pass ...; }\"",
                       &webhook->name, &clcf->name, &webhook->uri);

    return NGX_ERROR;
}


/*
 * Whether the server may answer by itself, or change the URI before a location
 * is chosen: by "rewrite", "return" and the like, or by "try_files". The first
 * word of the configuration of these modules says whether they do. It is not
 * part of their interface, but nothing else of it is used here.
 */

static ngx_uint_t
ngx_cometa_webhook_served(ngx_conf_t *cf, void **loc_conf)
{
    void                      **conf;
    ngx_uint_t                  i;
    ngx_module_t              **modules;
    ngx_http_core_loc_conf_t   *clcf;

    clcf = loc_conf[ngx_http_core_module.ctx_index];

    if (clcf->handler) {
        return 1;
    }

    modules = cf->cycle->modules;

    for (i = 0; modules[i]; i++) {

        if (ngx_strcmp(modules[i]->name, "ngx_http_rewrite_module") != 0
            && ngx_strcmp(modules[i]->name, "ngx_http_try_files_module") != 0)
        {
            continue;
        }

        conf = loc_conf[modules[i]->ctx_index];

        if (*conf) {
            return 1;
        }
    }

    return 0;
}


/* Finds it as ngx_http_core_find_location() does. NULL: there is none. */

static ngx_http_core_loc_conf_t *
ngx_cometa_webhook_location(ngx_http_core_loc_conf_t *clcf, ngx_str_t *uri)
{
    ngx_uint_t                  exact;
    ngx_http_core_loc_conf_t   *found, *nested;

    exact = 0;
    found = ngx_cometa_webhook_prefix(clcf->static_locations, uri, &exact);

    if (exact) {
        return found;
    }

    if (found) {
        nested = ngx_cometa_webhook_location(found, uri);

        if (nested) {
            return nested;
        }
    }

#if (NGX_PCRE)
    {
    ngx_http_core_loc_conf_t  **regex;

    if (clcf->regex_locations == NULL
        || (found && found->noregex))
    {
        return found;
    }

    for (regex = clcf->regex_locations; *regex; regex++) {

        if (ngx_regex_exec((*regex)->regex->regex, uri, NULL, 0) < 0) {
            continue;
        }

        nested = ngx_cometa_webhook_location(*regex, uri);

        return nested ? nested : *regex;
    }
    }
#endif

    return found;
}


/* Finds it as ngx_http_core_find_static_location() does. */

static ngx_http_core_loc_conf_t *
ngx_cometa_webhook_prefix(ngx_http_location_tree_node_t *node, ngx_str_t *uri,
    ngx_uint_t *exact)
{
    u_char                    *p;
    size_t                     len;
    ngx_int_t                  rc;
    ngx_http_core_loc_conf_t  *found;

    p = uri->data;
    len = uri->len;
    found = NULL;

    while (node) {

        rc = ngx_filename_cmp(p, node->name, ngx_min(len, (size_t) node->len));

        if (rc != 0) {
            node = (rc < 0) ? node->left : node->right;
            continue;
        }

        if (len < (size_t) node->len) {
            node = node->left;
            continue;
        }

        if (len == (size_t) node->len) {

            if (node->exact) {
                *exact = 1;
                return node->exact;
            }

            return node->inclusive;
        }

        if (node->inclusive) {
            found = node->inclusive;
            p += node->len;
            len -= node->len;
            node = node->tree;
            continue;
        }

        node = node->right;
    }

    return found;
}
