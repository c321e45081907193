/*
 * The dashboard in headless Chromium, with devices and callers beside it.
 */

'use strict';

const assert = require('node:assert/strict');
const { after, before, test } = require('node:test');
const { setTimeout: sleep } = require('node:timers/promises');
const { chromium } = require('playwright-core');
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
                !text.startsWith('Failed to load resource')), []);
        } finally {
            await context.close();
        }
    });
}


async function login(secret = 'demo-secret', application = 'demo') {
    await page.getByLabel('Application').fill(application);
    await page.getByLabel('Secret').fill(secret);
    await page.getByRole('button', { name: 'Show' }).click();
}


async function text(selector, wanted) {
    await page.locator(selector).filter({ hasText: wanted }).first().waitFor();
}


async function number(selector) {
    return parseFloat((await page.locator(selector).textContent())
        .replaceAll(',', ''));
}


/* Asks again until it holds. */

async function until(holds) {
    const end = Date.now() + TIMEOUT;

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

    await openWebSockets(2);
    await until(async () => await number('#websockets') === 2);

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
        });
        await until(async () => {
            const ms = await number('#p50');
            return ms >= 30 && ms < 200;
        });
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
    await page.getByRole('button', { name: 'Next' }).click();
    await text('#page', 'Page 3');
    assert.deepEqual(await ids(), ['lamp-040', 'lamp-041', 'lamp-042',
        'lamp-043', 'lamp-044', 'lamp-045']);
    assert.ok(await page.getByRole('button', { name: 'Next' }).isDisabled());

    await page.getByRole('button', { name: 'Previous' }).click();
    await text('#page', 'Page 2');
    assert.equal((await ids())[0], 'lamp-020');

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
    assert.match(await reply(0).locator('small').textContent(), /^\d+ ms$/);

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


check('a device that leaves', async () => {
    const guest = await Device.attach(SERVER, 'guest', '', obey);

    await login();
    await page.getByRole('button', { name: 'guest' }).click();
    await text('#details', 'Address');
    guest.leave();
    await text('#details-error', 'The device is not attached.');

    await page.getByRole('textbox', { name: 'Message' }).fill('hello?');
    await page.keyboard.press('Enter');
    await text('#replies .error', 'The device is not attached.');

    await page.getByRole('button', { name: 'Refresh' }).click();
    await until(async () => !(await ids()).includes('guest'));
});


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
    await text('#none', 'No device is attached.');
    assert.equal(await number('#num-devices'), 0);
    assert.deepEqual(await ids(), []);
    await text('#errors', 'no call has failed');
    await text('#p50', '–');
    assert.ok(await page.locator('#next').isDisabled());
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
        const first = !after ? 0 : after.startsWith('unit-09')
            ? 1000000 : Number(after.slice(5)) + 1;

        asked.push(limit);
        await route.fulfill({ json: {
            num_devices: 1000000,
            devices: Array.from({ length: Math.min(limit, 1000000 - first) },
                (_, i) => id(first + i))
        } });
    });

    await page.route('**/v1/applications/demo/devices/unit-*', (route) =>
        route.fulfill({ status: 404, json: { msg: '404 Not Found',
            error: 'device_offline' } }));
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
    assert.deepEqual(asked.filter((limit) => limit !== 21), []);

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


for (const colorScheme of ['light', 'dark']) {
    check(`contrast, ${colorScheme}`, async () => {
        await login('wrong');
        await text('#login-error', 'wrong secret');
        assert.deepEqual(await page.evaluate(faint), []);

        await login();
        await page.getByRole('button', { name: 'lamp-007' }).click();
        await text('#details', 'lamp, 7 W');
        await page.getByRole('textbox', { name: 'Message' }).fill('status');
        await page.keyboard.press('Enter');
        await text('#replies .reply', 'status');
        assert.deepEqual(await page.evaluate(faint), []);
    }, { colorScheme });
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
    assert.equal(await number('#num-devices'), LAMPS + 1);

    process.kill(process.ppid, 'SIGUSR2');
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
