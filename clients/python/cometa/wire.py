"""HTTP/1.1 and WebSockets over asyncio, as much as is needed here."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import ssl as ssl_module
import time
from urllib.parse import urlsplit

from .errors import CometaError

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
LARGEST = 64 * 1024 * 1024      # of a body or a message
HEADERS = 200

# What a connection raises when it breaks, or its peer makes no sense.
BROKEN = (OSError, EOFError, ValueError, asyncio.LimitOverrunError)

Headers = dict[str, str]


class Address:
    """Where a server is: http://host:port/v1, or https://."""

    def __init__(self, url: str,
                 ssl: ssl_module.SSLContext | None = None) -> None:
        parts = urlsplit(url)

        if parts.scheme not in ("http", "https", "ws", "wss"):
            raise ValueError(f"{url!r} does not begin with http:// or https://")

        if not parts.hostname:
            raise ValueError(f"{url!r} names no host")

        tls = parts.scheme in ("https", "wss")
        self.host = parts.hostname
        self.port = parts.port or (443 if tls else 80)
        self.netloc = parts.netloc.rpartition("@")[2]
        self.path = parts.path.rstrip("/")
        self.ssl = (ssl or ssl_module.create_default_context()) if tls else None


class Connection:
    """A connection to a server: requests, one after the other."""

    def __init__(self, address: Address, reader: asyncio.StreamReader,
                 writer: asyncio.StreamWriter) -> None:
        self.address = address
        self.reader = reader
        self.writer = writer
        self.used = time.monotonic()
        self.reusable = False

    @classmethod
    async def open(cls, address: Address,
                   timeout: float | None = 30) -> Connection:
        try:
            reader, writer = await asyncio.wait_for(
                asyncio.open_connection(address.host, address.port,
                                        ssl=address.ssl), timeout)
        except (OSError, asyncio.TimeoutError) as error:
            raise CometaError("unreachable",
                              detail=str(error) or "timeout") from error

        return cls(address, reader, writer)

    def write_head(self, method: str, path: str, headers: Headers) -> None:
        lines = [f"{method} {self.address.path}{path} HTTP/1.1",
                 f"Host: {self.address.netloc}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]

        if any("\r" in line or "\n" in line for line in lines):
            raise ValueError("a line end in a header")

        self.writer.write("\r\n".join(lines + ["", ""]).encode("latin-1"))

    async def read_head(self) -> tuple[int, Headers]:
        """The status and the headers, whose names are in lower case."""

        status = 100

        while status < 200 and status != 101:
            version, code = (await self.read_line()).split(b" ", 2)[:2]

            if not version.startswith(b"HTTP/1."):
                raise ValueError("no HTTP/1.1")

            status = int(code)
            headers = {}

            while True:
                line = await self.read_line()

                if not line:
                    break

                if len(headers) == HEADERS:
                    raise ValueError("too many headers")

                name, _, value = line.decode("latin-1").partition(":")
                headers[name.lower()] = value.strip()

        return status, headers

    async def read_line(self) -> bytes:
        line = await self.reader.readline()

        if not line.endswith(b"\n"):
            raise EOFError("the connection was closed")

        return line.rstrip(b"\r\n")

    async def read_body(self, status: int, headers: Headers) -> bytes:
        if status in (204, 304):
            return b""

        if headers.get("transfer-encoding", "").lower() == "chunked":
            parts = []

            while True:
                part = await self.read_chunk(LARGEST)

                if not part:
                    break

                parts.append(part)

            while await self.read_line():
                pass

            return b"".join(parts)

        if "content-length" in headers:
            return await self.reader.readexactly(
                checked(int(headers["content-length"])))

        self.reusable = False

        return await self.reader.read(LARGEST)

    async def read_chunk(self, most: int) -> bytes:
        """The next chunk; empty at the end, whose last line is left."""

        size = checked(int((await self.read_line()).partition(b";")[0], 16),
                       most)
        data = await self.reader.readexactly(size) if size else b""

        if size and await self.read_line():
            raise ValueError("a chunk without its end")

        return data

    def write_chunk(self, data: bytes) -> None:
        self.writer.write(b"%x\r\n%b\r\n" % (len(data), data))

    async def request(self, method: str, path: str, headers: Headers,
                      body: bytes | None = None) -> tuple[int, Headers, bytes]:
        """One request, and its whole answer."""

        if body is not None:
            headers = {**headers, "Content-Length": str(len(body))}

        self.reusable = False
        self.write_head(method, path, headers)
        self.writer.write(body or b"")
        await self.writer.drain()

        status, answered = await self.read_head()
        self.reusable = answered.get("connection", "").lower() != "close"
        data = await self.read_body(status, answered)
        self.used = time.monotonic()

        return status, answered, data

    async def upgrade(self, path: str, headers: Headers,
                      protocol: str) -> WebSocket:
        """The WebSocket at this path; raises what the server answers else."""

        key = base64.b64encode(os.urandom(16))
        self.write_head("GET", path, {
            "Connection": "Upgrade", "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key.decode(),
            "Sec-WebSocket-Protocol": protocol, **headers})
        await self.writer.drain()

        status, answered = await self.read_head()

        if status != 101:
            raise refused(status, answered,
                          await self.read_body(status, answered))

        accept = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()

        if answered.get("sec-websocket-accept") != accept:
            raise ValueError("the server knows no WebSockets")

        return WebSocket(self, answered)

    def close(self) -> None:
        self.writer.close()


class WebSocket:
    """Messages instead of bytes; the client's side."""

    def __init__(self, connection: Connection, headers: Headers) -> None:
        self.connection = connection
        self.headers = headers
        self.code = 0           # of the server's close frame

    async def read(self) -> tuple[int, bytes]:
        """The next message and its kind; CLOSE when the server has closed."""

        kind, parts, size = None, [], 0

        while True:
            fin, op, data = await self._read_frame()

            if op == PING:
                self._write_frame(PONG, data)
            elif op == CLOSE:
                self.code = int.from_bytes(data[:2], "big")
                self._write_frame(CLOSE, data[:2])
                return CLOSE, data
            elif op in (TEXT, BINARY, CONTINUATION):
                if (op == CONTINUATION) != (kind is not None):
                    raise ValueError("frames out of order")

                kind = op if kind is None else kind
                size = checked(size + len(data))
                parts.append(data)

                if fin:
                    return kind, b"".join(parts)
            elif op != PONG:
                raise ValueError("an unknown frame")

    async def _read_frame(self) -> tuple[bool, int, bytes]:
        reader = self.connection.reader
        first, size = await reader.readexactly(2)

        if first & 0x70 or size & 0x80:
            raise ValueError("a frame that is compressed or masked")

        if first & 8 and (size > 125 or not first & 0x80):
            raise ValueError("a control frame that is long or in parts")

        if size > 125:
            size = int.from_bytes(
                await reader.readexactly(2 if size == 126 else 8), "big")

        data = await reader.readexactly(checked(size))

        return bool(first & 0x80), first & 15, data

    def write(self, kind: int, data: bytes) -> None:
        self._write_frame(kind, data)

    def _write_frame(self, op: int, data: bytes) -> None:
        mask = os.urandom(4)
        size = len(data)

        if size < 126:
            head = bytes([0x80 | op, 0x80 | size])
        elif size < 65536:
            head = bytes([0x80 | op, 0xfe]) + size.to_bytes(2, "big")
        else:
            head = bytes([0x80 | op, 0xff]) + size.to_bytes(8, "big")

        # as one large number, which is faster than byte by byte

        key = (mask * (size // 4 + 1))[:size]
        masked = int.from_bytes(data, "big") ^ int.from_bytes(key, "big")
        self.connection.writer.write(head + mask + masked.to_bytes(size, "big"))

    def close(self, code: int = 1000) -> None:
        self._write_frame(CLOSE, code.to_bytes(2, "big"))
        self.connection.close()


def checked(size: int, most: int = LARGEST) -> int:
    if not 0 <= size <= most:
        raise ValueError("a size out of range")

    return size


def refused(status: int, headers: Headers, body: bytes) -> CometaError:
    """The error of an answer; the word of one that is not ours is "http"."""

    try:
        word = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        word = "http"

    after = headers.get("retry-after", "")

    return CometaError(str(word), status,
                       retry_after=int(after) if after.isdigit() else None)


def broken(error: BaseException) -> CometaError:
    """What a broken connection is to those who use the library."""

    if isinstance(error, ValueError):
        return CometaError("malformed", detail=str(error))

    return CometaError("closed", detail=str(error))
