/*
 * The page: who is logged in, and the figures, read again every second.
 */

import { Application, CometaError } from '../pages/api.js';
import { $, element, explain, setText } from '../pages/dom.js';
import {
    bytesPerSecond, compact, count, duration, perSecond
} from '../pages/format.js';
import { chart, library } from './charts.js';
import * as live from './live.js';
import { History, metrics, rate } from './metrics.js';

const EVERY = 1000;             /* ms */
const KEPT = 900;               /* readings: a quarter of an hour */
const LOGIN = 'cometa-dashboard';       /* in the storage of this tab */

const CHARTS = {
    'calls-chart': [
        { label: 'Answered', name: 'ok', color: '--one', value: perSecond },
        { label: 'Failed', name: 'failing', color: '--bad', value: perSecond }
    ],
    'latency-chart': [
        { label: 'p50', name: 'latency_p50', color: '--one',
          value: duration },
        { label: 'p90', name: 'latency_p90', color: '--two',
          value: duration },
        { label: 'p99', name: 'latency_p99', color: '--three',
          value: duration },
        { label: 'p99.9', name: 'latency_p999', color: '--four',
          value: duration }
    ],
    'devices-chart': [
        { label: 'Devices', name: 'num_devices', color: '--one',
          value: count }
    ],
    'events-chart': [
        { label: 'Events per second', name: 'eventing', color: '--two',
          value: perSecond },
        { label: 'WebSockets', name: 'websockets', color: '--three',
          value: count }
    ]
};

const history = new History(['time', ...Object.values(CHARTS).flat()
    .map((series) => series.name)], KEPT);

let api;                /* undefined: nobody is logged in */
let last;               /* reading */
let draw = [];          /* the charts */


async function poll(application) {
    try {
        const [stats, server] = await Promise.all([
            application.stats(), metrics().catch((error) => error)
        ]);

        if (application === api) {
            reached(stats, server);
        }
    } catch (error) {
        if (application === api) {
            missed(error);
        }
    }

    if (application === api) {
        setTimeout(poll, EVERY, application);
    }
}


function reached(stats, server) {
    const now = reading(stats);

    setText($('problem'), '');
    setText($('login-error'), '');
    $('board').classList.remove('stale');

    if ($('board').hidden) {
        enter();
    }

    history.push(now);
    showTiles(now);
    showServer(server, now);
    showCharts();
    live.tick();

    last = now;
}


function missed(error) {
    if (error.error === 'unauthorized' || $('board').hidden) {
        logout();
        $('login-error').textContent = explain(error);
        return;
    }

    setText($('problem'), `${explain(error)} What is shown is old; `
        + 'trying again.');
    $('board').classList.add('stale');

    history.push({ time: seconds() });
    showCharts();

    last = undefined;
}


function enter() {
    $('login').hidden = true;
    $('board').hidden = $('who').hidden = false;
    live.open(api);
}


/* What is known at a moment, and what changes in a second since the last. */

function reading(stats) {
    const now = { ...stats, time: seconds() };
    const quiet = stats.latency_max === 0;      /* no call in the window */

    for (const name of ['p50', 'p90', 'p99', 'p999']) {
        now[`latency_${name}`] = quiet ? null : stats[`latency_${name}`];
    }

    return Object.assign(now, {
        ok: rate(last, now, 'messages'),
        failing: rate(last, now, 'failed'),
        eventing: rate(last, now, 'events'),
        up: rate(last, now, 'bytes_up'),
        down: rate(last, now, 'bytes_down')
    });
}


/* Since 1970, and never backwards. */

function seconds() {
    return (performance.timeOrigin + performance.now()) / 1000;
}


function showTiles(now) {
    const texts = {
        'num-devices': count(now.num_devices),
        'attaches': `${compact(now.attached_total)} attached, `
            + `${compact(now.detached_total)} left`,
        'calls-rate': perSecond(now.ok === null ? null
            : now.ok + now.failing),
        'calls-total': `${compact(now.messages)} answered`,
        'failing': perSecond(now.failing),
        'failed-total': `${compact(now.failed)} in all`,
        'p50': duration(now.latency_p50),
        'p99': `p99 ${duration(now.latency_p99)}`,
        'calls': count(now.calls),
        'queued': `${count(now.queued)} wait for their turn`,
        'events-rate': perSecond(now.eventing),
        'events-total': `${compact(now.events)} in all`,
        'websockets': count(now.websockets),
        'websockets-slow': `${count(now.websockets_slow)} were too slow`,
        'down': bytesPerSecond(now.down),
        'up': `from them ${bytesPerSecond(now.up)}`
    };

    for (const [id, text] of Object.entries(texts)) {
        setText($(id), text);
    }

    $('name').textContent = now.name;
    showTls(now);
}


