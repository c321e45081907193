/*
 * A usual WebSocket client, the package "ws", talks to the device "dev1".
 * What the device does is in ws_client.t.
 */

'use strict';

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { after, test } = require('node:test');
const WebSocket = require('ws');

const SERVER = process.env.SERVER;
const TIMEOUT = 30000;
const MESSAGE_MAX = 65536;

const sockets = [];

/* Node does not end while one is open. */

after(() => {
    for (const socket of sockets) {
        socket.on('error', () => {});
        socket.terminate();
    }
});


async function get_key(device) {
    const uri = `http://${SERVER}/v1/applications/app1/devices/${device}`
        + '/websocket';
    const answer = await fetch(uri,
        { headers: { Authorization: 'OAuth s3cret' } });

    assert.equal(answer.status, 200);

    return (await answer.json()).device_key;
}


function socket_of(device, key, options) {
    const socket = new WebSocket(
        `ws://${SERVER}/v1/websockets/${device}/${key}`, options);

    sockets.push(socket);

    return socket;
}


/* Messages are kept from the start: none may come before it is waited for. */

async function open(device = 'dev1') {
    const socket = socket_of(device, await get_key(device));

    socket.got = [];
    socket.on('message', (data, binary) => {
        socket.got.push(binary ? data : data.toString());
        socket.emit('got');
    });

    await once(socket, 'open');

    return socket;
}


async function next(socket) {
    if (socket.got.length === 0) {
        await once(socket, 'got');
    }

    return socket.got.shift();
}


async function call(socket, message) {
    socket.send(message);
    return next(socket);
}


async function closed(socket) {
    const [code] = await once(socket, 'close');
    return code;
}


/* The status and the error of a handshake that is refused. */

async function refused(device, key) {
    const socket = socket_of(device, key);
    const [, answer] = await once(socket, 'unexpected-response');
    const chunks = await answer.toArray();

    return [answer.statusCode, JSON.parse(Buffer.concat(chunks)).error];
}


/* Nothing waits for ever. */

function without_socket(name, act) {
    test(name, { timeout: TIMEOUT }, act);
}


function with_socket(name, act) {
    without_socket(name, async () => act(await open()));
}


with_socket('a text call has a text reply', async (socket) => {
    assert.equal(await call(socket, 'h\u00e9llo \u{1f600}'),
        'h\u00e9llo \u{1f600}');
});


with_socket('a binary call has a binary reply', async (socket) => {
    const message = Buffer.from([0, 255, 10, 13, 128]);

    assert.deepEqual(await call(socket, message), message);
});


with_socket('a binary call has a binary reply that is text', async (socket) => {
    assert.deepEqual(await call(socket, Buffer.from('text')),
        Buffer.from('text'));
});


with_socket('a text call, a reply that is no text', async (socket) => {
    assert.deepEqual(await call(socket, 'bytes'), Buffer.from([255, 254]));
});


with_socket('the largest message', async (socket) => {
    const message = 'x'.repeat(MESSAGE_MAX);

    assert.equal(await call(socket, message), message);
});


with_socket('an empty message is an error', async (socket) => {
    assert.equal(await call(socket, ''),
        '{"msg":"400 Bad Request","error":"empty_message"}');
});


with_socket('100 calls outstanding', async (socket) => {
    const calls = Array.from({ length: 100 },
        (_, n) => n % 2 ? `call ${n}` : Buffer.from(`call ${n}`));
    const replies = [];

    for (const message of calls) {
        socket.send(message);
    }

    while (replies.length < calls.length) {
        replies.push(await next(socket));
    }

    assert.deepEqual(replies, calls);
});


with_socket('100 calls outstanding that fail and do not', async (socket) => {
    const replies = [];

    for (let n = 0; n < 100; n++) {
        socket.send(n % 2 ? `call ${n}` : '');
    }

    while (replies.length < 100) {
        replies.push(await next(socket));
    }

    assert.deepEqual(replies, replies.map((_, n) => n % 2 ? `call ${n}`
        : '{"msg":"400 Bad Request","error":"empty_message"}'));
});


