/*
 * The dashboard in headless Chromium, with devices and callers beside it.
 */

'use strict';

const assert = require('node:assert/strict');
const { after, before, test } = require('node:test');
const { setTimeout: sleep } = require('node:timers/promises');
const { chromium } = require('playwright-core');
const { faults } = require('./axe.js');
const { faint } = require('./contrast.js');
const { Device, call } = require('./traffic.js');

const { SERVER, CHROMIUM, SCREENSHOT } = process.env;
const APPLICATION = `http://${SERVER}/v1/applications/demo`;
const AUTHORIZATION = { Authorization: 'OAuth demo-secret' };
const TIMEOUT = 10000;
const LAMPS = 45;
const SIMULATED = 150000;       /* ms, for the screenshot */
const FLAGS = [
    '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update',
    '--disable-sync'
];

let browser;
let page;
let complaints;     /* of the page: none is wanted */
let devices;
let bell;           /* one of them */
let guests;         /* others, that stay as long as a test */


before(async () => {
    browser = await chromium.launch({
        executablePath: CHROMIUM, args: FLAGS, chromiumSandbox: false
    });

    bell = await Device.attach(SERVER, 'bell', 'bell', obey);
    devices = [bell];

    for (let n = 1; n <= LAMPS; n++) {
        devices.push(await Device.attach(SERVER, lamp(n), `lamp, ${n} W`,
            obey));
    }
}, { timeout: 30000 });

after(async () => {
    await browser?.close();
    devices?.forEach((device) => device.leave());
});


function lamp(n) {
    return `lamp-${String(n).padStart(3, '0')}`;
}


/* Devices answer with the message itself, but for some words. */

async function obey(message) {
    if (message === 'never') {
        return undefined;
    }

    if (message.startsWith('slow ')) {
        await sleep(Number(message.slice(5)));
    }

    return message === 'binary' ? Buffer.from([1, 2, 254]) : message;
}


/* Each test has a page of its own; prepare() comes before it is loaded. */

function check(name, act, { prepare, ...options } = {}) {
    test(name, { timeout: 60000 + SIMULATED }, async () => {
        const context = await browser.newContext({
            locale: 'en-GB', ...options
        });

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
            await page.goto(`http://${SERVER}/dashboard/`);
            await act();

            /* what a browser itself says of a failed request is none */
            assert.deepEqual(complaints.filter((text) =>
                !text.startsWith('Failed to load resource')
                && !text.startsWith('WebSocket connection to ')), []);
        } finally {
            guests.forEach((guest) => guest.leave());
            await context.close();
        }
    });
}


async function attach(id, info = '', application = 'demo') {
    const guest = await Device.attach(SERVER, id, info, obey, application);

    guests.push(guest);
    return guest;
}


async function login(secret = 'demo-secret', application = 'demo') {
    await page.getByLabel('Application').fill(application);
    await page.getByLabel('Secret').fill(secret);
    await page.getByRole('button', { name: 'Show' }).click();
}


async function text(selector, wanted) {
    await page.locator(selector).filter({ hasText: wanted }).first().waitFor();
}


/* A time that is shown, in ms; not a number where there is none. */

async function milliseconds(selector) {
    const shown = await page.locator(selector).textContent();

    return parseFloat(shown) / (/µs$/.test(shown) ? 1000 : 1);
}


async function number(selector) {
    return parseFloat((await page.locator(selector).textContent())
        .replaceAll(',', ''));
}


/* Asks again until it holds. */

async function until(holds, time = TIMEOUT) {
    const end = Date.now() + time;

    while (!await holds()) {
        assert.ok(Date.now() < end, `not in time: ${holds}`);
        await sleep(100);
    }
}


async function stats() {
    const response = await fetch(APPLICATION, { headers: AUTHORIZATION });

    return (await response.json()).stats;
}


function ids() {
    return page.locator('#devices button').allTextContents();
}


/* The rows of one of the panels with bars: { name: text } */

