/*
 * The page: the devices of an application, of which one is chosen, and what is
 * said to it and by it.
 */

import { Application } from '../pages/api.js';
import { Channel, content } from '../pages/channel.js';
import {
    $, curlLine, element, explain, setText, showState, sync, throttle
} from '../pages/dom.js';
import {
    ago, clock, count, lastLatency, measured, moment
} from '../pages/format.js';
import { arrived, DeviceList, lastSeen } from '../pages/list.js';
import { parseHex, show } from '../pages/messages.js';

const LISTED = 100;             /* devices on a page of the list */
const LOG_LINES = 500;
const EVENTS_AT_ONCE = 50;      /* lines of events, for each SHOW_EVERY */
const SHOW_EVERY = 250;         /* ms between changes of what is shown */
const DETAILS_EVERY = 10000;    /* ms */
const TYPING = 250;             /* ms without a key until a search starts */

let application;        /* whose devices are listed; undefined: nobody's */
let list;
let channel;
let channelOpen = false;
let kicks = false;      /* whether the server has cometa_detach */
let typing;             /* the timer of a search */

let device;             /* id of the one chosen */
let known;              /* of it; undefined: it is not attached */
let chosen = 0;         /* how often one was: only the last one counts */
let seen = 0;           /* when it last said something to this page */
let waiting = 0;        /* calls to it */
let events = [];        /* of it, not shown yet */
let skipped = 0;        /* more of them than are shown */
let detailsDue = Infinity;


/* The devices of an application */

async function login(event) {
    event.preventDefault();

    const wanted = new Application($('application').value.trim(),
        $('secret').value);

    setText($('login-error'), '');

    try {
        const [able] = await Promise.all([wanted.kicks(),
            wanted.page(1, '', '')]);

        begin(wanted, able);
    } catch (error) {
        end();
        setText($('login-error'), explain(error));
    }
}


function begin(wanted, able) {
    end();

    application = wanted;
    kicks = able;
    $('filter').value = '';
    $('list').hidden = false;
    setText($('line'), curlLine(application));

    list = new DeviceList(application, LISTED, showList);
    channel = new Channel(application, {
        state: channelState, event: heard,
        fault: (error) => setText($('talk-error'), explain(error))
    });
}


function end() {
    channel?.stop();
    list?.close();
    channel = list = application = undefined;
    channelOpen = false;

    choose();
    $('list').hidden = true;
    $('devices').replaceChildren();
    $('channel').className = 'state';
    setText($('channel'), '');
}


function channelState(name, more) {
    channelOpen = name === 'open';
    showState($('channel'), name, more);
    list.setLive(channelOpen);

    if (channelOpen && device !== undefined) {
        readDetails();
    }

    showTalk();

    if (name === 'refused' && more.error.error === 'unauthorized') {
        end();
        setText($('login-error'), explain(more.error));
    }
}


const showList = throttle(() => {
    if (!list) {
        return;
    }

    const { rows, total, prefix, isFirst, next, error } = list;

    setText($('list-error'), error ? explain(error) : '');
    setText($('count'), total === undefined ? '' : `(${count(total)})`);
    sync($('devices'), rows, (row) => row.device_id, makeItem, updateItem);

    const nothing = !rows.length && total !== undefined && !error;

    $('empty').hidden = !nothing || prefix !== '' || !isFirst;
    setText($('none'), !nothing || !$('empty').hidden ? ''
        : prefix ? `No attached device has an id that begins with ${prefix}.`
        : 'There are no more devices.');

    $('pages').hidden = isFirst && next === undefined;
    setText($('page'), `Page ${list.starts.length}`);
    $('previous').disabled = isFirst;
    $('next').disabled = next === undefined;
}, SHOW_EVERY);


function makeItem({ device_id: id }) {
    const item = element('li');
    const button = element('button', '', { type: 'button' });

    button.onclick = () => choose(id);
    button.append(element('b', id), element('small'));
    item.append(button);
    return item;
}


function updateItem(item, row) {
    const button = item.firstChild;

    button.classList.toggle('left', Boolean(row.left));
    button.setAttribute('aria-pressed', row.device_id === device);
    setText(button.lastChild, row.left ? `left: ${row.left.reason}`
        : row.event ? `${clock(Date.parse(row.event.time) / 1000)} ${
            show(content(row.event, 'data')).text.slice(0, 60)}`
        : row.info ?? row.error ?? '');
}


/* The device that is chosen; undefined: none. */

function choose(id) {
    device = id;
    known = id === undefined ? undefined : list.known(id);
    chosen++;
    seen = waiting = skipped = 0;
    events = [];

    setText($('device'), id ?? 'No device chosen');
    setText($('details'), '');
    setText($('talk-error'), '');
    $('lines').replaceChildren();
    showTalk();

    if (id !== undefined) {
        showDetails();
        readDetails();
        showList();
        $('talk').scrollIntoView({ block: 'nearest' });
        $('message').focus();
    }
}


async function readDetails() {
    const choice = chosen;

    detailsDue = performance.now() + DETAILS_EVERY;

    try {
        const read = await application.device(device);

        if (choice === chosen) {
            known = read;
            showDetails();
        }
    } catch (error) {
        if (choice === chosen) {
            notRead(error);
        }
    }

    if (choice === chosen) {
        showTalk();
    }
}


