/*
 * What the channel brings: its state, the last events, and presence for the
 * table of devices.  Without a channel the table is read again and again.
 */

import { Channel, content } from '../pages/channel.js';
import {
    $, element, setText, showState, sync, throttle
} from '../pages/dom.js';
import { clock } from '../pages/format.js';
import { show } from '../pages/messages.js';
import * as devices from './devices.js';

const EVENTS = 50;              /* shown, the last ones */
const EVENT_LENGTH = 200;       /* characters of one */
const SHOW_EVERY = 250;         /* ms between changes of what is shown */

let channel;            /* undefined: nobody is logged in */
let events = [];        /* the last one first */
let number = 0;         /* of the last one */
let paused = false;


export function open(application) {
    close();
    devices.open(application);
    channel = new Channel(application, { state, event });
}


export function close() {
    channel?.stop();
    channel = undefined;
    events = [];
    number = 0;
    pause(false);
    devices.close();
    $('last').hidden = true;
    setText($('channel'), '');
}


/* With each poll of the page. */

export function tick() {
    devices.tick();
}


function state(name, more) {
    showState($('channel'), name, more);
    $('last').hidden &&= name !== 'open';
    devices.setChannel(name === 'open' ? channel : undefined);
}


function event(message) {
    devices.event(message);

    if (message.event === 'reply') {
        return;
    }

    events.unshift({ number: ++number, message });

    if (events.length > 2 * EVENTS) {
        events.length = EVENTS;
    }

    showEvents();
}


const showEvents = throttle(() => {
    if (paused) {
        return;
    }

    $('no-events').hidden = events.length > 0;
    sync($('events'), events.slice(0, EVENTS), (item) => item.number,
        eventLine);
}, SHOW_EVERY);


function eventLine({ message }) {
    const line = element('li');
    const text = message.event === 'data'
        ? show(content(message, 'data')).text.slice(0, EVENT_LENGTH)
        : [message.reason, message.info].filter(Boolean).join(' · ');

    line.className = message.event;
    line.append(
        element('time', clock(Date.parse(message.time) / 1000)),
        element('b', message.device),
        element('span', message.event === 'data' ? 'event' : message.event),
        element('pre', text));

    return line;
}


function pause(now) {
    paused = now;
    $('pause').setAttribute('aria-pressed', paused);
    showEvents();
}


$('pause').onclick = () => pause(!paused);