async function bars(id) {
    const [names, values] = await Promise.all(['dt', 'dd'].map((name) =>
        page.locator(`#${id} ${name}`).allTextContents()));

    return Object.fromEntries(names.map((name, i) => [name, values[i]]));
}


/* Calls at a steady rate, while something else is done. */

async function during(act, perSecond, milliseconds = () => 30) {
    const calls = [];
    const timer = setInterval(() => {
        const n = 1 + calls.length % LAMPS;

        calls.push(call(SERVER, lamp(n), `slow ${milliseconds(n)}`));
    }, 1000 / perSecond);

    try {
        await act();
    } finally {
        clearInterval(timer);
        await Promise.all(calls);
    }
}


/* WebSockets to the bell, open as long as the page is. */

async function openWebSockets(n) {
    await page.evaluate(async ([n, headers]) => {
        for (let i = 0; i < n; i++) {
            const answer = await fetch(
                '/v1/applications/demo/devices/bell/websocket', { headers });
            const { device_key: key } = await answer.json();
            const socket = new WebSocket(
                `ws://${location.host}/v1/websockets/bell/${key}`);

            await new Promise((resolve, reject) => {
                socket.onopen = resolve;
                socket.onerror = reject;
            });
        }
    }, [n, AUTHORIZATION]);
}


/* How many pixels of a chart have exactly the colour of a series. */

function drawn([id, color]) {
    const canvas = document.querySelector(`#${id} canvas`);
    const style = getComputedStyle(document.documentElement);
    const wanted = style.getPropertyValue(color).slice(1).match(/../g)
        .map((pair) => parseInt(pair, 16));
    const { data } = canvas.getContext('2d')
        .getImageData(0, 0, canvas.width, canvas.height);
    let found = 0;

    for (let i = 0; i < data.length; i += 4) {
        found += wanted.every((part, k) => data[i + k] === part)
            && data[i + 3] === 255;
    }

    return found;
}


check('the figures are those of the API', async () => {
    for (let n = 0; n < 12; n++) {
        assert.equal(await call(SERVER, 'bell', `ding ${n}`),
            `200 ding ${n}`);
    }

    for (let n = 0; n < 3; n++) {
        assert.equal(await call(SERVER, 'nobody', 'hello'),
            '404 device_offline');
    }

    assert.equal(await call(SERVER, 'bell', 'never', { Prefer: 'wait=1' }),
        '504 device_timeout');
    bell.request.write('the reply that it owes');

    bell.event('pressed');
    bell.event('pressed');

    await login();
    await text('#events-total', '2 in all');

    /* these, and the channel of the page */

    await openWebSockets(2);
    await until(async () => await number('#websockets') === 3);

    const told = await stats();

    assert.equal(told.num_devices, String(LAMPS + 1));
    assert.equal(await number('#num-devices'), Number(told.num_devices));
    await text('#attaches', `${told.attached_total} attached, 0 left`);
    await text('#calls-total', `${told.messages} answered`);
    await text('#failed-total', '4 in all');
    await text('#late', 'Late replies: 1.');
    await text('#late', 'messages of devices: 0.');
    assert.equal(told.messages, '12');

    assert.deepEqual(await bars('errors'),
        { device_offline: '3', device_timeout: '1' });

    const workers = Object.values(await bars('workers')).map(Number);

    assert.equal(workers.length, 2);
    assert.equal(workers[0] + workers[1], LAMPS + 1);
    assert.match((await bars('zone')).records,
        new RegExp(`^${LAMPS + 1} of [1-9][\\d,]+$`));
});


check('rates and latencies', async () => {
    await login();
    await during(async () => {
        await until(async () => {
            const rate = await number('#calls-rate');
            return rate > 12 && rate < 28;
        }, 4 * TIMEOUT);
        await until(async () => {
            const ms = await milliseconds('#p50');
            return ms >= 30 && ms < 200;
        }, 4 * TIMEOUT);
    }, 20);

    /* without calls there is no latency */

    await text('#p50', '–');
    await until(async () => await number('#calls-rate') === 0);
    assert.equal(await number('#failing'), 0);
});


