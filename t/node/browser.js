/*
 * The console page in headless Chromium.  What the devices do is in
 * browser/websocket.t.
 */

'use strict';

const assert = require('node:assert/strict');
const { after, before, test } = require('node:test');
const { chromium } = require('playwright-core');
const { faults } = require('./axe.js');
const { faint } = require('./contrast.js');
const { Device } = require('./traffic.js');

const { SERVER, CHROMIUM, CONTROL, SCREENSHOT } = process.env;
const TIMEOUT = 10000;
const TOOK = /(^|· )(< 100 µs|[1-9]00 µs|\d+(\.\d)? ms)$/;
const FLAGS = [
    '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update',
    '--disable-sync'
];

let browser;
let page;
let complaints;     /* of the page: none is wanted */
let guests;         /* devices that stay as long as a test */


before(async () => {
    browser = await chromium.launch({
        executablePath: CHROMIUM, args: FLAGS, chromiumSandbox: false
    });
}, { timeout: 20000 });

after(() => browser?.close());


/* Each test has a page of its own. */

function check(name, act, { prepare, ...options } = {}) {
    test(name, { timeout: 12 * TIMEOUT }, async () => {
        const context = await browser.newContext(options);

        complaints = [];
        guests = [];
        page = await context.newPage();
        page.setDefaultTimeout(TIMEOUT);
        page.on('pageerror', (error) => complaints.push(String(error)));
        page.on('console', (line) => {
            if (line.type() === 'error') {
                complaints.push(line.text());
            }
        });

        try {
            await prepare?.();
            await page.goto(`http://${SERVER}/console/`);
            await act();
        } finally {
            guests.forEach((guest) => guest.leave());
            await context.close();
        }
    });
}


async function attach(id, info = '', application = 'demo') {
    const guest = await Device.attach(SERVER, id, info, echo, application);

    guests.push(guest);
    return guest;
}


async function list(secret = 'demo-secret', application = 'demo') {
    await page.getByLabel('Application').fill(application);
    await page.getByLabel('Secret').fill(secret);
    await page.getByRole('button', { name: 'List devices' }).click();
}


/* Waits for the channel, without which nothing can be sent. */

async function choose(id) {
    await text('#channel', 'Live');
    await page.locator('#devices button')
        .filter({ has: page.getByText(id, { exact: true }) }).click();
    await text('#state', /^attached$/);
}


async function say(message, form = 'text') {
    await page.getByRole('radio', { name: form }).check();
    await page.getByRole('textbox', { name: 'Message' }).fill(message);
    await page.keyboard.press('Enter');
}


async function text(selector, wanted) {
    await page.locator(selector).filter({ hasText: wanted }).waitFor();
}


/* Waits for the nth line of the log: its kind, its text and what is beside. */

async function line(n, kind, wanted, beside) {
    const item = page.locator('#log li').nth(n);

    await item.waitFor();
    assert.equal(await item.getAttribute('class'), kind);
    assert.equal(await item.locator('pre').textContent(), wanted);
    assert.match(await item.locator('small').textContent(), beside);
}


/* The latency of the nth reply. */

async function milliseconds(n) {
    const note = await page.locator('#log .reply small').nth(n).textContent();

    return parseFloat(note) / (/µs$/.test(note) ? 1000 : 1);
}


function ids() {
    return page.locator('#devices b').allTextContents();
}


/* Asks again until it holds. */

async function until(holds, time = TIMEOUT) {
    const end = Date.now() + time;

    while (!await holds()) {
        assert.ok(Date.now() < end, `not in time: ${holds}`);
        await new Promise((resolve) => { setTimeout(resolve, 50); });
    }
}


function echo(message) {
    return message;
}


/* What a browser itself says of a request that failed is no complaint. */

function silent() {
    assert.deepEqual(complaints.filter((text) =>
        !/Failed to load resource|WebSocket connection to/.test(text)), []);
}


