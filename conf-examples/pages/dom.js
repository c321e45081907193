/*
 * Short ways into the page, and the words for what can go wrong.
 */

import { CometaError } from './api.js';

const ERRORS = {
    unreachable: 'The server does not answer.',
    unauthorized: 'Unknown application, or wrong secret.',
    forbidden: 'The server does not allow this.',
    invalid_application_id: 'This cannot be the name of an application.',
    empty_message: 'An empty message cannot be sent.',
    message_too_large: 'The message is larger than the server allows.',
    device_offline: 'The device is not attached.',
    device_busy: 'Too many calls wait for the device.',
    device_timeout: 'The device did not reply in time.',
    device_disconnected: 'The device left before it replied.',
    device_taken_over: 'The device attached anew before it replied.',
    worker_lost: 'The server lost the device before it replied.',
    overloaded: 'The server is overloaded.',
    draining: 'The server is shutting down.',
    zone_full: 'The server has no room for another application.',

    /* of the channel */

    lost: 'The connection to the server was lost before the reply came: the '
        + 'device may have got the message.',
    not_sent: 'Not sent: there is no connection to the server now.',
    closed: 'The server refused the channel.',
    closed_1001: 'The server closed the channel: it shuts down, or heard '
        + 'nothing.',
    closed_1006: 'The connection to the server is lost.',
    closed_1009: 'The server closed the channel: a message was too large.',
    closed_1013: 'The server closed the channel: events came faster than this '
        + 'page reads them.'
};

const STATES = {
    connecting: () => 'Connecting',
    open: ({ narrowed }) => narrowed
        ? 'Live, but for events: these came faster than this page reads them'
        : 'Live',
    lost: ({ error, wait }) => `${explain(error)} Next try in ${
        Math.ceil(wait / 1000)} s.`,
    refused: ({ error }) => `Not live: ${explain(error)}`,
    none: () => 'Not live: the server has no location with cometa_channel.'
};


export const $ = (id) => document.getElementById(id);


/* Texts only ever become text, never markup: devices have written them. */

export function element(name, text = '', properties = {}) {
    return Object.assign(document.createElement(name),
        { textContent: text }, properties);
}


/* What is read aloud, or copied, is not touched without a change. */

export function setText(node, text) {
    if (node.textContent !== text) {
        node.textContent = text;
    }
}


/*
 * Makes the children of a node those of the items, in their order. A child
 * whose key is still there stays the same node, with its focus: nobody clicks
 * on what has just been replaced.
 */

export function sync(node, items, key, make, update) {
    const old = new Map([...node.children].map((child) => [child.key, child]));
    const wanted = items.map((item) => {
        const name = key(item);
        const child = old.get(name)
            ?? Object.assign(make(item), { key: name });

        old.delete(name);
        update?.(child, item);
        return child;
    });

    for (const child of old.values()) {
        child.remove();
    }

    wanted.forEach((child, i) => {
        if (node.children[i] !== child) {
            node.insertBefore(child, node.children[i] ?? null);
        }
    });
}


/* Acts at once, but not more often than every so many ms; the last counts. */

export function throttle(act, ms) {
    let timer;
    let again = false;

    return function acts() {
        if (timer) {
            again = true;
            return;
        }

        act();

        timer = setTimeout(() => {
            timer = undefined;

            if (again) {
                again = false;
                acts();
            }
        }, ms);
    };
}


/* What is no error of the API is a mistake in this page: it is not hidden. */

export function explain(error) {
    if (!(error instanceof CometaError)) {
        throw error;
    }

    const { hint } = error.answer;

    return (ERRORS[error.error] ?? `${error.message} (${error.error}).`)
        + (hint && hint !== error.message ? ` ${hint}.` : '');
}


/* The state of a channel, in a node that the style sheet colours. */

export function showState(node, name, more) {
    node.className = `state ${name}`;
    setText(node, STATES[name](more));
}


/* A line for a shell that attaches a device with curl. */

export function curlLine(application) {
    const http1 = location.protocol === 'https:' ? ' --http1.1' : '';

    return `curl -sN -T . -X POST${http1} ${location.origin}/v1/applications/${
        application.id}/devices/lamp-1`;
}