check('the charts are drawn', async () => {
    await login();
    await during(async () => {
        for (let n = 0; n < 20; n++) {
            bell.event('pressed');
            await sleep(250);
        }
    }, 15, (n) => 5 * n);

    for (const [id, color] of [
        ['calls-chart', '--one'], ['calls-chart', '--bad'],
        ['latency-chart', '--one'], ['latency-chart', '--four'],
        ['devices-chart', '--one'], ['events-chart', '--two']
    ]) {
        const pixels = await page.evaluate(drawn, [id, color]);

        assert.ok(pixels > 20, `${id} ${color}: ${pixels} pixels`);
    }

    /* colours are those of the page, also when it turns dark */

    await page.emulateMedia({ colorScheme: 'dark' });
    await until(() => page.evaluate(drawn, ['calls-chart', '--one'])
        .then((pixels) => pixels > 20));
});


check('pages of the table, and a search', async () => {
    await login();
    await until(async () => (await ids()).length === 20);
    assert.deepEqual((await ids()).slice(0, 2), ['bell', 'lamp-001']);

    await page.getByRole('button', { name: 'Next' }).click();
    await text('#page', 'Page 2');
    await until(async () => (await ids())[0] === 'lamp-020');
    await page.getByRole('button', { name: 'Next' }).click();
    await text('#page', 'Page 3');
    await until(async () => (await ids()).join() === ['lamp-040', 'lamp-041',
        'lamp-042', 'lamp-043', 'lamp-044', 'lamp-045'].join());
    assert.ok(await page.getByRole('button', { name: 'Next' }).isDisabled());

    await page.getByRole('button', { name: 'Previous' }).click();
    await text('#page', 'Page 2');
    await until(async () => (await ids())[0] === 'lamp-020');

    const search = page.getByLabel('The id begins with');

    await search.fill('lamp-03');
    await until(async () => (await ids()).length === 10);
    assert.equal((await ids())[9], 'lamp-039');

    await search.fill('bell');
    await until(async () => (await ids()).join() === 'bell');
    await text('#devices tr', 'bell');

    await search.fill('lamp-01');
    await until(async () => (await ids()).length === 10);
    await text('#devices tr', 'lamp, 10 W');

    await search.fill('lamp-1');
    await text('#none', 'No attached device has an id that begins with lamp-1');
});


check('the details of a device, and calls', async () => {
    await login();
    await page.getByRole('button', { name: 'lamp-007' }).click();
    await text('#details', 'lamp, 7 W');
    await text('#details', '127.0.0.1:');

    const message = page.getByRole('textbox', { name: 'Message' });
    const reply = (n) => page.locator('#replies li').nth(n);

    await message.fill('status');
    await page.keyboard.press('Enter');
    await text('#replies .reply pre', /^status$/);
    assert.match(await reply(0).locator('small').textContent(),
        /^(< 100 µs|[1-9]00 µs|\d+(\.\d)? ms)$/);

    await message.fill('binary');
    await page.getByRole('button', { name: 'Send' }).click();
    await text('#replies .reply pre', /^01 02 fe$/);

    await message.fill('<img src=x onerror=alert(1)>');
    await page.keyboard.press('Enter');
    await text('#replies .reply pre', '<img src=x onerror=alert(1)>');
    assert.equal(await page.locator('#replies img').count(), 0);
    assert.equal(await page.locator('#replies li').count(), 3);

    /* one is slow, the next waits for its turn: each has its own reply */

    await message.fill('slow 700');
    await page.keyboard.press('Enter');
    await text('#replies .waiting pre', 'waiting for the reply');
    await message.fill('after');
    await page.keyboard.press('Enter');
    await until(async () =>
        await page.locator('#replies .reply').count() === 5);
    assert.deepEqual((await page.locator('#replies .reply pre')
        .allTextContents()).slice(0, 2), ['after', 'slow 700']);

    /* the counters go on while it is shown */

    const known = await (await fetch(`${APPLICATION}/devices/lamp-007`,
        { headers: AUTHORIZATION })).json();

    await text('#details', `${known.net.sent.messages} messages, ${
        known.net.sent.bytes} bytes`);

    await page.getByRole('button', { name: 'Close' }).click();
    assert.ok(await page.locator('#device').isHidden());
});