with_socket('a reply goes to its own socket', async (socket) => {
    const other = await open();

    assert.equal(await call(socket, 'mine'), 'mine');
    assert.equal(await call(other, 'yours'), 'yours');
    assert.deepEqual([socket.got, other.got], [[], []]);
});


with_socket('events go to all sockets, in order', async (socket) => {
    const other = await open();

    assert.equal(await call(socket, 'events 50'), 'events 50');

    for (let n = 1; n <= 50; n++) {
        assert.equal(await next(socket), `event ${n}`);
        assert.equal(await next(other), `event ${n}`);
    }
});


with_socket('an event that is no text', async (socket) => {
    assert.equal(await call(socket, 'binary event'), 'binary event');
    assert.deepEqual(await next(socket), Buffer.from([255, 0, 1]));
});


with_socket('an empty event', async (socket) => {
    assert.equal(await call(socket, 'empty event'), 'empty event');
    assert.equal(await next(socket), '');
});


with_socket('a message in fragments, a ping between them', async (socket) => {
    const pong = once(socket, 'pong');

    socket.send('one ', { fin: false });
    socket.send('two ', { fin: false });
    socket.ping('between');

    assert.equal((await pong)[0].toString(), 'between');

    socket.send('three', { fin: true });

    assert.equal(await next(socket), 'one two three');
});


with_socket('a ping has its pong', async (socket) => {
    const data = Buffer.alloc(125, 'p');
    const pong = once(socket, 'pong');

    socket.ping(data);

    assert.deepEqual((await pong)[0], data);
});


with_socket('the server pings, and stays where it is heard', async (socket) => {
    await once(socket, 'ping');
    await once(socket, 'ping');

    assert.equal(await call(socket, 'still here'), 'still here');
});


for (const code of [1000, 1001, 3000, 4999]) {
    with_socket(`the close code ${code} is answered`, async (socket) => {
        socket.close(code, 'a reason');
        assert.equal(await closed(socket), code);
    });
}


with_socket('a close without a code', async (socket) => {
    socket.close();
    assert.equal(await closed(socket), 1000);
});


with_socket('a close while a reply is outstanding', async (socket) => {
    socket.send('slow');
    socket.close(1000);
    assert.equal(await closed(socket), 1000);
});


with_socket('a message too large: 1009', async (socket) => {
    socket.send('x'.repeat(MESSAGE_MAX + 1));
    assert.equal(await closed(socket), 1009);
});


with_socket('text that is no UTF-8: 1007', async (socket) => {
    socket.send(Buffer.from([0x61, 0xc0, 0x80]), { binary: false });
    assert.equal(await closed(socket), 1007);
});


with_socket('a frame without a mask: 1002', async (socket) => {
    socket.send('bare', { mask: false });
    assert.equal(await closed(socket), 1002);
});


without_socket('permessage-deflate is not negotiated', async () => {
    let offer;

    const socket = socket_of('dev1', await get_key('dev1'), {
        finishRequest(request) {
            offer = request.getHeader('Sec-WebSocket-Extensions');
            request.end();
        }
    });

    await once(socket, 'open');
    assert.match(offer, /permessage-deflate/);
    assert.equal(socket.extensions, '');
});


without_socket('a key works once', async () => {
    const key = await get_key('dev1');
    const socket = socket_of('dev1', key);

    await once(socket, 'open');
    assert.deepEqual(await refused('dev1', key), [403, 'invalid_key']);
});


without_socket('a key is for its device', async () => {
    assert.deepEqual(await refused('dev1', await get_key('gone')),
        [403, 'invalid_key']);
});


without_socket('a device that is offline', async () => {
    assert.deepEqual(await refused('gone', await get_key('gone')),
        [404, 'device_offline']);
});


without_socket('a device that leaves', async () => {
    const socket = await open('leaver');

    assert.equal(await call(socket, 'leave'),
        '{"msg":"502 Bad Gateway","error":"device_disconnected"}');
    assert.equal(await call(socket, 'anyone?'),
        '{"msg":"404 Not Found","error":"device_offline"}');
});
