/*
 * The table of devices, a page of it at a time, and the one that is chosen:
 * what is known of it, and calls.
 */

import { $, element, explain, row } from './dom.js';
import { ago, count, message, moment } from './format.js';

const PAGE = 20;
const REFRESH_MIN = 5000;       /* ms between readings of the table */
const REFRESH_SHARE = 20;       /* and so many times as long as one takes */
const DETAILS_EVERY = 2000;     /* ms */
const TYPING = 250;             /* ms without a key until a search starts */

let api;                /* undefined: nobody is logged in */
let starts = [''];      /* what each page up to this one is behind */
let readings = 0;       /* only the last one counts */
let due = 0;            /* when the table is read again */
let typing;             /* the timer of a search */
let device;             /* id of the one chosen */
let detailsDue = 0;


export function open(application) {
    api = application;
    $('search').value = '';
    search();
}


export function close() {
    api = undefined;
    readings++;
    choose();
    $('devices').replaceChildren();
}


/* With each poll of the page: reads anew what is old. */

export function tick() {
    const now = performance.now();

    if (now >= due) {
        read();
    }

    if (device && now >= detailsDue) {
        readDetails();
    }
}


/* The table */

function search() {
    starts = [''];
    read();
}


async function read() {
    const reading = ++readings;
    const began = performance.now();
    const prefix = $('search').value.trim();

    due = Infinity;

    try {
        const page = await api.page(PAGE, prefix, starts.at(-1));
        const known = await Promise.all(page.ids.map(look));

        if (reading === readings) {
            $('devices-error').textContent = '';
            show(page, known, prefix);
        }
    } catch (error) {
        if (reading === readings) {
            $('devices-error').textContent = explain(error);
        }
    }

    /* a list of a million is not read as often as one of ten */

    if (reading === readings) {
        const now = performance.now();

        due = now + Math.max(REFRESH_MIN, REFRESH_SHARE * (now - began));
    }
}


/* One that has left since the page was read has only its id. */

async function look(id) {
    try {
        return await api.device(id);
    } catch (error) {
        if (error.error === 'device_offline') {
            return { device_id: id };
        }
        throw error;
    }
}


function show({ ids, more }, known, prefix) {
    const first = starts.length === 1;
    const focus = $('devices').contains(document.activeElement)
        ? document.activeElement.textContent : undefined;

    $('devices').replaceChildren(...known.map(deviceRow));
    buttons().find((button) => button.textContent === focus)?.focus();

    $('none').textContent = ids.length ? ''
        : prefix ? `No attached device has an id that begins with ${prefix}.`
        : first ? 'No device is attached.' : 'There are no more devices.';

    $('page').textContent = `Page ${starts.length}`;
    $('previous').disabled = first;
    $('next').disabled = !more;
    $('next').onclick = () => {
        starts.push(ids.at(-1));
        read();
    };
}


function deviceRow(known) {
    const { device_id: id, net } = known;
    const button = element('button', id, {
        type: 'button', onclick: () => choose(id)
    });
    const made = row('td', ['', ...net ? [
        known.info, known.ip_address, ago(known.connected_at),
        `${known.latency} ms`, count(net.sent.messages),
        count(net.received.messages), known.websockets
    ] : ['left', '', '', '', '', '', '']]);

    button.setAttribute('aria-pressed', id === device);
    made.firstChild.append(button);
    return made;
}


function buttons() {
    return [...$('devices').querySelectorAll('button')];
}


/* The device that is chosen; undefined: none. */

function choose(id) {
    device = id;

    $('device').hidden = !id;
    $('device-id').textContent = id ?? '';
    $('details').replaceChildren();
    $('details-error').textContent = '';
    $('replies').replaceChildren();

    for (const button of buttons()) {
        button.setAttribute('aria-pressed', button.textContent === id);
    }

    if (id) {
        readDetails();
        $('device').scrollIntoView({ block: 'nearest' });
        $('message').focus({ preventScroll: true });
    }
}


async function readDetails() {
    const id = device;

    detailsDue = performance.now() + DETAILS_EVERY;

    try {
        const known = await api.device(id);

        if (id === device) {
            $('details-error').textContent = '';
            showDetails(known);
        }
    } catch (error) {
        if (id === device) {
            $('details-error').textContent = explain(error);
        }
    }
}


function showDetails(known) {
    const traffic = ({ messages, bytes }) =>
        `${count(messages)} messages, ${count(bytes)} bytes`;

    const facts = {
        Info: known.info || '–',
        Address: known.ip_address,
        Attached: `${moment(known.connected_at)}, ${ago(known.connected_at)}`,
        'Last heartbeat': Number(known.heartbeat)
            ? `${moment(known.heartbeat)}, ${ago(known.heartbeat)}` : '–',
        Latency: `${known.latency} ms`,
        Sent: traffic(known.net.sent),
        Received: traffic(known.net.received),
        WebSockets: known.websockets
    };

    $('details').replaceChildren(...Object.entries(facts).flatMap(
        ([name, value]) => [element('dt', name), element('dd', value)]));
}


/* Calls: several may be under way, each line awaits its own reply. */

async function send(event) {
    event.preventDefault();

    const text = $('message').value;
    const began = performance.now();
    const line = element('li');
    const reply = element('pre', 'waiting for the reply');
    const note = element('small');

    line.className = 'waiting';
    line.append(element('b', text), reply, note);
    $('replies').prepend(line);
    $('message').select();

    try {
        reply.textContent = message(await api.send(device, text));
        line.className = 'reply';
    } catch (error) {
        reply.textContent = explain(error);
        line.className = 'error';
    }

    note.textContent = `${Math.round(performance.now() - began)} ms`;
}


$('search').oninput = () => {
    clearTimeout(typing);
    typing = setTimeout(search, TYPING);
};
$('find').onsubmit = (event) => {
    event.preventDefault();
    clearTimeout(typing);
    search();
};
$('previous').onclick = () => {
    starts.pop();
    read();
};
$('refresh').onclick = read;
$('send').onsubmit = send;
$('forget').onclick = () => choose();