/* Without the requests: only the channel tells. */

check('a device attaches, says something, and leaves', async () => {
    await login();
    await text('#channel', 'Live');
    await until(async () => (await ids()).length === 20);
    await page.route('**/devices?**', (route) => route.abort());
    await page.route('**/devices/cat', (route) => route.abort());

    const guest = await attach('cat', 'a guest');
    const row = page.locator('#devices tr').filter({ hasText: 'cat' });

    await row.waitFor();
    assert.deepEqual((await ids()).slice(0, 3), ['bell', 'cat', 'lamp-001']);
    assert.equal((await ids()).length, 20);

    const cells = await row.locator('td').allTextContents();

    assert.equal(cells[1], 'a guest');
    assert.match(cells[2], /^127\.0\.0\.1:\d+$/);
    assert.match(cells[3], /^\d+ s ago$/);
    assert.match(cells[4], /^\d+ s ago$/);
    assert.deepEqual(cells.slice(5), ['–', '0', '0', '0']);

    guest.event('meow <b>');
    await text('#events .data', 'meow <b>');
    await row.locator('td').nth(6).filter({ hasText: /^1$/ }).waitFor();

    await row.getByRole('button').click();
    await text('#presence', 'Attached');
    guest.leave();
    await text('#presence', 'Not attached · detached');
    await row.getByText('left: detached').waitFor();
    await text('#events .detach', 'detached');

    await page.getByRole('textbox', { name: 'Message' }).fill('hello?');
    await page.keyboard.press('Enter');
    await text('#replies .error pre', 'The device is not attached.');
    await text('#replies .error small', 'device_offline');

    await until(async () => !(await ids()).includes('cat'), 3 * TIMEOUT);
});


check('the last events, and no more of them', async () => {
    await login();
    await text('#channel', 'Live');

    for (let n = 0; n < 70; n++) {
        bell.event(`ding ${n}`);
    }

    await text('#events', 'ding 69');
    assert.equal(await page.locator('#events li').count(), 50);
    assert.equal(await page.locator('#events pre').first().textContent(),
        'ding 69');

    await page.getByRole('button', { name: 'Pause' }).click();
    bell.event('dong');
    await text('#devices tr', 'bell');
    await page.evaluate(() => new Promise((resolve) => {
        setTimeout(resolve, 1000);
    }));
    assert.equal(await page.locator('#events pre').first().textContent(),
        'ding 69');
    await page.getByRole('button', { name: 'Pause' }).click();
    await text('#events', 'dong');
});


check('the end of a connection', async () => {
    let answer = 'dismiss';
    let asked = 0;

    page.on('dialog', (dialog) => {
        asked++;
        assert.match(dialog.message(), /^End the connection of lamp-003\?/);
        return dialog[answer]();
    });

    const session = async () => (await (await fetch(
        `${APPLICATION}/devices/lamp-003`, { headers: AUTHORIZATION }))
        .json()).session;
    const before = await session();

    await login();
    await text('#channel', 'Live');
    await page.getByRole('button', { name: 'lamp-003' }).click();
    await page.getByRole('button', { name: 'Disconnect it' }).click();
    assert.equal(asked, 1);
    assert.equal(await session(), before);

    /* it comes back by itself */

    answer = 'accept';
    await page.getByRole('button', { name: 'Disconnect it' }).click();
    await text('#events .detach', 'kicked');
    await text('#events .attach', 'lamp-003');
    await text('#presence', 'Attached');
    assert.notEqual(await session(), before);
    assert.equal(asked, 2);
});


check('a server that does not end connections', async () => {
    await login();
    await page.getByRole('button', { name: 'lamp-003' }).click();
    await text('#presence', 'Attached');
    await text('#details', 'lamp, 3 W');
    assert.ok(await page.locator('#kick').isHidden());
}, { prepare: () => page.route('**/devices/any', (route) =>
    route.fulfill({ status: 405, headers: { Allow: 'GET, HEAD, POST' } })) });


