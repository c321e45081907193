/*
 * The options: their names, defaults and limits.
 */

'use strict';

const { parseArgs } = require('node:util');

const USAGE = `usage: load-generator.js [OPTION]...
Applications with a WebSocket each to a device chosen at random: they send a
ping of 32 bytes and, after its reply, pause before the next. When all
WebSockets are open the line "open N" is printed and the duration begins.
SIGINT or SIGTERM ends it with a report of what there is.

  --server_name NAME    server (127.0.0.1)
  --server_port PORT    its port (80)
  --use_ssl             TLS; the certificate is not checked
  --app_id ID           application id (app)
  --app_secret SECRET   its secret
  --device_id N         numeric id of the first device (1)
  --devices N           number of devices (1)
  --response_size N     size of a reply: the message, repeated; 0 for the
                        message itself (0)
  --applications N      number of applications (1)
  --pause_min S         shortest pause after a reply (1)
  --pause_max S         longest pause (3)
  --reply_timeout S     a reply that takes longer is lost (60)
  --duration S          seconds of load (300)
  --concurrency N       WebSockets being opened at a time (64)
  --progress S          seconds between lines of progress (5)
  --quiet               no progress
  --json                the report as one line of JSON
  --percentiles         also the distribution of latencies, in ms
  --help                this text

Exit status: 0 if all was right; 1 if an error, a wrong or lost reply or a lost
WebSocket was seen, or nothing could be; 2 for wrong options; 3 if the run
itself failed.
`;

const MAX_SECONDS = 1000000;

const whole = (least, most) => ({ least, most, whole: true });
const seconds = (least) => ({ least, most: MAX_SECONDS });

const NUMBERS = {
    server_port: { default: 80, ...whole(1, 65535) },
    device_id: { default: 1, ...whole(0, 1e15) },
    devices: { default: 1, ...whole(1, 1e8) },
    response_size: { default: 0, ...whole(0, 1e8) },
    applications: { default: 1, ...whole(1, 1e6) },
    pause_min: { default: 1, ...seconds(0) },
    pause_max: { default: 3, ...seconds(0) },
    reply_timeout: { default: 60, ...seconds(0.001) },
    duration: { default: 300, ...seconds(0.001) },
    concurrency: { default: 64, ...whole(1, 65535) },
    progress: { default: 5, ...seconds(0.001) }
};

const TEXTS = { server_name: '127.0.0.1', app_id: 'app', app_secret: '' };

const SWITCHES = ['use_ssl', 'quiet', 'json', 'percentiles', 'help'];


function number(name, text) {
    const { least, most, whole } = NUMBERS[name];
    const value = Number(text);

    if (!/^\d+(\.\d+)?$/.test(text) || value < least || value > most
        || (whole && !Number.isSafeInteger(value)))
    {
        throw new Error(`--${name} must be ${whole ? 'an integer' : 'a number'}`
            + ` from ${least} to ${most}, not "${text}"`);
    }

    return value;
}


function known() {
    const options = {};

    for (const name of Object.keys({ ...NUMBERS, ...TEXTS })) {
        options[name] = { type: 'string' };
    }

    for (const name of SWITCHES) {
        options[name] = { type: 'boolean' };
    }

    return options;
}


function check(options) {
    if (options.pause_min > options.pause_max) {
        throw new Error('--pause_min must not be above --pause_max');
    }

    if (options.json && options.percentiles) {
        throw new Error('--percentiles is no JSON: take one of the two');
    }

    if (!/^[\w.~:@+-]{1,64}$/.test(options.app_id)) {
        throw new Error(`--app_id "${options.app_id}" is not an id`);
    }
}


function read(args) {
    const { values } = parseArgs({ args, options: known() });
    const options = { ...TEXTS, ...values };

    for (const [name, { default: value }] of Object.entries(NUMBERS)) {
        options[name] = name in values ? number(name, values[name]) : value;
    }

    check(options);

    return options;
}


/* Ends the program itself if there is nothing to run. */

function read_or_exit(args) {
    let options;

    try {
        options = read(args);

    } catch (error) {
        console.error(`load-generator.js: ${error.message}\n`
            + 'load-generator.js: --help lists the options');
        process.exit(2);
    }

    if (options.help) {
        process.stdout.write(USAGE);
        process.exit(0);
    }

    return options;
}


module.exports = { read_or_exit };