check('the devices of an application', async () => {
    await list();
    await text('#count', '(3)');
    await until(async () => (await ids()).join() === 'door-3,lamp-1,meter-7');
    assert.ok(await page.locator('#empty').isHidden());
    assert.ok(await page.locator('#pages').isHidden());

    await page.getByLabel('The id begins with').fill('me');
    await text('#count', '(1)');
    await until(async () => (await ids()).join() === 'meter-7');

    await page.getByLabel('The id begins with').fill('mx');
    await text('#none', 'No attached device has an id that begins with mx.');
    assert.ok(await page.locator('#empty').isHidden());
    silent();
});


check('text, its reply and the latency', async () => {
    await list();
    await choose('lamp-1');
    await text('#details', 'lamp, 9 W');
    await text('#details', '127.0.0.1:');

    await say('status');
    await line(0, 'sent', 'status', /^$/);
    await line(1, 'reply', '{"on":true,"level":80}', TOOK);
    assert.equal(await page.locator('#waiting').textContent(), '');
    await text('#details', /[1-9]\d* messages to it, [1-9]\d* from it/);
    silent();
});


check('the latency is that of the device', async () => {
    await list();
    await choose('lamp-1');
    await say('slow');
    await text('#waiting', 'waiting for a reply to 1');
    await line(1, 'reply', 'at last', /^\d{3,} ms$/);

    assert.ok(await milliseconds(0) >= 300);
});


check('calls that do not wait for each other', async () => {
    await list();
    await choose('meter-7');

    const messages = ['slow', 'two', 'three'];
    const replies = ['at last', 'two', 'three'];

    /*
     * The latency of the first is its own, not that of a later call. The last
     * one may be late as well, on a machine that stands still between them:
     * once is proof enough.
     */

    let longer = false;

    for (let n = 0; n < 5 && !longer; n++) {
        for (const message of messages) {
            await say(message);
        }

        await page.locator('#log li').nth(6 * n + 5).waitFor();
        assert.deepEqual(
            (await page.locator('#log .reply pre').allTextContents())
                .slice(3 * n), replies);

        assert.ok(await milliseconds(3 * n) >= 300);
        longer = await milliseconds(3 * n) > await milliseconds(3 * n + 2);
    }

    assert.ok(longer);
});


check('hex', async () => {
    await list();
    await choose('lamp-1');
    await say('00 ff:1A', 'hex');
    await line(0, 'sent', '00 ff 1a', /^3 bytes, hex$/);
    await line(1, 'reply', '00 ff 1a', /^3 bytes, hex · .*[µm]s$/);

    await say('0', 'hex');
    await text('#talk-error', 'Hex is pairs of digits');
    assert.equal(await page.locator('#log li').count(), 2);
});


check('events', async () => {
    await list();
    await choose('lamp-1');
    await say('ring');
    await line(1, 'reply', 'ringing', TOOK);
    await line(2, 'event', 'button pressed', /^no\. \d+$/);
    await line(3, 'event', 'ff 00', /^2 bytes, hex · no\. \d+$/);
    await text('#devices [aria-pressed=true] small', 'ff 00');
});


check('what a device says is no markup', async () => {
    await list();
    await choose('lamp-1');
    await say('<img src=x onerror=alert(1)>');
    await line(1, 'reply', '<img src=x onerror=alert(1)>', TOOK);
    assert.equal(await page.locator('#log img').count(), 0);
    silent();
});


check('a wrong secret', async () => {
    await list('wrong');
    await text('#login-error', 'Unknown application, or wrong secret.');
    assert.ok(await page.locator('#list').isHidden());
    silent();

    await list();
    await text('#count', '(3)');
    assert.equal(await page.locator('#login-error').textContent(), '');
});


check('a secret that is not ASCII, and an unknown application', async () => {
    await list('gehe\u00edm \u{1f511}', 'nobody');
    await text('#login-error', 'Unknown application, or wrong secret.');
    silent();
});


