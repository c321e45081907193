/*
 * The application's side of the library in JavaScript, against the nginx of a
 * test.  The devices are "dev1", which answers with the call itself, "slow",
 * which never answers, and "lamp", which obeys as device.c does; "gone" is not
 * there.
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


async function all(items) {
    const found = [];

    for await (const item of items) {
        found.push(item);
    }

    return found;
}


async function next(channel) {
    return (await channel.next()).value;
}


async function with_channels(options, act) {
    const channels = await Promise.all(options.map((o) => client.channel(o)));

    try {
        await act(...channels);
    } finally {
        channels.forEach((channel) => channel.close());
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
    assert.deepEqual(await all(client.devices({ page: 1 })),
        ['dev1', 'lamp', 'slow']);
    assert.deepEqual(await all(client.devices({ page: 1, prefix: 'l' })),
        ['lamp']);
    assert.deepEqual((await all(client.devices({ page: 2, detail: true })))
        .map((device) => device.device_id), ['dev1', 'lamp', 'slow']);
    assert.equal((await client.device('dev1')).device_id, 'dev1');
    assert.equal(await fails(client.device('gone')), '404 device_offline');
    assert.equal((await client.stats()).num_devices, '3');
});


check('calls over a channel', () => with_channels([{ events: [] }],
    async (channel) => {
        const bytes = Uint8Array.of(255, 0);
        const calls = Array.from({ length: 100 }, (_, n) => `6 call ${n}`);

        assert.equal(await channel.callText('dev1', '\u00e9'), '\u00e9');
        assert.deepEqual(await channel.call('dev1', bytes), bytes);
        assert.equal(await fails(channel.call('gone', 'x')),
            '404 device_offline');
        assert.equal(await fails(channel.call('dev1', '')),
            '400 empty_message');
        assert.equal(await fails(channel.call('slow', 'x', { timeout: 0.1 })),
            '504 device_timeout');
        await assert.rejects(channel.call('slow', 'x',
            { signal: AbortSignal.timeout(100) }), { name: 'TimeoutError' });

        assert.deepEqual(
            await Promise.all(calls.map((call, n) =>
                channel.callText(n % 2 ? 'dev1' : 'lamp', call))),
            calls.map((call, n) => n % 2 ? call : '6 call'));
    }));


check('a reply that comes later than others', () => with_channels(
    [{ events: [] }], async (channel) => {
        const order = [];

        await Promise.all(['late x', 'soon'].map(async (message, n) => {
            await channel.call(n ? 'dev1' : 'lamp', message);
            order.push(message);
        }));

        assert.deepEqual(order, ['soon', 'late x']);
    }));


check('events over a channel', () => with_channels(
    [{ events: ['data'] }, { prefix: 'dev' }, { device: 'lamp' }],
    async (channel, other, lamp) => {
        for (let n = 0; n < 3; n++) {
            await channel.call('lamp', `event pressed ${n}`);
        }

        for (let n = 0; n < 3; n++) {
            for (const socket of [channel, lamp]) {
                const event = await next(socket);

                assert.equal(event.kind, 'data');
                assert.equal(event.device, 'lamp');
                assert.equal(event.text, `pressed ${n}`);
                assert.ok(event.seq > n);
            }
        }

        const last = other.next();

        assert.equal(await lamp.callText('lamp', '3 x'), '3 x');
        other.close();
        assert.equal((await last).done, true);
    }));


check('presence, and the end of a connection', () => with_channels(
    [{ events: ['attach', 'detach'] }], async (channel) => {
        const session = await client.detach('lamp');
        const gone = await next(channel);
        const back = await next(channel);

        assert.deepEqual(
            [gone.kind, gone.device, gone.session, gone.reason],
            ['detach', 'lamp', session, 'kicked']);
        assert.deepEqual([back.kind, back.device, back.info.slice(0, 8)],
            ['attach', 'lamp', 'a device']);
        assert.notEqual(back.session, session);
        assert.equal(await fails(client.detach('lamp', { session })),
            '404 device_offline');
    }));


check('a call whose reply is an event', () => with_channels(
    [{ events: ['reply'] }], async (channel) => {
        const call = await client.send('lamp', '5 x');
        const event = await next(channel);

        assert.deepEqual([event.kind, event.device, event.call, event.text],
            ['reply', 'lamp', call, '5 x5 ']);
        assert.equal(event.error, undefined);
        assert.equal(await fails(client.send('gone', 'x')),
            '404 device_offline');
    }));


check('a channel that is closed', () => with_channels([{}],
    async (channel) => {
        const call = fails(channel.call('slow', 'x'));

        channel.close();

        assert.equal(await call, '0 closed');
        assert.equal(await fails(channel.call('dev1', 'x')), '0 closed');
        assert.deepEqual(await all(channel), []);
    }));


check('a channel whose events nobody takes', () => with_channels([{ room: 1 }],
    async (channel) => {
        await client.call('lamp', 'event 1');
        await client.call('lamp', 'event 2');

        while (await fails(channel.call('dev1', 'x')) !== '0 overflow') {
            /* the second event is on its way */
        }

        assert.equal((await next(channel)).text, '1');
        assert.equal(await fails(channel.next()), '0 overflow');
    }));
