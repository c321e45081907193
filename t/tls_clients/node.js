// A device over TLS of Node.js; what it does stands in device.c.

'use strict';

const tls = require('tls');

const [port, version, device] = process.argv.slice(2);

let input = Buffer.alloc(0);
let greeted = false;
let attached = false;
let closed = false;

const socket = tls.connect({
    port: Number(port),
    host: '127.0.0.1',
    rejectUnauthorized: false,
    minVersion: `TLSv${version}`,
    maxVersion: `TLSv${version}`,
});

function sendChunk(data) {
    socket.write(Buffer.concat([
        Buffer.from(`${data.length.toString(16)}\r\n`), data,
        Buffer.from('\r\n'),
    ]));
}

// Takes what comes before the mark off the input; null if it is not there yet.

function take(mark) {
    const at = input.indexOf(mark);

    if (at < 0) {
        return null;
    }

    const head = input.subarray(0, at);
    input = input.subarray(at + mark.length);
    return head;
}

function takeChunk() {
    const at = input.indexOf('\r\n');

    if (at < 0) {
        return null;
    }

    const size = parseInt(input.subarray(0, at).toString(), 16);

    if (input.length < at + 2 + size + 2) {
        return null;
    }

    const data = input.subarray(at + 2, at + 2 + size);
    input = input.subarray(at + 2 + size + 2);
    return data;
}

function greet() {
    const head = take('\r\n\r\n');

    if (head === null) {
        return;
    }

    if (!head.toString().startsWith('HTTP/1.1 200 ')) {
        throw new Error(head.toString());
    }

    greeted = true;
}

function onChunk(data) {
    const text = data.toString();

    if (!attached) {
        if (!text.startsWith('{"msg":"200"')) {
            throw new Error(text);
        }

        attached = true;
        console.log('attached', socket.getProtocol(),
            socket.getCipher().standardName);
        return;
    }

    if (text === 'leave') {
        sendChunk(Buffer.from('leaving'));
        socket.end();
        return;
    }

    if (text === 'update') {
        sendChunk(Buffer.from('cannot'));
        return;
    }

    sendChunk(Buffer.alloc(parseInt(text, 10), data));
}

socket.on('secureConnect', () => {
    socket.write(`POST /v1/applications/app1/devices/${device} HTTP/1.1\r\n`
        + 'Host: localhost\r\nTransfer-Encoding: chunked\r\n\r\n');
});

socket.on('data', (data) => {
    input = Buffer.concat([input, data]);

    if (!greeted) {
        greet();
    }

    for (let chunk; greeted && (chunk = takeChunk()) !== null;) {
        onChunk(chunk);
    }
});

// Node.js does not tell the end of TLS from that of TCP.

socket.on('end', () => {
    closed = true;
});

socket.on('close', () => {
    console.log(closed ? 'closed' : 'cut off');
});
