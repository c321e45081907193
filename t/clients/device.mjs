/* A device by the library in JavaScript; what it does stands in device.c. */

import { Device } from '../../clients/js/index.js';

const [port, name, options, secret] = process.argv.slice(2);
const bytes = new TextEncoder(), text = new TextDecoder();
const meeting = [];


async function obey(call) {
    const message = text.decode(call);
    const [word, ...words] = message.split(' ');
    const rest = words.join(' ');

    switch (word) {

    case 'event':
        device.event(rest);
        return 'sent';

    case 'ask':
        ask(words.slice(1).join(' '));
        return 'asked';

    case 'late':
        await new Promise((resolve) => setTimeout(resolve, 300));
        return rest;

    case 'meet':
        return new Promise((resolve) => {
            meeting.push(resolve);

            if (meeting.length === Number(rest)) {
                meeting.splice(0).forEach((met) => met('met'));
            }
        });

    case 'fail':
        throw new Error('as told');

    case 'leave':
        device.stop();
        return 'leaving';

    default:
        return bytes.encode(message.repeat(word / message.length + 1))
            .subarray(0, word);
    }
}


async function ask(question) {
    try {
        console.log('answer', text.decode(await device.request(question)));
    } catch (error) {
        console.log('answer', error.error);
    }
}


const device = new Device(
    process.env.URL ?? `http://127.0.0.1:${port}/v1`, 'app1', name, obey, {
        secret,
        info: 'a device in JavaScript',
        echo: options.includes('e'),
        requests: options.includes('r'),
        heartbeat: options.includes('h') ? 1 : undefined,
        pipeline: options.includes('p') ? 16 : 1,
        attached: ({ sessions, heartbeat }) =>
            console.log(`attached ${sessions} ${heartbeat}`),
        ended: ({ error, status }, wait) =>
            console.log(`${error} ${status} ${Math.floor(wait * 1000)} ms`)
    });

await device.run();