check('another device', async () => {
    await list();
    await choose('lamp-1');
    await say('slow');
    await text('#waiting', 'waiting for a reply to 1');

    /* the reply is not for the log of another one */

    await choose('meter-7');
    assert.equal(await page.locator('#log li').count(), 0);
    assert.equal(await page.locator('#waiting').textContent(), '');
    await say('slow');
    await line(1, 'reply', 'at last', TOOK);
    assert.equal(await page.locator('#log li').count(), 2);
});


/* Without the requests: only the channel tells. */

check('a device attaches, says something, and leaves', async () => {
    await list();
    await choose('lamp-1');
    await page.route('**/devices?**', (route) => route.abort());
    await page.route('**/devices/guest-1', (route) => route.abort());

    const guest = await attach('guest-1', 'a guest');
    const item = page.locator('#devices li')
        .filter({ has: page.getByText('guest-1', { exact: true }) });

    await until(async () => (await ids()).includes('guest-1'));
    assert.deepEqual(await ids(), ['door-3', 'guest-1', 'lamp-1', 'meter-7']);
    await text('#count', '(4)');
    assert.equal(await item.locator('small').textContent(), 'a guest');

    guest.event('hello');
    await item.getByText(/^\d.* hello$/).waitFor();

    await item.getByRole('button').click();
    await text('#device', 'guest-1');
    guest.leave();
    await item.getByText('left: detached').waitFor();
    await line(0, 'detach', 'detached', /^$/);
    await text('#state', 'not attached');
    await text('#count', '(3)');

    /* a while later it is no longer shown */

    await until(async () => !(await ids()).includes('guest-1'), 3 * TIMEOUT);
    silent();
});


check('a page of devices, and the next', async () => {
    await list();
    await choose('lamp-1');

    for (let n = 100; n < 210; n++) {
        await attach(`m${n}`);
    }

    /* the list is full: who comes behind its end is counted only */

    await text('#count', '(113)');
    assert.equal((await ids()).length, 100);
    assert.equal((await ids())[99], 'm197');

    await page.getByRole('button', { name: 'Next' }).click();
    await text('#page', 'Page 2');
    await until(async () => (await ids()).length === 13);
    assert.equal((await ids())[0], 'm198');
    assert.equal((await ids())[12], 'meter-7');
    assert.ok(await page.locator('#next').isDisabled());

    await page.getByRole('button', { name: 'Previous' }).click();
    await until(async () => (await ids())[0] === 'door-3');

    guests.forEach((guest) => guest.leave());
    await text('#count', '(3)');
    await until(async () => (await ids()).join() === 'door-3,lamp-1,meter-7',
        3 * TIMEOUT);
    assert.ok(await page.locator('#pages').isHidden());
});


check('an application without devices', async () => {
    await list('empty-secret', 'empty');
    await text('#empty', 'No device yet. Paste this line');
    assert.equal(await page.locator('#line').textContent(),
        'curl -sN -T . -X POST '
        + `http://${SERVER}/v1/applications/empty/devices/lamp-1`);
    assert.deepEqual(await faults(page), []);
    await text('#channel', 'Live');

    const first = await attach('lamp-1', '', 'empty');

    await until(async () => (await ids()).join() === 'lamp-1');
    assert.ok(await page.locator('#empty').isHidden());
    first.leave();
    await page.locator('#empty').waitFor({ timeout: 2 * TIMEOUT });
});


check('the end of a connection', async () => {
    let answer;
    let asked = 0;

    page.on('dialog', (dialog) => {
        asked++;
        assert.match(dialog.message(), /^End the connection of guest-2\?/);
        return dialog[answer]();
    });

    await attach('guest-2');

    await list();
    await choose('guest-2');

    answer = 'dismiss';
    await page.getByRole('button', { name: 'Disconnect it' }).click();
    assert.equal(asked, 1);
    await say('still here');
    await line(1, 'reply', 'still here', TOOK);

    /* it comes back by itself */

    answer = 'accept';
    await page.getByRole('button', { name: 'Disconnect it' }).click();
    await line(2, 'detach', 'kicked', /^$/);
    await line(3, 'attach', 'attached', /^127\.0\.0\.1:\d+$/);
    await text('#state', /^attached$/);
    assert.equal(asked, 2);
    silent();
});


