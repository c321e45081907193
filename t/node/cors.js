/*
 * Pages of two other sites, in headless Chromium: what they may do with the API
 * of conf-examples/cors.conf.  The device is in browser/cors.t.
 */

'use strict';

const assert = require('node:assert/strict');
const { after, before, test } = require('node:test');
const { chromium } = require('playwright-core');

const { API, ALLOWED, OTHER, CHROMIUM } = process.env;
const TIMEOUT = 8000;
const FLAGS = [
    '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update',
    '--disable-sync'
];
const DEVICES = '/v1/applications/demo/devices';

let browser;
let page;


before(async () => {
    browser = await chromium.launch({
        executablePath: CHROMIUM, args: FLAGS, chromiumSandbox: false
    });
}, { timeout: 20000 });

after(() => browser?.close());


/* Each test has a page of its own. */

function check(name, site, act) {
    test(name, { timeout: 3 * TIMEOUT }, async () => {
        page = await browser.newPage();
        page.setDefaultTimeout(TIMEOUT);

        try {
            await page.goto(`${site}/`);
            await act();
        } finally {
            await page.close();
        }
    });
}


/* fetch() by the page: what it sees, or the error. */

function ask(path, options = {}, secret = 'demo-secret') {
    return page.evaluate(async ([url, options, secret]) => {
        options.headers = { ...options.headers,
            Authorization: `Bearer ${secret}` };

        try {
            const answer = await fetch(url, options);
            return {
                status: answer.status, text: await answer.text(),
                login: answer.headers.get('WWW-Authenticate')
            };
        } catch (error) {
            return { error: error.name };
        }
    }, [`${API}${path}`, options, secret]);
}


check('a page that may lists the devices', ALLOWED, async () => {
    const answer = await ask(DEVICES);

    assert.equal(answer.status, 200);
    assert.deepEqual(JSON.parse(answer.text).devices, ['lamp-1']);
});


check('calls a device, with headers of its own', ALLOWED, async () => {
    const answer = await ask(`${DEVICES}/lamp-1/send`, {
        method: 'POST', body: 'on',
        headers: { 'Content-Type': 'application/json', Prefer: 'wait=5',
            'Cometa-Wait': '2' }
    });

    assert.equal(answer.text, 'you said on');
});


check('reads errors and their headers', ALLOWED, async () => {
    let answer = await ask(`${DEVICES}/none/send`,
        { method: 'POST', body: 'on' });

    assert.equal(answer.status, 404);
    assert.equal(JSON.parse(answer.text).error, 'device_offline');

    answer = await ask(DEVICES, {}, 'wrong');

    assert.equal(answer.status, 401);
    assert.equal(answer.login, 'OAuth realm="cometa"');
});


check('opens a WebSocket', ALLOWED, async () => {
    const answer = await ask(`${DEVICES}/lamp-1/websocket`);
    const key = JSON.parse(answer.text).device_key;

    const reply = await page.evaluate((url) => new Promise((resolve) => {
        const socket = new WebSocket(url);

        socket.onopen = () => socket.send('hello');
        socket.onmessage = (event) => resolve(event.data);
        socket.onclose = (event) => resolve(`closed: ${event.code}`);
    }), `${API.replace('http', 'ws')}/v1/websockets/lamp-1/${key}`);

    assert.equal(reply, 'you said hello');
});


check('a page of any other site gets nothing', OTHER, async () => {
    assert.deepEqual(await ask(DEVICES), { error: 'TypeError' });
});


check('and its calls do not reach a device', OTHER, async () => {
    const answer = await ask(`${DEVICES}/lamp-1/send`,
        { method: 'POST', body: 'never' });

    assert.deepEqual(answer, { error: 'TypeError' });
});