/* It reads the table again and again, and calls by requests of their own. */

check('a server without channels', async () => {
    await login();
    await text('#channel', 'the server has no location with cometa_channel');
    assert.ok(await page.locator('#last').isHidden());
    await page.getByLabel('The id begins with').fill('cat');
    await text('#none', 'begins with cat');

    const guest = await attach('cat');

    await page.getByRole('button', { name: 'cat' }).click();
    await page.getByRole('textbox', { name: 'Message' }).fill('binary');
    await page.keyboard.press('Enter');
    await text('#replies .reply pre', /^01 02 fe$/);
    assert.deepEqual(await faults(page), []);
    guest.leave();
    await text('#presence', 'Not attached');
}, { prepare: () => page.route('**/channel', (route) =>
    route.fulfill({ status: 404, body: 'Not Found' })) });


check('a wrong secret', async () => {
    await login('wrong');
    await text('#login-error', 'Unknown application, or wrong secret.');
    assert.ok(await page.locator('#board').isHidden());

    await login('demo-secret', 'nobody');
    await text('#login-error', 'Unknown application, or wrong secret.');

    await login('gehe\u00edm \u{1f511}');
    await text('#login-error', 'Unknown application, or wrong secret.');

    await login();
    await text('#num-devices', String(LAMPS + 1));
    assert.equal(await page.locator('#login-error').textContent(), '');
});


check('the login is kept by the tab, until it is logged out', async () => {
    await login();
    await text('#name', 'demo');
    await page.reload();
    await text('#num-devices', String(LAMPS + 1));

    await page.getByRole('button', { name: 'Log out' }).click();
    await page.getByLabel('Secret').waitFor();
    assert.equal(await page.getByLabel('Secret').inputValue(), '');
    assert.deepEqual(await page.evaluate(() =>
        [sessionStorage.length, localStorage.length, document.cookie]),
        [0, 0, '']);

    await page.reload();
    await page.getByLabel('Secret').waitFor();
    assert.ok(await page.locator('#board').isHidden());
});


check('an application without devices', async () => {
    await login('empty-secret', 'empty');
    await text('#empty', 'No device yet. Paste this line');
    assert.equal(await page.locator('#line').textContent(),
        'curl -sN -T . -X POST '
        + `http://${SERVER}/v1/applications/empty/devices/lamp-1`);
    assert.deepEqual(await faults(page), []);
    assert.equal(await number('#num-devices'), 0);
    assert.deepEqual(await ids(), []);
    await text('#errors', 'no call has failed');
    await text('#p50', '–');
    assert.ok(await page.locator('#next').isDisabled());

    await text('#channel', 'Live');

    const first = await attach('lamp-1', '', 'empty');

    await until(async () => (await ids()).join() === 'lamp-1');
    assert.ok(await page.locator('#empty').isHidden());
    first.leave();
    await page.locator('#empty').waitFor({ timeout: 2 * TIMEOUT });
});


/* The API of a million, as far as the page asks for it. */

const asked = [];

async function million() {
    const id = (n) => `unit-${String(n).padStart(7, '0')}`;

    await page.route('**/v1/applications/demo', async (route) => {
        const response = await route.fetch();
        const answer = await response.json();

        Object.assign(answer.stats,
            { num_devices: '1000000', attached_total: '1234567',
                tls_parked: '1000', tls_parked_total: '2500',
                tls_unparked_cipher: '3', tls_unparked_pending: '4' });
        await route.fulfill({ json: answer });
    });

    await page.route('**/v1/applications/demo/devices?**', async (route) => {
        const query = new URL(route.request().url()).searchParams;
        const limit = Number(query.get('limit'));
        const after = query.get('after');
        const first = after ? Number(after.slice(5)) + 1 : 0;

        asked.push(limit);
        await route.fulfill({ json: {
            num_devices: 1000000, next: id(first + limit - 1),
            devices: Array.from({ length: limit }, (_, i) => ({
                device_id: id(first + i), ip_address: '127.0.0.1:1',
                heartbeat: '0', info: 'unit', connected_at: '1795446563',
                latency: '0', websockets: '0', session: '1',
                net: { received: { bytes: '0', messages: '0' },
                    sent: { bytes: '0', messages: '0' } }
            }))
        } });
    });

    await page.route('**/v1/applications/demo/devices', () =>
        asked.push('all'));
}