/* Answers to OPTIONS, and to DELETE where they do not tell. */

function optionsOf(answer) {
    return async () => {
        await page.route('**/devices/*', (route) =>
            route.request().method() === 'OPTIONS' ? route.fulfill(answer)
            : route.request().method() === 'DELETE'
                ? route.fulfill({ status: 405, json: {
                    msg: '405 Not Allowed', error: 'not_allowed' } })
            : route.continue());
    };
}

check('a server that does not end connections', async () => {
    await list();
    await choose('lamp-1');
    await say('one');
    await line(1, 'reply', 'one', TOOK);
    assert.ok(await page.locator('#kick').isHidden());
}, { prepare: optionsOf({ status: 405, headers: { Allow: 'GET, HEAD' } }) });

check('a server that does not say whether it does', async () => {
    page.on('dialog', (dialog) => dialog.accept());

    await list();
    await choose('lamp-1');
    await page.getByRole('button', { name: 'Disconnect it' }).click();
    await text('#talk-error', 'not_allowed');
    assert.ok(await page.locator('#kick').isHidden());
}, { prepare: optionsOf({ status: 204 }) });


check('a server without channels', async () => {
    await list();
    await text('#channel', 'the server has no location with cometa_channel');
    await until(async () => (await ids()).length === 3);
    await page.locator('#devices button').first().click();
    await text('#details', 'door');
    assert.ok(await page.locator('#send').isDisabled());
    assert.deepEqual(await faults(page), []);
}, { prepare: () => page.route('**/channel', (route) =>
    route.fulfill({ status: 404, body: 'Not Found' })) });


/* The channel as the test wants it: what the page sends is kept in "asked". */

let asked;
let channels;

async function fakeChannel() {
    asked = [];
    channels = [];

    await page.routeWebSocket(/\/v1\/channels\//, (socket) => {
        channels.push(socket);
        socket.onMessage((text) => asked.push(JSON.parse(text)));
    });
}

const WORDS = {
    device_timeout: 'The device did not reply in time.',
    device_offline: 'The device is not attached.',
    device_busy: 'Too many calls wait for the device.',
    device_disconnected: 'The device left before it replied.',
    device_taken_over: 'The device attached anew before it replied.',
    worker_lost: 'The server lost the device before it replied.',
    message_too_large: 'The message is larger than the server allows.',
    overloaded: 'The server is overloaded.',
    something_new: 'something_new (something_new).'
};

check('errors are told apart', async () => {
    await list();
    await choose('lamp-1');

    for (const [n, [error, words]] of Object.entries(WORDS).entries()) {
        await say('hello');
        await until(() => asked.length === n + 1);
        assert.equal(asked[n].device, 'lamp-1');
        assert.equal(asked[n].message, 'hello');
        channels[0].send(JSON.stringify(
            { call: asked[n].call, device: 'lamp-1', error }));
        await line(2 * n + 1, 'error', words,
            new RegExp(`^${error} · .*[mµ]s$`));
    }

    channels[0].send('{"error":"bad_request","detail":"no \\"call\\""}');
    await text('#talk-error', 'no "call" (bad_request).');
}, { prepare: fakeChannel });


check('replies in another order than the calls', async () => {
    await list();
    await choose('lamp-1');
    await say('one');
    await say('two');
    await say('three');
    await until(() => asked.length === 3);

    for (const { call, message } of asked.reverse()) {
        channels[0].send(JSON.stringify(
            { call, device: 'lamp-1', reply: `re ${message}` }));
    }

    await line(3, 'reply', 're three', TOOK);
    await line(4, 'reply', 're two', TOOK);
    await line(5, 'reply', 're one', TOOK);
}, { prepare: fakeChannel });


