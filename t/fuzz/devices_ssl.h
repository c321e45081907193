/*
 * What the world of devices sees of OpenSSL, if nginx has it: no connection is
 * one over TLS.
 */

#ifndef DEVICES_SSL_H
#define DEVICES_SSL_H


#if (NGX_SSL)

ngx_int_t
ngx_ssl_shutdown(ngx_connection_t *c)
{
    return NGX_OK;
}


void
ngx_ssl_free_buffer(ngx_connection_t *c)
{
    /* void */
}


long
SSL_ctrl(SSL *ssl, int cmd, long larg, void *parg)
{
    return 0;
}

#endif


#endif /* DEVICES_SSL_H */
