/*
 * The application's side of the library in JavaScript, against the nginx of a
 * test.  The devices are "dev1", which answers with the call itself, and "slow",
 * which never answers; "gone" is none.
 */

import assert from 'node:assert/strict';
import net from 'node:net';
import { once } from 'node:events';
import { test } from 'node:test';

import { Client } from '../../clients/js/index.js';

const { URL: server } = process.env;
const client = new Client(server, 'app1', 's3cret');


async function fails(promise) {
    try {
        return `no error: ${await promise}`;
    } catch (error) {
        return `${error.status} ${error.error}`;
    }
}


function check(name, act) {
    test(name, { timeout: 30000 }, act);
}


check('a call of text and of bytes', async () => {
    const bytes = Uint8Array.of(255, 0, 13, 10);

    assert.equal(await client.callText('dev1', 'h\u00e9llo'), 'h\u00e9llo');
    assert.deepEqual(await client.call('dev1', bytes), bytes);
});


check('the largest message', async () => {
    const message = 'x'.repeat(65536);

    assert.equal(await client.callText('dev1', message), message);
});


check('a hundred calls at a time', async () => {
    const calls = Array.from({ length: 100 }, (_, n) => `call ${n}`);

    assert.deepEqual(await Promise.all(
        calls.map((call) => client.callText('dev1', call))), calls);
});


check('errors have a status and a word', async () => {
    assert.equal(await fails(client.call('gone', 'x')), '404 device_offline');
    assert.equal(await fails(client.call('dev1', '')), '400 empty_message');
    assert.equal(await fails(client.call('no id!', 'x')),
        '400 invalid_device_id');
    assert.equal(await fails(client.call('dev1', 'x'.repeat(65537))),
        '413 message_too_large');
});


check('a call that is not answered', async () => {
    assert.equal(await fails(client.call('slow', 'x', { timeout: 1 })),
        '504 device_timeout');
    assert.equal(await fails(client.call('slow', 'x', { timeout: 0.1 })),
        '504 device_timeout');
});


check('a wrong secret', async () => {
    const other = new Client(server, 'app1', 'wrong');

    assert.equal(await fails(other.call('dev1', 'x')), '401 unauthorized');
});


check('no server', async () => {
    const other = new Client('http://127.0.0.1:1/v1', 'app1');

    assert.equal(await fails(other.call('dev1', 'x')), '0 unreachable');
});


check('something else than a server', async () => {
    const ssh = net.createServer((stream) => stream.end('SSH-2.0-x\r\n'));

    await once(ssh.listen(0, '127.0.0.1'), 'listening');

    const other = new Client(`http://127.0.0.1:${ssh.address().port}`, 'app1');

    assert.equal(await fails(other.call('dev1', 'x')), '0 unreachable');
    ssh.close();
});


check('a call that is aborted', async () => {
    const controller = new AbortController();
    const call = client.call('slow', 'x',
        { signal: controller.signal, timeout: 10 });

    setTimeout(() => controller.abort(new Error('enough')), 100);

    await assert.rejects(call, { message: 'enough' });
    await assert.rejects(client.call('dev1', 'x',
        { signal: controller.signal }), { message: 'enough' });
    assert.equal(await client.callText('dev1', 'still'), 'still');
});


check('a device and a list of them', async () => {
    const ids = [];

    for await (const device of client.devices({ page: 1 })) {
        ids.push(device);
    }

    assert.deepEqual(ids, ['dev1', 'slow']);
    assert.equal((await client.device('dev1')).device_id, 'dev1');
    assert.equal(await fails(client.device('gone')), '404 device_offline');
    assert.equal((await client.stats()).num_devices, '2');
});