check('the channel is lost, and comes back', async () => {
    let back;
    const wanted = new Promise((resolve) => { back = resolve; });

    await list();
    await choose('lamp-1');
    await say('one');
    await until(() => asked.length === 1);
    await page.route('**/channel', async (route) => {
        await wanted;
        await route.continue();
    });
    await channels[0].close({ code: 1001 });

    await line(1, 'error', 'The connection to the server was lost before the '
        + 'reply came: the device may have got the message.', /^lost · /);
    assert.ok(await page.locator('#send').isDisabled());
    assert.deepEqual(await faults(page), []);

    /* what comes meanwhile is read then */

    await attach('guest-3');
    back();
    await text('#channel', /^Live$/);
    assert.equal(channels.length, 2);
    await until(async () => (await ids()).includes('guest-3'));
    await say('two');
    await until(() => asked.length === 2);
    channels[1].send(JSON.stringify({ call: asked[1].call,
        device: 'lamp-1', base64: 'AQL/' }));
    await line(3, 'reply', '01 02 ff', /^3 bytes, hex · /);
}, { prepare: fakeChannel });


check('tries are ever rarer', async () => {
    const times = [];

    await page.route('**/channel', (route) => {
        times.push(Date.now());
        return route.fulfill({ status: 503, json: {
            msg: '503 Service Unavailable', error: 'overloaded' } });
    });
    await list();
    await text('#channel', 'The server is overloaded. Next try in');
    await until(() => times.length === 4);

    const waits = times.slice(1).map((time, i) => time - times[i]);

    assert.ok(waits[0] >= 250 && waits[1] >= 500 && waits[2] >= 1000,
        `${waits}`);
});


check('a reader that is too slow', async () => {
    await list();
    await choose('lamp-1');
    await channels[0].close({ code: 1013 });
    await text('#channel', 'Live, but for events');
    assert.match(channels[1].url(), /\?events=attach,detach,reply$/);
}, { prepare: fakeChannel });


/* Runs in the page: 100,000 messages as if they came on its channel. */

function flood() {
    const time = new Date().toISOString();
    const [channel] = globalThis.sockets;
    const hear = (message) =>
        channel.onmessage({ data: JSON.stringify(message) });

    for (let n = 0; n < 50000; n++) {
        hear({ event: 'data', device: 'lamp-1', session: '5', seq: n, time,
            data: `event ${n}` });
        hear({ event: 'attach', session: String(1e15 + n), time,
            device: `unit-${String(n).padStart(6, '0')}`,
            reason: 'attached', info: 'unit', address: '127.0.0.1:1' });
    }
}

function keepSockets() {
    globalThis.sockets = [];
    globalThis.WebSocket = class extends WebSocket {
        constructor(...of) {
            super(...of);
            globalThis.sockets.push(this);
        }
    };
}

check('a flood of events, and a fleet that comes at once', async () => {
    await list();
    await choose('lamp-1');
    await until(async () => (await ids()).length === 3);
    await page.route('**/devices?**', (route) => route.abort());
    await page.evaluate(flood);

    await text('#count', '(50,003)');
    await text('#log', 'more');
    assert.equal((await ids()).length, 100);
    assert.ok(await page.locator('#log li').count() <= 500);
    assert.ok(await page.locator('*').count() < 3500);

    /* the page still does what it is told */

    await say('hello');
    await page.locator('#log .reply').filter({ hasText: 'hello' }).waitFor();
    silent();
}, { prepare: () => page.addInitScript(keepSockets), locale: 'en-GB' });


check('times below a millisecond', async () => {
    assert.deepEqual(await page.evaluate(async () => {
        const { duration, lastLatency, measured }
            = await import('../pages/format.js');
        const net = (messages) => ({ received: { messages } });

        return [
            [0, 0.0004, 0.38, 0.9994, 0.9996, 3.648, 13.57, 128]
                .map((ms) => duration(ms)),
            [0, 0.1, 0.4, 0.94, 0.96, 1.04, 12.3].map((ms) => measured(ms)),
            lastLatency({ latency: '0', net: net('0') }),
            lastLatency({ latency: '0', net: net('1') }),
            lastLatency({ latency: '7', net: net('1') }),
            duration(null)
        ];
    }), [
        ['< 1 µs', '< 1 µs', '380 µs', '999 µs', '1.00 ms', '3.65 ms',
            '13.6 ms', '128 ms'],
        ['< 100 µs', '100 µs', '400 µs', '900 µs', '1.0 ms', '1.0 ms',
            '12 ms'],
        '–', '< 1 ms', '7 ms', '–'
    ]);
});