check('a million devices', async () => {
    await login();
    await text('#num-devices', '1,000,000');
    await text('#attaches', '1.23M attached');
    await text('#tls', 'Over TLS: 1,000 parked, 2.5K in all; '
        + 'not parked: 3 cipher, 4 pending.');
    await until(async () => (await ids()).length === 20);
    await page.getByRole('button', { name: 'Next' }).click();
    await until(async () => (await ids())[0] === 'unit-0000020');

    assert.ok(asked.length >= 2);
    assert.deepEqual(asked.filter((limit) => limit !== 20), []);

    assert.equal(await page.evaluate(() => {
        const { scrollWidth, clientWidth } = document.documentElement;
        return scrollWidth - clientWidth;
    }), 0);
}, { prepare: million });


check('without the library of the charts', async () => {
    await text('body', 'Cometa');
    await login();
    await text('#no-charts', 'the library uPlot is not beside this page');
    await text('#num-devices', String(LAMPS + 1));
    assert.ok(await page.locator('#tls').isHidden());
    assert.ok(await page.locator('#charts').isHidden());
}, { prepare: () => page.route('**/uplot/**', (route) =>
    route.fulfill({ status: 404 })) });


check('without the metrics of the server', async () => {
    await login();
    await text('#server-error', '/metrics answers 403 Forbidden');
    await text('#num-devices', String(LAMPS + 1));
    assert.ok(await page.locator('#server').isHidden());
}, { prepare: () => page.route('**/metrics', (route) =>
    route.fulfill({ status: 403 })) });


check('the text of Prometheus', async () => {
    const text = ['# HELP a_total Of {x="1"} 2', 'a_total{x="1",y="p"} 2',
        'a_total{x="1",y="q"} 3', 'a_total{x="2",y="q"} 4e3', 'b 0.5',
        'c{le="+Inf"} +Inf', 'd{s="\\"}, \\\\ \\n"} 1', ''].join('\n');

    assert.deepEqual(await page.evaluate(async (text) => {
        const { parse } = await import('./metrics.js');
        const read = parse(text);

        return [read.sum('a_total', { x: '1' }), read.sum('a_total'),
            read.sum('b'), read.sum('none'), read.all('c')[0].labels.le,
            read.all('d')[0].labels.s];
    }, text), [5, 4005, 0.5, 0, '+Inf', '"}, \\ \n']);
});


/* WCAG AA, and what else axe-core knows: each state of the page. */

for (const [colorScheme, width] of [
    ['light', 1280], ['dark', 1280], ['light', 390], ['dark', 390]
]) {
    check(`accessible, ${colorScheme}, ${width} px`, async () => {
        await login('wrong');
        await text('#login-error', 'wrong secret');
        assert.deepEqual(await page.evaluate(faint), []);
        assert.deepEqual(await faults(page), []);

        await login();
        await page.getByRole('button', { name: 'lamp-007' }).click();
        await text('#details', 'lamp, 7 W');
        await page.getByRole('textbox', { name: 'Message' }).fill('status');
        await page.keyboard.press('Enter');
        await text('#replies .reply', 'status');
        bell.event('pressed');
        await text('#events', 'pressed');
        assert.deepEqual(await page.evaluate(faint), []);
        assert.deepEqual(await faults(page), []);
        assert.equal(await page.evaluate(() =>
            document.documentElement.scrollWidth), width);
    }, { colorScheme, viewport: { width, height: 800 } });
}