function notRead(error) {
    const { last_seen: seen, reason } = error.answer;

    if (error.error !== 'device_offline') {
        setText($('talk-error'), explain(error));
        return;
    }

    known = undefined;
    setText($('details'), [explain(error),
        seen ? `Last seen ${ago(seen)}` : '', reason ?? '']
        .filter(Boolean).join(' · '));
}


/* What the channel tells. */

function heard(message) {
    list.event(message);

    if (message.device !== device) {
        return;
    }

    seen = Date.parse(message.time) / 1000;

    if (message.event === 'attach') {
        known = arrived(message);
    } else if (message.event === 'detach'
               && message.session === known?.session)
    {
        known = undefined;
        detailsDue = 0;
    }

    if (events.length < EVENTS_AT_ONCE) {
        events.push(message);
    } else {
        skipped++;
    }

    showEvents();
}


const showEvents = throttle(() => {
    logEvents();

    if (device !== undefined) {
        showDetails();
        showTalk();
    }
}, SHOW_EVERY);


function logEvents() {
    events.splice(0).forEach(logEvent);

    if (skipped) {
        log('event', { text: `and ${count(skipped)} more`, form: '' });
        skipped = 0;
    }
}


function logEvent(message) {
    if (message.event === 'data') {
        log('event', show(content(message, 'data')), `no. ${message.seq}`);
    } else if (message.event !== 'reply') {
        log(message.event, { text: message.reason,
            form: message.address ?? '' });
    }
}


/* Messages */

async function send(event) {
    event.preventDefault();

    const typed = $('message').value;
    const hex = $('compose').elements.form.value === 'hex';
    const data = hex ? parseHex(typed) : typed;
    const choice = chosen;

    setText($('talk-error'), '');

    if (!data) {
        setText($('talk-error'), hex
            ? 'Hex is pairs of digits, such as: 01 0a ff'
            : 'An empty message cannot be sent.');
        return;
    }

    const reply = channel.call(device, data);

    log('sent', show(data));
    waiting++;
    showTalk();
    $('message').select();

    const [kind, ...said] = await reply.then(
        (reply) => ['reply', show(reply.data), measured(reply.ms)],
        (error) => ['error', { text: explain(error), form: error.error },
            error.ms === undefined ? '' : measured(error.ms)]);

    if (choice === chosen) {
        seen = kind === 'reply' ? Date.now() / 1000 : seen;
        waiting--;
        logEvents();
        log(kind, ...said);
        showTalk();
        detailsDue = 0;
    }
}


function log(kind, { text, form }, note = '') {
    const box = $('log');
    const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    const line = element('li');

    line.className = kind;
    line.append(
        element('time', clock(Date.now() / 1000)),
        element('b', kind),
        element('pre', text),
        element('small', [form, note].filter(Boolean).join(' · ')));

    $('lines').append(line);

    while ($('lines').children.length > LOG_LINES) {
        $('lines').firstChild.remove();
    }

    if (atEnd) {
        box.scrollTop = box.scrollHeight;
    }
}


/* Ends the connection that is shown, not one that came meanwhile. */

async function kick() {
    const { session } = known;
    const choice = chosen;

    if (!confirm(`End the connection of ${device}? It may attach again.`)) {
        return;
    }

    try {
        await application.kick(device, session);

        if (choice === chosen && !channelOpen) {
            readDetails();
        }
    } catch (error) {
        kicks &&= error.status !== 405
            && (error.status !== 404 || error.error === 'device_offline');

        if (choice === chosen) {
            setText($('talk-error'), explain(error));
            showTalk();
        }
    }
}


/* What is shown */

function showTalk() {
    const attached = known !== undefined;
    const ready = device !== undefined && channelOpen;

    $('state').className = attached ? 'open' : 'closed';
    setText($('state'), device === undefined ? ''
        : attached ? 'attached' : 'not attached');
    $('kick').hidden = !attached || !kicks;
    $('message').disabled = $('send').disabled = !ready;
    setText($('waiting'), waiting ? `waiting for a reply to ${waiting}` : '');
}


function showDetails() {
    if (!known) {
        setText($('details'), '');
        return;
    }

    setText($('details'), [known.info, known.ip_address,
        `attached ${moment(known.connected_at)}`,
        `last seen ${ago(lastSeen({ ...known, seen }))}`,
        `${count(known.net.received.messages)} messages to it, ${
            count(known.net.sent.messages)} from it`,
        `latency ${lastLatency(known)}`].filter(Boolean).join(' · '));
}


setInterval(() => {
    list?.tick();

    if (device !== undefined && performance.now() >= detailsDue) {
        readDetails();
    }
}, 1000);


/* #APPLICATION in the address fills in the first field. */

$('application').value = location.hash.slice(1);
$('login').onsubmit = login;
$('filter').oninput = () => {
    clearTimeout(typing);
    typing = setTimeout(() => list?.find($('filter').value.trim()), TYPING);
};
$('previous').onclick = () => list.back();
$('next').onclick = () => list.forward();
$('kick').onclick = kick;
$('compose').onsubmit = send;
