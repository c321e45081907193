/*
 * The table of devices, a page of it at a time, and the one that is chosen:
 * what is known of it, calls, and the end of its connection.
 */

import { CometaError } from '../pages/api.js';
import {
    $, curlLine, element, explain, setText, sync, throttle
} from '../pages/dom.js';
import {
    ago, count, lastLatency, measured, moment
} from '../pages/format.js';
import { arrived, DeviceList, lastSeen } from '../pages/list.js';
import { decode, show } from '../pages/messages.js';

const PAGE = 20;
const CELLS = 8;                /* of a row, behind the id */
const DETAILS_EVERY = 10000;    /* ms, while events come */
const DETAILS_BLIND = 2000;     /* ms, while none do */
const REPLIES = 100;            /* lines */
const SHOW_EVERY = 250;         /* ms between changes of what is shown */
const TYPING = 250;             /* ms without a key until a search starts */

let api;                /* undefined: nobody is logged in */
let list;
let channel;            /* undefined: it is not open */
let kicks = false;      /* whether the server has cometa_detach */
let typing;             /* the timer of a search */

let device;             /* id of the one chosen */
let known;              /* of it; undefined: it is not attached */
let seen = 0;           /* when it last said something to this page */
let chosen = 0;         /* how often one was: only the last one counts */
let detailsDue = 0;


export function open(application) {
    api = application;
    $('search').value = '';
    setText($('line'), curlLine(api));
    list = new DeviceList(api, PAGE, showList);
    askKicks(application);
}


export function close() {
    list?.close();
    api = list = channel = undefined;
    kicks = false;
    choose();
    $('devices').replaceChildren();
}


/* The channel that is open, or undefined. */

export function setChannel(open) {
    channel = open;
    list.setLive(Boolean(open));
    detailsDue = 0;
}


export function event(message) {
    list.event(message);

    if (message.device !== device) {
        return;
    }

    seen = Date.parse(message.time) / 1000;

    if (message.event === 'attach') {
        known = arrived(message);
        setText($('details-error'), '');
    } else if (message.event === 'detach'
               && message.session === known?.session)
    {
        known = undefined;
        left(message.reason, Date.parse(message.time) / 1000);

    } else {
        detailsDue = Math.min(detailsDue, performance.now() + DETAILS_BLIND);
    }

    showDevice();
}


/* With each poll of the page: reads anew what is old. */

export function tick() {
    list.tick();
    showList();

    if (device !== undefined) {
        showDevice();

        if (performance.now() >= detailsDue) {
            readDetails();
        }
    }
}


/* A server that does not say has the button until a try shows it. */

async function askKicks(application) {
    const able = await application.kicks().catch(() => true);

    if (application === api) {
        kicks = able;
        showDevice();
    }
}


/* The table */

const showList = throttle(() => {
    if (!list) {
        return;
    }

    const { rows, total, prefix, isFirst, next, error } = list;
    const nothing = !rows.length && total !== undefined && !error;

    setText($('devices-error'), error ? explain(error) : '');
    sync($('devices'), rows, (row) => row.device_id, makeRow, updateRow);

    $('empty').hidden = !nothing || prefix !== '' || !isFirst;
    setText($('none'), !nothing || !$('empty').hidden ? ''
        : prefix ? `No attached device has an id that begins with ${prefix}.`
        : 'There are no more devices.');

    setText($('page'), `Page ${list.starts.length}`);
    $('previous').disabled = isFirst;
    $('next').disabled = next === undefined;
}, SHOW_EVERY);


function makeRow({ device_id: id }) {
    const made = element('tr');
    const head = element('td');

    head.append(element('button', id, {
        type: 'button', onclick: () => choose(id)
    }));
    made.append(head, ...Array.from({ length: CELLS }, () => element('td')));
    return made;
}


function updateRow(made, row) {
    const texts = row.net ? [
        row.info, row.ip_address, ago(row.connected_at),
        row.left ? `left: ${row.left.reason}` : ago(lastSeen(row)),
        lastLatency(row), count(row.net.sent.messages),
        count(row.net.received.messages), count(row.websockets)
    ] : [explain(new CometaError(row.error)), '', '', '', '', '', '', ''];

    texts.forEach((text, i) => setText(made.children[i + 1], text));
    made.classList.toggle('left', Boolean(row.left));
    made.firstChild.firstChild.setAttribute('aria-pressed',
        row.device_id === device);
}


/* The device that is chosen; undefined: none. */