/* Late ends of old sessions, and events in the time of a reading. */

check('the list, its sessions, and when it is read', async () => {
    assert.deepEqual(await page.evaluate(async () => {
        const { DeviceList } = await import('../pages/list.js');
        const net = { sent: { messages: '0' }, received: { messages: '0' } };
        const read = (device_id, session) => ({ device_id, session, net });
        const message = (event, device, session, reason) => ({ event, device,
            session, reason, time: '2026-11-26T00:00:00.000Z', info: 'i' });
        const shown = () => list.rows.map((row) => `${row.device_id} ${
            row.session} ${row.left?.reason ?? '-'}`);
        const steps = [];
        let answer;
        let reads = 0;
        const application = { page: () => {
            reads++;
            return new Promise((resolve) => { answer = resolve; });
        } };
        const list = new DeviceList(application, 3, () => {});
        const happens = (...of) => {
            list.event(message(...of));
            steps.push(`${list.total}: ${shown().join(', ')}`);
        };

        /* while it is read: b has left before, d and e attach after */

        list.event(message('attach', 'd', '40', 'attached'));
        list.event(message('detach', 'b', '9', 'taken_over'));
        answer({ num_devices: 2, devices: [read('b', '10'), read('d', '40')] });
        await new Promise((resolve) => { setTimeout(resolve); });
        steps.push(`${list.total}: ${shown().join(', ')}`);

        happens('attach', 'b', '11', 'taken_over');
        happens('detach', 'b', '10', 'taken_over');
        happens('detach', 'b', '11', 'heartbeat_timeout');
        happens('attach', 'b', '100', 'attached');
        happens('attach', 'c', '50', 'attached');
        happens('attach', 'a', '60', 'attached');
        happens('attach', 'z', '70', 'attached');
        steps.push(list.next);

        /* once, and as soon as a channel is open */

        steps.push(reads);
        list.setLive(true);
        list.setLive(true);
        steps.push(reads);
        list.setLive(false);
        list.setLive(true);
        steps.push(reads);
        return steps;
    }), [
        '2: b 10 -, d 40 -', '2: b 11 -, d 40 -', '2: b 11 -, d 40 -',
        '1: b 11 heartbeat_timeout, d 40 -', '2: b 100 -, d 40 -',
        '3: b 100 -, c 50 -, d 40 -', '4: a 60 -, b 100 -, c 50 -',
        '5: a 60 -, b 100 -, c 50 -', 'c', 1, 2, 3
    ]);
});


if (SCREENSHOT) {
    check('a screenshot', async () => {
        await list();
        await choose('lamp-1');
        await say('status');
        await line(1, 'reply', '{"on":true,"level":80}', TOOK);
        await say('ring');
        await line(4, 'event', 'button pressed', /./);
        await say('01 02 fe', 'hex');
        await line(7, 'reply', '01 02 fe', TOOK);

        const guest = await attach('gate-1', 'gate');

        guest.event('opened');
        await text('#devices', 'opened');
        await page.screenshot({ path: SCREENSHOT });
    }, {
        viewport: { width: 980, height: 720 }, deviceScaleFactor: 2,
        locale: 'en-GB'
    });
}


/* What the server knows of one that has left. */

