/*
 * A lamp.  It can be switched, and says so to whoever is interested:
 *
 *     node lamp.js http://127.0.0.1:8080/v1 demo lamp-1 [SECRET]
 */

import { Device } from './index.js';

const [url, application, name, secret] = process.argv.slice(2);
let lit = false;

const lamp = new Device(url, application, name, (message) => {
    if (message === 'on' || message === 'off') {
        lit = message === 'on';
        lamp.event(lit ? 'lit' : 'dark');
    }

    return `The lamp is ${lit ? 'on' : 'off'}.\n`;
}, {
    secret,
    info: 'a lamp, 9 W',
    text: true,
    attached: ({ heartbeat }) =>
        console.log(`attached, a heartbeat every ${heartbeat} s`),
    ended: (error, wait) =>
        console.log(`${error.message}; again in ${wait.toFixed(1)} s`)
});

await lamp.run();
