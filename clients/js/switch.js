/*
 * Switches a lamp on, and says what it has answered:
 *
 *     node switch.js http://127.0.0.1:8080/v1 demo demo-secret lamp-1
 */

import { Client, CometaError } from './index.js';

const [url, application, secret, lamp] = process.argv.slice(2);
const client = new Client(url, application, secret);

try {
    console.log((await client.callText(lamp, 'on', { timeout: 5, wait: 3 }))
        .trim());
} catch (error) {
    if (!(error instanceof CometaError)) {
        throw error;
    }

    console.log(`${lamp}: ${error.error}`);
}