check('a phone', async () => {
    await login();
    await page.getByRole('button', { name: 'lamp-007' }).click();
    await page.getByRole('textbox', { name: 'Message' })
        .fill('x'.repeat(300));
    await page.keyboard.press('Enter');
    await text('#replies .reply pre', 'x'.repeat(300));

    assert.equal(await page.evaluate(() =>
        document.documentElement.scrollWidth), 360);
    assert.deepEqual(await page.evaluate(() =>
        [...document.querySelectorAll('input')]
            .filter((input) => !input.labels.length)
            .map((input) => input.id)), []);
}, { viewport: { width: 360, height: 640 }, isMobile: true, hasTouch: true });


check('nothing from elsewhere, and it may not be framed', async () => {
    const hosts = new Set();

    page.on('request', (request) =>
        hosts.add(new URL(request.url()).host));

    const answer = await page.reload();
    const policy = (await answer.allHeaders())['content-security-policy'];

    await login();
    await text('#num-devices', String(LAMPS + 1));
    assert.deepEqual([...hosts], [SERVER]);
    assert.match(policy, /default-src 'self'/);
    assert.match(policy, /frame-ancestors 'none'/);
});


if (SCREENSHOT) {
    check('a screenshot', async () => {
        await login();
        const guests = await simulate();

        await page.getByLabel('The id begins with').fill('lamp-01');
        await page.getByRole('button', { name: 'lamp-013' }).click();
        await page.getByRole('textbox', { name: 'Message' }).fill('status');
        await page.keyboard.press('Enter');
        await text('#replies .reply', 'status');
        await page.evaluate(() => scrollTo(0, 0));
        await until(async () => (await ids()).length === 10);
        await page.screenshot({ path: SCREENSHOT, fullPage: true });
        guests.forEach((guest) => guest.leave());
    }, { viewport: { width: 1280, height: 800 } });
}


/* Traffic that goes up and down; resolves to the devices that came with it. */

async function simulate() {
    const end = Date.now() + SIMULATED;
    const calls = [];
    const guests = [];

    await openWebSockets(3);

    while (Date.now() < end) {
        const wave = 1 + Math.sin(Date.now() / 6000);
        const id = lamp(Math.ceil(Math.random() * LAMPS));
        const slow = 4 + 10 * wave + 40 * Math.random() ** 8;

        calls.push(Math.random() < 0.97
            ? call(SERVER, id, `slow ${slow}`)
            : call(SERVER, 'nobody', 'hello'));

        if (Math.random() < 0.1 * wave) {
            bell.event('pressed');
        }

        if (Math.random() < 0.06) {
            guests.push(await Device.attach(SERVER, `guest-${calls.length}`,
                'guest', obey));
        } else if (Math.random() < 0.04 * (2 - wave)) {
            guests.pop()?.leave();
        }

        await sleep(10 + 25 / (0.2 + wave));
    }

    await Promise.all(calls);

    return guests;
}


/* The last one: the server goes, and comes back. */

check('the server stops, and starts', async () => {
    await login();
    await text('#num-devices', String(LAMPS + 1));

    process.kill(process.ppid, 'SIGUSR1');
    await text('#problem', 'The server does not answer.');
    await text('#problem', 'trying again');
    await text('#channel', /Next try in \d+ s/);
    assert.equal(await number('#num-devices'), LAMPS + 1);
    assert.deepEqual(await faults(page), []);

    process.kill(process.ppid, 'SIGUSR2');
    await page.locator('#channel').filter({ hasText: 'Live' })
        .waitFor({ timeout: 4 * TIMEOUT });
    await until(async () =>
        await page.locator('#problem').textContent() === '');
    await until(async () => await number('#num-devices') === LAMPS + 1);
    await text('#attaches', `${LAMPS + 1} attached, 0 left`);

    /* counters that began anew make no rate below zero */

    await until(async () => await number('#calls-rate') >= 0);
    assert.deepEqual(await page.evaluate(below), []);
});


/* Runs in the page: the figures that are below zero. */

function below() {
    return [...document.querySelectorAll('#tiles b')]
        .map((node) => node.textContent)
        .filter((text) => parseFloat(text) < 0);
}
