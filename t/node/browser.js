/*
 * The console page in headless Chromium.  What the devices do is in
 * browser/websocket.t.
 */

'use strict';

const assert = require('node:assert/strict');
const { after, before, test } = require('node:test');
const { chromium } = require('playwright-core');
const { faint } = require('./contrast.js');

const { SERVER, CHROMIUM, CONTROL, SCREENSHOT } = process.env;
const TIMEOUT = 8000;
const FLAGS = [
    '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update',
    '--disable-sync'
];

let browser;
let page;
let complaints;     /* of the page: none is wanted */


before(async () => {
    browser = await chromium.launch({
        executablePath: CHROMIUM, args: FLAGS, chromiumSandbox: false
    });
}, { timeout: 20000 });

after(() => browser?.close());


/* Each test has a page of its own. */

function check(name, act, options) {
    test(name, { timeout: 3 * TIMEOUT }, async () => {
        const context = await browser.newContext(options);

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
            await page.goto(`http://${SERVER}/console/`);
            await act();
        } finally {
            await context.close();
        }
    });
}


async function list(secret = 'demo-secret', application = 'demo') {
    await page.getByLabel('Application').fill(application);
    await page.getByLabel('Secret').fill(secret);
    await page.getByRole('button', { name: 'List devices' }).click();
}


async function choose(id) {
    await page.getByRole('button', { name: id, exact: true }).click();
    await text('#state', 'open');
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
    return parseFloat(
        await page.locator('#log .reply small').nth(n).textContent());
}


/* What a browser itself says of a request that failed is no complaint. */

function silent() {
    assert.deepEqual(complaints.filter((text) =>
        !/Failed to load resource|WebSocket connection to/.test(text)), []);
}


check('the devices of an application', async () => {
    await list();
    await text('#count', '(3 of 3)');
    assert.deepEqual(await page.locator('#devices button').allTextContents(),
        ['door-3', 'lamp-1', 'meter-7']);

    await page.getByLabel('Filter').fill('-7');
    await text('#count', '(1 of 3)');
    assert.deepEqual(complaints, []);
});


check('text, its reply and the latency', async () => {
    await list();
    await choose('lamp-1');
    await text('#details', 'lamp, 9 W');

    await say('status');
    await line(0, 'sent', 'status', /^$/);
    await line(1, 'reply', '{"on":true,"level":80}', /^\d+(\.\d)? ms$/);
    assert.equal(await page.locator('#waiting').textContent(), '');
    assert.deepEqual(complaints, []);
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
    await line(1, 'reply', '00 ff 1a', /^3 bytes, hex · \d+(\.\d)? ms$/);

    await say('0', 'hex');
    await text('#talk-error', 'Hex is pairs of digits');
    assert.equal(await page.locator('#log li').count(), 2);
});


check('events', async () => {
    await list();
    await choose('lamp-1');
    await say('ring');
    await line(1, 'reply', 'ringing', /ms$/);
    await line(2, 'event', 'button pressed', /^$/);
    await line(3, 'event', 'ff 00', /^2 bytes, hex$/);
});


check('what a device says is no markup', async () => {
    await list();
    await choose('lamp-1');
    await say('<img src=x onerror=alert(1)>');
    await line(1, 'reply', '<img src=x onerror=alert(1)>', /ms$/);
    assert.equal(await page.locator('#log img').count(), 0);
    assert.deepEqual(complaints, []);
});


check('a wrong secret', async () => {
    await list('wrong');
    await text('#login-error', 'Unknown application, or wrong secret.');
    assert.ok(await page.locator('#list').isHidden());
    silent();

    await list();
    await text('#count', '(3 of 3)');
    assert.equal(await page.locator('#login-error').textContent(), '');
});


check('a secret that is not ASCII, and an unknown application', async () => {
    await list('gehe\u00edm \u{1f511}', 'nobody');
    await text('#login-error', 'Unknown application, or wrong secret.');
    silent();
});


check('another device, and disconnecting', async () => {
    await list();
    await choose('lamp-1');
    await say('one');
    await line(1, 'reply', 'one', /ms$/);

    await choose('meter-7');
    assert.equal(await page.locator('#log li').count(), 0);
    await say('two');
    await line(1, 'reply', 'two', /ms$/);

    await page.getByRole('button', { name: 'Disconnect' }).click();
    await text('#state', 'closed');
    assert.ok(await page.locator('#send').isDisabled());

    await page.getByRole('button', { name: 'Connect', exact: true }).click();
    await text('#state', 'open');
    await say('three');
    await line(3, 'reply', 'three', /ms$/);
});


if (SCREENSHOT) {
    check('a screenshot', async () => {
        await list();
        await choose('lamp-1');
        await say('status');
        await line(1, 'reply', '{"on":true,"level":80}', /ms$/);
        await say('ring');
        await line(4, 'event', 'button pressed', /^$/);
        await say('01 02 fe', 'hex');
        await line(7, 'reply', '01 02 fe', /ms$/);
        await page.screenshot({ path: SCREENSHOT });
    }, {
        viewport: { width: 980, height: 620 }, deviceScaleFactor: 2,
        locale: 'en-GB'
    });
}


/* It does not come back: the list is shorter from here on. */

check('a device that leaves', async () => {
    await list();
    await choose('door-3');
    await say('leave');
    await line(1, 'error', 'The device left before it replied.',
        /^device_disconnected · /);
    await say('anyone?');
    await line(3, 'error', 'The device is not attached.',
        /^device_offline · /);

    await page.getByRole('button', { name: 'Disconnect' }).click();
    await page.getByRole('button', { name: 'Connect', exact: true }).click();
    await text('#talk-error', 'The device is not attached.');
    await text('#state', 'closed');
    silent();
});


/* WCAG AA for all that is read, of the colours as they are computed. */

for (const colorScheme of ['light', 'dark']) {
    check(`contrast, ${colorScheme}`, async () => {
        await list();
        await choose('lamp-1');
        await say('ring');
        await line(2, 'event', 'button pressed', /^$/);
        await list('wrong');
        await text('#login-error', 'wrong secret');

        assert.deepEqual(await page.evaluate(faint), []);
    }, { colorScheme });
}


check('every control has a name, and the keyboard reaches it', async () => {
    await list();
    await choose('lamp-1');

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
                : at.textContent);
        }));
        await page.keyboard.press('Tab');
    }

    assert.deepEqual(reached, ['application', 'secret', 'List devices',
        'filter', 'lamp-1', 'meter-7', 'toggle', 'log', 'message', 'send',
        'text']);
});


check('a phone', async () => {
    await list();
    await choose('lamp-1');
    await say('x'.repeat(300));
    await line(1, 'reply', 'x'.repeat(300), /ms$/);

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

    await text('#state', 'closed');
    await text('#talk-error', /lost|closed the connection/);

    /* the device's worker may have gone first: then the call has failed */
    await page.getByText('Calls without a reply: 1.')
        .or(page.locator('#log .error')).waitFor();

    await page.getByRole('button', { name: 'Connect', exact: true }).click();
    await text('#talk-error', 'The server does not answer.');
    await list();
    await text('#login-error', 'The server does not answer.');
    silent();
});