check('when a device was last seen', async () => {
    await attach('guest-4');
    await list();
    await choose('lamp-1');
    await page.locator('#devices button').filter({ hasText: 'guest-4' })
        .click();
    await text('#details', 'The device is not attached. · '
        + 'Last seen 2 h ago · heartbeat_timeout');
    await text('#state', 'not attached');
}, { prepare: () => page.route('**/devices/guest-4', (route) =>
    route.fulfill({ status: 404, json: { msg: '404 Not Found',
        error: 'device_offline', device_id: 'guest-4', session: '1',
        last_seen: String(Math.floor(Date.now() / 1000) - 7300),
        reason: 'heartbeat_timeout' } })) });


/* It does not come back: the list is shorter from here on. */

check('a device that leaves', async () => {
    await list();
    await choose('door-3');
    await say('leave');
    await line(1, 'error', 'The device left before it replied.',
        /^device_disconnected · /);
    await line(2, 'detach', 'disconnected', /^$/);
    await say('anyone?');
    await line(4, 'error', 'The device is not attached.',
        /^device_offline · /);

    await text('#state', 'not attached');
    assert.ok(await page.locator('#kick').isHidden());
    silent();
});


/*
 * WCAG AA for all that is read, of the colours as they are computed; and what
 * else axe-core knows. Before the login, in a talk, and with errors.
 */

for (const [colorScheme, width] of [
    ['light', 1280], ['dark', 1280], ['light', 390], ['dark', 390]
]) {
    check(`accessible, ${colorScheme}, ${width} px`, async () => {
        assert.deepEqual(await faults(page), []);

        await list();
        await choose('lamp-1');
        await say('ring');
        await line(2, 'event', 'button pressed', /./);
        await say('xyz', 'hex');
        await text('#talk-error', 'Hex is pairs of digits');
        assert.deepEqual(await page.evaluate(faint), []);
        assert.deepEqual(await faults(page), []);
        assert.equal(await page.evaluate(() =>
            document.documentElement.scrollWidth), width);

        await list('wrong');
        await text('#login-error', 'wrong secret');
        assert.deepEqual(await page.evaluate(faint), []);
        assert.deepEqual(await faults(page), []);
    }, { colorScheme, viewport: { width, height: 800 } });
}


check('every control has a name, and the keyboard reaches it', async () => {
    await list();
    await choose('lamp-1');
    await until(async () => (await ids()).length === 2);

    assert.deepEqual(await page.evaluate(() =>
        [...document.querySelectorAll('input')]
            .filter((input) => !input.labels.length)
            .map((input) => input.id)), []);

    await page.getByLabel('Application').focus();

    const reached = [];

    while (reached.length < 20 && reached.at(-1) !== 'text') {
        reached.push(await page.evaluate(() => {
            const at = document.activeElement;
            return at.id || (at.type === 'radio' ? at.value
                : at.querySelector('b')?.textContent ?? at.textContent);
        }));
        await page.keyboard.press('Tab');
    }

    assert.deepEqual(reached, ['application', 'secret', 'List devices',
        'filter', 'lamp-1', 'meter-7', 'kick', 'log', 'message', 'send',
        'text']);
});


check('a phone', async () => {
    await list();
    await choose('lamp-1');
    await say('x'.repeat(300));
    await line(1, 'reply', 'x'.repeat(300), TOOK);

    assert.equal(await page.evaluate(() =>
        document.documentElement.scrollWidth), 360);
}, { viewport: { width: 360, height: 640 }, isMobile: true, hasTouch: true });


check('nothing from elsewhere, and it may not be framed', async () => {
    const answer = await page.reload();
    const policy = (await answer.allHeaders())['content-security-policy'];

    assert.match(policy, /default-src 'self'/);
    assert.match(policy, /frame-ancestors 'none'/);
});


/* The last one: nginx ends. */

check('the server goes', async () => {
    await list();
    await choose('lamp-1');
    await say('never');
    await text('#waiting', 'waiting');

    process.kill(Number(CONTROL), 'SIGTERM');

    await text('#channel', /(lost|closed the channel|does not answer).*Next/);
    assert.ok(await page.locator('#send').isDisabled());
    await page.locator('#log .error').waitFor();

    await list();
    await text('#login-error', 'The server does not answer.');
    silent();
});