/* Nothing where "cometa_tls_park" is off. */

function showTls(now) {
    const reasons = Object.entries(now)
        .filter(([name, n]) => name.startsWith('tls_unparked_') && n)
        .map(([name, n]) => `${compact(n)} ${name.split('_').pop()}`);

    $('tls').hidden = !now.tls_parked_total && !reasons.length;
    $('tls').textContent = `Over TLS: ${count(now.tls_parked)} parked, `
        + `${compact(now.tls_parked_total)} in all; `
        + `not parked: ${reasons.join(', ') || 'none'}.`;
}


/* What only the metrics of the whole server tell: these may be closed to us. */

function showServer(server, now) {
    const closed = server instanceof CometaError;

    $('server').hidden = closed;
    $('server-error').textContent = closed
        ? `Errors by word, workers and the zone are not shown: ${
            explain(server)}` : '';

    if (closed) {
        return;
    }

    if (server instanceof Error) {
        throw server;
    }

    showErrors(server, now);
    showWorkers(server.all('cometa_worker_devices'));
    showZone(server);
}


function showErrors(server, { late, errors }) {
    const failed = server
        .all('cometa_calls_total', { application: api.id })
        .filter(({ labels, value }) => labels.outcome !== 'ok' && value)
        .map(({ labels, value }) => [labels.outcome, value])
        .sort(([, a], [, b]) => b - a);

    showBars('errors', failed.length ? failed : [['no call has failed', 0]]);
    $('late').textContent = `Late replies: ${count(late)}. Malformed or `
        + `stray messages of devices: ${count(errors)}.`;
}


function showWorkers(workers) {
    const held = workers.map(({ value }) => value);

    showBars('workers', workers.map(({ labels, value }) =>
        [`worker ${labels.slot}`, value]));
    $('spread').textContent = held.length ? `${held.length} workers hold `
        + `${count(Math.min(...held))} to ${count(Math.max(...held))} devices,`
        + ' those of all applications' : '';
}


function showZone(server) {
    const gauge = (name) => server.sum(`cometa_zone_${name}`);

    showBars('zone', ['records', 'applications'].map((name) =>
        [name, gauge(`${name}_used`), gauge(`${name}_capacity`)]));
    $('mailboxes').textContent = `Unread mail between workers: ${
        compact(server.sum('cometa_mailbox_bytes'))}B. Messages that found a `
        + `mailbox full: ${
            count(server.sum('cometa_mailbox_overflows_total'))}, lost: ${
            count(server.sum('cometa_mailbox_lost_total'))}.`;
}


/* Rows of a name, a number and a bar, relative to the most or to its own. */

function showBars(id, rows) {
    const most = Math.max(1, ...rows.map(([, value]) => value));

    $(id).replaceChildren(...rows.map(([name, value, capacity]) => {
        const share = value / (capacity ?? most);
        const line = element('div');
        const text = element('dd');
        const bar = element('i');

        bar.style.width = `${100 * share}%`;
        bar.classList.toggle('full', capacity !== undefined && share > 0.9);

        text.append(element('span', capacity
            ? `${count(value)} of ${count(capacity)}` : count(value)), bar);
        line.append(element('dt', name), text);

        return line;
    }));
}


function showCharts() {
    draw.forEach((show) => show());
}


async function prepareCharts() {
    const uPlot = await library();

    $('charts').hidden = !uPlot;
    $('no-charts').hidden = Boolean(uPlot);

    if (!uPlot) {
        return;
    }

    draw = Object.entries(CHARTS).map(([id, series]) => {
        const show = chart(uPlot, $(id), series);
        const names = ['time', ...series.map(({ name }) => name)];

        return () => show(history.pick(names));
    });
}


/* Logging in is the first poll that succeeds. */

function login(id, secret) {
    api = new Application(id, secret);
    last = undefined;
    history.clear();
    sessionStorage.setItem(LOGIN, JSON.stringify({ id, secret }));
    poll(api);
}


function logout() {
    api = undefined;
    sessionStorage.removeItem(LOGIN);
    live.close();
    $('problem').textContent = '';
    $('login').hidden = false;
    $('board').hidden = $('who').hidden = true;
}


$('login').onsubmit = (event) => {
    event.preventDefault();
    login($('application').value.trim(), $('secret').value);
};

$('logout').onclick = () => {
    logout();
    $('secret').value = $('login-error').textContent = '';
};

prepareCharts();

const stored = sessionStorage.getItem(LOGIN);

if (stored) {
    const { id, secret } = JSON.parse(stored);

    $('application').value = id;
    login(id, secret);
} else {
    $('application').value = location.hash.slice(1);
}
