/*
 * The page: what is typed and clicked, and what is shown of it.
 */

import { Application, CometaError, Connection } from './client.js';
import { clock, latency, parseHex, show } from './format.js';

const DEVICES_SHOWN = 200;
const LOG_LINES = 500;

const ERRORS = {
    unreachable: 'The server does not answer.',
    unauthorized: 'Unknown application, or wrong secret.',
    invalid_application_id: 'This cannot be the name of an application.',
    device_offline: 'The device is not attached.',
    device_busy: 'Too many calls wait for the device.',
    device_timeout: 'The device did not reply in time.',
    device_disconnected: 'The device left before it replied.',
    device_taken_over: 'The device attached anew before it replied.',
    worker_lost: 'The server lost the device before it replied.',
    overloaded: 'The server is overloaded.',
    refused: 'The server refused the WebSocket.',
};

const CLOSED = {
    1000: 'Disconnected.',
    1001: 'The server closed the connection: it shuts down, or heard nothing.',
    1006: 'The connection to the server is lost.',
    1009: 'The message is too large.',
    1013: 'The server closed the connection: too much was waiting to be read.',
};

const $ = (id) => document.getElementById(id);

let application;        /* the one whose devices are listed */
let devices = [];
let device;             /* id of the one chosen */
let connection;         /* undefined: not open */
let attempts = 0;       /* only the last one counts */


/* The devices of an application */

async function list(event) {
    event.preventDefault();

    const wanted = new Application($('application').value.trim(),
        $('secret').value);

    $('login-error').textContent = '';

    try {
        devices = await wanted.devices();
    } catch (error) {
        $('list').hidden = true;
        $('login-error').textContent = explain(error);
        return;
    }

    if (application?.id !== wanted.id) {
        forget();
    }

    application = wanted;
    devices.sort();
    $('list').hidden = false;
    showDevices();
}


function showDevices() {
    const filter = $('filter').value.trim();
    const found = devices.filter((id) => id.includes(filter));
    const hidden = found.length - DEVICES_SHOWN;

    $('count').textContent = `(${found.length} of ${devices.length})`;
    $('devices').replaceChildren(
        ...found.slice(0, DEVICES_SHOWN).map(deviceItem));
    $('more').textContent = devices.length === 0
        ? 'No device is attached.'
        : hidden > 0 ? `And ${hidden} more: type a part of the name.` : '';
}


function deviceItem(id) {
    const button = element('button', id);

    button.type = 'button';
    button.setAttribute('aria-pressed', id === device);
    button.onclick = () => choose(id);

    const item = element('li');

    item.append(button);
    return item;
}


function choose(id) {
    disconnect();

    device = id;
    $('device').textContent = id;
    $('log').replaceChildren();
    showDevices();
    connect();

    $('talk').scrollIntoView({ block: 'nearest' });
}


function forget() {
    disconnect();

    device = undefined;
    $('device').textContent = 'No device chosen';
    $('details').textContent = '';
    $('log').replaceChildren();
    showState('');
}


/* The connection to a device */

async function connect() {
    const attempt = ++attempts;

    $('talk-error').textContent = '';
    showState('connecting');

    try {
        const details = await application.device(device);
        const opened = await Connection.open(application, device,
            handlers(attempt));

        if (attempt !== attempts) {
            opened.close();
            return;
        }

        connection = opened;
        showDetails(details);
        showState('open');
        $('message').focus();

    } catch (error) {
        if (attempt === attempts) {
            $('talk-error').textContent = explain(error);
            showState('closed');
        }
    }
}


function handlers(attempt) {
    const ifCurrent = (act) => (...args) => {
        if (attempt === attempts) {
            act(...args);
            showWaiting();
        }
    };

    return {
        reply: ifCurrent((data, ms) => log('reply', show(data), latency(ms))),
        fail: ifCurrent((error, ms) => log('error',
            { text: explain(error), form: error.error }, latency(ms))),
        event: ifCurrent((data) => log('event', show(data))),
        close: ifCurrent(closed),
    };
}


function closed(code, lost) {
    const unanswered = lost ? ` Calls without a reply: ${lost}.` : '';
    const why = CLOSED[code] ?? `The connection was closed with code ${code}.`;

    connection = undefined;
    $('talk-error').textContent = why + unanswered;
    showState('closed');
}


/* What the old connection still says is of no interest then. */

function disconnect() {
    attempts++;
    connection?.close();
    connection = undefined;

    $('talk-error').textContent = '';
    showState(device === undefined ? '' : 'closed');
    showWaiting();
}


function toggle() {
    if (connection) {
        disconnect();
    } else {
        connect();
    }
}


/* Messages */

function send(event) {
    event.preventDefault();

    const typed = $('message').value;
    const hex = $('compose').elements.form.value === 'hex';
    const data = hex ? parseHex(typed) : typed;

    $('talk-error').textContent = '';

    if (!data) {
        $('talk-error').textContent = hex
            ? 'Hex is pairs of digits, such as: 01 0a ff'
            : 'An empty message cannot be sent.';
        return;
    }

    connection.send(data);
    log('sent', show(data));
    showWaiting();
    $('message').select();
}


function log(kind, { text, form }, note = '') {
    const lines = $('log');
    const atEnd = lines.scrollHeight - lines.scrollTop
        - lines.clientHeight < 40;
    const line = element('li');

    line.className = kind;
    line.append(
        element('time', clock(new Date())),
        element('b', kind),
        element('pre', text),
        element('small', [form, note].filter(Boolean).join(' · ')));

    lines.append(line);

    while (lines.children.length > LOG_LINES) {
        lines.firstChild.remove();
    }

    if (atEnd) {
        lines.scrollTop = lines.scrollHeight;
    }
}


/* What is shown */

function showState(state) {
    const open = state === 'open';

    $('state').textContent = state;
    $('state').className = state;
    $('toggle').hidden = state === '' || state === 'connecting';
    $('toggle').textContent = open ? 'Disconnect' : 'Connect';
    $('message').disabled = $('send').disabled = !open;
}


function showDetails(details) {
    const since = new Date(details.connected_at * 1000);

    $('details').textContent = [details.info, details.ip_address,
        `attached ${since.toLocaleString()}`].filter(Boolean).join(' · ');
}


function showWaiting() {
    const n = connection?.waiting ?? 0;

    $('waiting').textContent = n ? `waiting for a reply to ${n}` : '';
}


function explain(error) {
    if (!(error instanceof CometaError)) {
        throw error;
    }

    return ERRORS[error.error] ?? `${error.message} (${error.error})`;
}


function element(name, text = '') {
    const made = document.createElement(name);

    made.textContent = text;
    return made;
}


/* #APPLICATION in the address fills in the first field. */

$('application').value = location.hash.slice(1);
$('login').onsubmit = list;
$('filter').oninput = showDevices;
$('toggle').onclick = toggle;
$('compose').onsubmit = send;
