
/*
 * What the files of a device share: the connection's end of it is in
 * ngx_cometa_device_io.c, its life in ngx_cometa_device.c, what the log says
 * of it in ngx_cometa_device_log.c. For nobody else.
 */

#ifndef _NGX_COMETA_DEVICE_IO_H_INCLUDED_
#define _NGX_COMETA_DEVICE_IO_H_INCLUDED_


#include "ngx_cometa_device.h"


struct ngx_cometa_input_s {
    ngx_queue_t                link;        /* in conf->partial */
    ngx_cometa_device_t       *device;
    uint32_t                   begun;       /* ms */
    uint32_t                   len;
    uint32_t                   size;
    u_char                    *data;
};


struct ngx_cometa_output_s {
    uint32_t                   pos;
    uint32_t                   len;
    u_char                     data[1];
};


/* In ngx_cometa_device_io.c */

void ngx_cometa_device_read_handler(ngx_event_t *rev);
void ngx_cometa_device_write_handler(ngx_event_t *wev);

/* A turn: reads on behind these bytes, which came with the attach. */
void ngx_cometa_device_read(ngx_cometa_device_t *dev, u_char *data,
    size_t len);

void ngx_cometa_device_drop_input(ngx_cometa_device_t *dev);


/* In ngx_cometa_device_log.c */

void ngx_cometa_device_log_attached(ngx_cometa_device_t *dev);
void ngx_cometa_device_log_detached(ngx_cometa_device_t *dev,
    ngx_uint_t reason);


/* In ngx_cometa_device.c */

void ngx_cometa_device_touch(ngx_cometa_device_t *dev);
void ngx_cometa_device_arm(ngx_cometa_device_conf_t *conf);
void ngx_cometa_device_finish(ngx_cometa_device_t *dev);
void ngx_cometa_device_log(ngx_cometa_device_t *dev);


#endif /* _NGX_COMETA_DEVICE_IO_H_INCLUDED_ */