function choose(id) {
    device = id;
    known = id === undefined ? undefined : list.known(id);
    seen = 0;
    chosen++;

    $('device').hidden = id === undefined;
    setText($('device-id'), id ?? '');
    setText($('presence'), '');
    setText($('details-error'), '');
    $('details').replaceChildren();
    $('replies').replaceChildren();
    showList();
    showDevice();

    if (id !== undefined) {
        readDetails();
        $('device').scrollIntoView({ block: 'nearest' });
        $('message').focus({ preventScroll: true });
    }
}


async function readDetails() {
    const choice = chosen;

    detailsDue = performance.now()
        + (channel ? DETAILS_EVERY : DETAILS_BLIND);

    try {
        const read = await api.device(device);

        if (choice === chosen) {
            known = read;
            setText($('details-error'), '');
        }
    } catch (error) {
        if (choice === chosen) {
            notRead(error);
        }
    }

    if (choice === chosen) {
        showDevice();
    }
}


function notRead(error) {
    const { last_seen: seen, reason } = error.answer;

    if (error.error !== 'device_offline') {
        setText($('details-error'), explain(error));
        return;
    }

    known = undefined;

    if (reason || !$('presence').textContent.startsWith('Not attached')) {
        left(reason, seen);
    }
}


function left(reason, time) {
    setText($('presence'), ['Not attached', reason,
        time ? moment(time) : ''].filter(Boolean).join(' · '));
}


const showDevice = throttle(() => {
    const attached = device !== undefined && known !== undefined;

    $('presence').className = attached ? 'open' : 'closed';
    $('kick').hidden = !attached || !kicks;

    if (!attached) {
        return;
    }

    setText($('presence'), 'Attached');
    sync($('details'), Object.entries(facts()), ([name]) => name,
        ([name]) => {
            const fact = element('div');

            fact.append(element('dt', name), element('dd'));
            return fact;
        },
        (fact, [, text]) => setText(fact.lastChild, text));
}, SHOW_EVERY);


function facts() {
    const traffic = ({ messages, bytes }) =>
        `${count(messages)} messages, ${count(bytes)} bytes`;

    return {
        Info: known.info || '–',
        Address: known.ip_address,
        Attached: `${moment(known.connected_at)}, ${ago(known.connected_at)}`,
        'Last seen': ago(lastSeen({ ...known, seen })),
        'Last heartbeat': Number(known.heartbeat)
            ? `${moment(known.heartbeat)}, ${ago(known.heartbeat)}` : '–',
        Latency: lastLatency(known),
        Sent: traffic(known.net.sent),
        Received: traffic(known.net.received),
        WebSockets: known.websockets
    };
}


/* Ends the connection that is shown, not one that came meanwhile. */

async function kick() {
    const { session } = known;
    const choice = chosen;

    if (!confirm(`End the connection of ${device}? It may attach again.`)) {
        return;
    }

    try {
        await api.kick(device, session);

        if (choice === chosen) {
            readDetails();
        }
    } catch (error) {
        kicks &&= error.status !== 405
            && (error.status !== 404 || error.error === 'device_offline');

        if (choice === chosen) {
            setText($('details-error'), explain(error));
            showDevice();
        }
    }
}


/* Calls: several may be under way, each line awaits its own reply. */

async function send(event) {
    event.preventDefault();

    const text = $('message').value;
    const began = performance.now();
    const choice = chosen;
    const line = element('li');
    const reply = element('pre', 'waiting for the reply');
    const note = element('small');

    line.className = 'waiting';
    line.append(element('b', text), reply, note);
    $('replies').prepend(line);
    $('message').select();

    while ($('replies').children.length > REPLIES) {
        $('replies').lastChild.remove();
    }

    try {
        const { data, ms } = await ask(text, began);

        seen = choice === chosen ? Date.now() / 1000 : seen;
        setText(reply, show(data).text);
        setText(note, measured(ms));
        line.className = 'reply';
    } catch (error) {
        setText(reply, explain(error));
        setText(note, [error.error, error.ms === undefined ? ''
            : measured(error.ms)].filter(Boolean).join(' · '));
        line.className = 'error';
    }

    detailsDue = 0;
}


/* Over the channel; without one as a request of its own. */

async function ask(text, began) {
    if (channel) {
        return channel.call(device, text);
    }

    const data = decode(await api.send(device, text));

    return { data, ms: performance.now() - began };
}


function search() {
    clearTimeout(typing);
    list?.find($('search').value.trim());
}


$('search').oninput = () => {
    clearTimeout(typing);
    typing = setTimeout(search, TYPING);
};
$('find').onsubmit = (event) => {
    event.preventDefault();
    search();
};
$('previous').onclick = () => list.back();
$('next').onclick = () => list.forward();
$('refresh').onclick = () => list.read();
$('kick').onclick = kick;
$('send').onsubmit = send;
$('forget').onclick = () => choose();
