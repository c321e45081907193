/*
 * A page of the devices of an application, kept current by the events of the
 * channel: who attaches appears, who leaves is marked and then goes.  For the
 * figures it is read anew, rarely while events come, often while none do.
 *
 * The page never holds more than `limit` devices, however many there are.
 */

const LEFT_SHOWN = 10000;       /* ms that one that has left is shown */
const READ_LIVE = 30000;        /* ms between readings while events come, */
const READ_BLIND = 5000;        /* and without */
const READ_SHARE = 20;          /* and so many times as long as one takes */
const READ_SOON = 1000;
const KEPT = 10000;             /* events, during a reading */


export class DeviceList {
    /* changed() is called when there is something else to show */

    constructor(application, limit, changed) {
        Object.assign(this, { application, limit, changed });

        this.live = false;      /* whether the channel is open */
        this.readings = 0;      /* only the last one counts */
        this.find('');
    }

    find(prefix) {
        this.prefix = prefix;
        this.starts = [''];     /* what each page up to this is behind */
        this.rows = [];
        this.total = undefined; /* devices with this prefix */
        this.next = undefined;  /* the id that the next page is behind */
        this.read();
    }

    get isFirst() {
        return this.starts.length === 1;
    }

    /* For good. */

    close() {
        this.readings++;
        this.rows = [];
        this.due = Infinity;
        this.changed = () => {};
    }

    /* Once: a second click waits for the page that has another `next`. */

    forward() {
        if (this.next !== undefined) {
            this.starts.push(this.next);
            this.next = undefined;
            this.read();
        }
    }

    back() {
        if (!this.isFirst) {
            this.starts.pop();
            this.read();
        }
    }

    async read() {
        const reading = ++this.readings;
        const began = performance.now();
        let error;
        let page;

        this.due = Infinity;
        this.kept = [];

        try {
            page = await this.application.page(this.limit, this.prefix,
                this.starts.at(-1));
        } catch (thrown) {
            error = thrown;
        }

        if (reading !== this.readings) {
            return;
        }

        const kept = this.kept;
        const now = performance.now();
        const exact = this.live && !kept.length;

        /* who came meanwhile may be counted twice, or not at all */

        this.error = error;
        this.kept = undefined;
        this.due = now + Math.max(exact ? READ_LIVE : READ_BLIND,
            READ_SHARE * (now - began));

        if (page) {
            this.take(page);
        }

        kept.forEach((message) => this.presence(message));
        this.changed();
    }

    take({ num_devices: total, next, devices }) {
        const old = new Map(this.rows.map((row) => [row.device_id, row]));

        this.total = total;
        this.next = next;
        this.rows = devices.map((known) => ({
            ...known,
            event: old.get(known.device_id)?.event,
            seen: old.get(known.device_id)?.seen
        }));
    }

    /* The channel is open, or lost: what happened meanwhile is not known. */

    setLive(live) {
        if (live && !this.live) {
            this.read();
        } else if (!live) {
            this.soon();
        }

        this.live = live;
    }

    /* From time to time: reads what is old, and lets go who has left. */

    tick() {
        const now = performance.now();
        const rows = this.rows.filter(({ left }) =>
            !left || now - left.since < LEFT_SHOWN);

        if (rows.length !== this.rows.length) {
            this.rows = rows;
            this.changed();

            if (this.next !== undefined && 2 * rows.length < this.limit
                || !rows.length && !this.isFirst)
            {
                this.soon();
            }
        }

        if (now >= this.due) {
            this.read();
        }
    }

    /* Not while it is read. */

    soon() {
        if (!this.kept) {
            this.due = Math.min(this.due, performance.now() + READ_SOON);
        }
    }

    /* Of the channel. */

    event(message) {
        if (!message.device.startsWith(this.prefix)) {
            return;
        }

        if (message.event === 'data') {
            this.said(message);

        } else if (message.event !== 'attach' && message.event !== 'detach') {
            return;

        } else if (!this.kept) {
            this.presence(message);
            this.changed();

        } else if (this.kept.length < KEPT) {
            this.kept.push(message);
        }
    }

    said(message) {
        const row = this.row(message.device);

        if (row) {
            row.event = message;
            row.seen = seconds(message.time);

            if (row.net) {
                row.net.sent.messages = Number(row.net.sent.messages) + 1;
            }

            this.changed();
        }
    }

    row(id) {
        const row = this.rows[this.place(id)];

        return row?.device_id === id ? row : undefined;
    }

    /* What is known of a device of the page that is attached, or undefined. */

    known(id) {
        const row = this.row(id);

        return row?.net && !row.left ? row : undefined;
    }

    /* Of the first row that is not before the id. */

    place(id) {
        const i = this.rows.findIndex((row) => row.device_id >= id);

        return i < 0 ? this.rows.length : i;
    }

    presence(message) {
        const change = message.reason === 'taken_over' ? 0 : 1;

        if (message.event === 'attach') {
            this.attached(message, change);
        } else {
            this.left(message, change);
        }
    }

    /* What is known of a later session, or of this one, is newer. */

    attached(message, change) {
        const id = message.device;
        const known = this.row(id);

        if (known && compare(known.session, message.session) >= 0) {
            return;
        }

        this.total += change;

        if (known) {
            this.rows[this.place(id)] = arrived(message);
            return;
        }

        if (id <= this.starts.at(-1)
            || this.next !== undefined && id > this.next)
        {
            return;
        }

        this.rows.splice(this.place(id), 0, arrived(message));

        if (this.rows.length > this.limit) {
            this.rows.pop();
            this.next = this.rows.at(-1).device_id;
        }
    }

    left(message, change) {
        const known = this.row(message.device);

        if (known?.left) {
            return;
        }

        this.total = Math.max(0, this.total - change);

        if (known && compare(known.session, message.session) <= 0) {
            known.left = { reason: message.reason, since: performance.now() };
            known.seen = seconds(message.time);
        }
    }
}


/* When something was last heard of a device: seconds since 1970. */

export function lastSeen({ heartbeat, connected_at: since, seen }) {
    return Math.max(Number(heartbeat), Number(since), seen ?? 0);
}


/* What an attach tells of a device; it has done nothing yet. */

export function arrived({ device, session, info, address, time }) {
    const none = () => ({ bytes: 0, messages: 0 });

    return {
        device_id: device, session, info, ip_address: address,
        connected_at: Math.floor(seconds(time)), heartbeat: 0, latency: 0,
        websockets: 0, net: { received: none(), sent: none() }
    };
}


/* Sessions are numbers that may be too large for a Number. */

function compare(a = '', b = '') {
    return a.length - b.length || (a < b ? -1 : a > b ? 1 : 0);
}


function seconds(time) {
    return Date.parse(time) / 1000;
}
