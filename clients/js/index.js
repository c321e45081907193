/*
 * Devices and applications of ngx_cometa_module, for Node.js and browsers.
 * What all this does is explained in index.d.ts.
 */

export { Channel } from './channel.js';
export { Client } from './client.js';
export { Device } from './device.js';
export { CometaError } from './errors.js';
