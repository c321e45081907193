"""A device over Python's ssl; what it does stands in device.c."""

import socket
import ssl
import sys

port, version, device = sys.argv[1:4]

context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
context.minimum_version = context.maximum_version = {
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}[version]

tls = context.wrap_socket(socket.create_connection(("127.0.0.1", int(port))),
                          suppress_ragged_eofs=False)
stream = tls.makefile("rb")


def take_chunk():
    data = stream.read(int(stream.readline(), 16))
    stream.read(2)
    return data


def send_chunk(data):
    tls.sendall(b"%x\r\n%s\r\n" % (len(data), data))


tls.sendall(b"POST /v1/applications/app1/devices/%s HTTP/1.1\r\n"
            b"Host: localhost\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n" % device.encode())

assert b" 200 " in stream.readline()

while stream.readline() != b"\r\n":
    pass

assert take_chunk().startswith(b'{"msg":"200"')
print("attached", tls.version(), tls.cipher()[0], flush=True)

while True:
    call = take_chunk()

    if call == b"leave":
        break

    if call == b"update":
        send_chunk(b"cannot")
        continue

    size = int(call.split()[0])
    send_chunk((call * (size // len(call) + 1))[:size])

send_chunk(b"leaving")
tls.unwrap()            # sends close_notify, and waits for the server's
print("closed")
