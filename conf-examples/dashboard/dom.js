/*
 * Short ways into the page, and the words for what can go wrong.
 */

import { CometaError } from './api.js';

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
    overloaded: 'The server is overloaded.'
};


export const $ = (id) => document.getElementById(id);


/* Texts only ever become text, never markup: devices have written them. */

export function element(name, text = '', properties = {}) {
    return Object.assign(document.createElement(name),
        { textContent: text }, properties);
}


export function row(name, texts) {
    const made = element('tr');

    made.append(...texts.map((text) => element(name, text)));
    return made;
}


/* What is no error of the API is a mistake in this page: it is not hidden. */

export function explain(error) {
    if (!(error instanceof CometaError)) {
        throw error;
    }

    return ERRORS[error.error] ?? `${error.message} (${error.error}).`;
}
