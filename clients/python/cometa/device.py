"""A device: attaches, answers calls, and comes back when it was lost."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import random
import ssl as ssl_module
import time
from typing import Any, Awaitable, Callable, Union
from urllib.parse import quote

from .errors import CometaError
from .wire import (BINARY, BROKEN, CLOSE, LARGEST, Address, Connection,
                   WebSocket, broken, refused)

Reply = Union[bytes, str]
Handler = Callable[[bytes], Union[Reply, Awaitable[Reply]]]

HEARTBEAT, EVENT, REQUEST = b"\x06", b"\x07", b"\x05"
ATTACH = 30                     # s, for an attach or a refusal
STEADY = 60                     # attached so long, waits begin anew
AGAIN = (408, 429)              # refusals that do not last, beside 5xx
LEAVES = (1001, 1012)           # codes by which a server says that it leaves

log = logging.getLogger("cometa")


class Device:
    """A device of an application of a server: "https://example.com/v1".

    handler    gets a call, and returns its reply, or a coroutine of it
    secret     presented at the attach
    info       what the device says of itself
    websocket  False: chunks, which few proxies pass, and older servers know
    heartbeat  seconds to ask for; None: what the server says
    echo       heartbeats are to be answered, so that a dead server is noticed
    pipeline   calls that are handled at a time; replies keep their order
    requests   request() will be used
    retry_max  seconds that a wait grows to
    ended      is told why a connection ended, or why there is none, and how
               many seconds the device waits; the word "detached" is an orderly
               end, which may be a takeover
    """

    def __init__(self, url: str, application: str, device: str,
                 handler: Handler, *, secret: str | None = None,
                 info: str | None = None, websocket: bool = True,
                 heartbeat: int | None = None, echo: bool = True,
                 pipeline: int = 1, requests: bool = False,
                 retry_max: float = 300,
                 ended: Callable[[CometaError, float], None] | None = None,
                 ssl: ssl_module.SSLContext | None = None) -> None:
        self._address = Address(url, ssl)
        self._path = (f"/applications/{quote(application, safe=':@+~')}"
                      f"/devices/{quote(device, safe=':@+~')}")
        self._handler = handler
        self._websocket = websocket
        self._retry_max = retry_max
        self._ended = ended
        self._headers = {}

        if secret:
            self._headers["Authorization"] = f"Bearer {secret}"

        if info:
            self._headers["Cometa-Info"] = info

        if heartbeat or echo:
            self._headers["Cometa-Heartbeat"] = (
                f"{heartbeat or 60}{';echo' if echo else ''}")

        if pipeline > 1:
            self._headers["Cometa-Pipeline"] = str(pipeline)

        if requests:
            self._headers["Cometa-Requests"] = "on"

        self.name = device
        self.sessions = 0               # attaches so far
        self.heartbeat = 0              # seconds, granted
        self._link: _Link | None = None
        self._attached = asyncio.Event()
        self._stopped = asyncio.Event()
        self._tries = 0

    async def run(self) -> None:
        """Attaches, and again whenever the connection ends, until stop()."""

        self._stopped.clear()

        while not self._stopped.is_set():
            error, steady = await self._once()

            if not self._stopped.is_set():
                wait = self._backoff(error, steady)
                log.info("%s: %s; again in %.1f s", self.name, error, wait)

                if self._ended is not None:
                    self._ended(error, wait)

                try:
                    await asyncio.wait_for(self._stopped.wait(), wait)
                except asyncio.TimeoutError:
                    pass

    def stop(self) -> None:
        """Leaves in order when the calls that it has are answered; then run()
        returns."""

        self._stopped.set()

        if self._link is not None:
            self._link.leaving.set()

    async def attached(self) -> None:
        """Waits until the device is attached."""

        await self._attached.wait()

    async def event(self, data: Reply) -> None:
        """Raises "closed" if the device is not attached."""

        await self._alive().write(EVENT + encoded(data))

    async def request(self, data: Reply, timeout: float = 15) -> bytes:
        """Asks the server's webhook; raises "request_failed"."""

        return await self._alive().request(encoded(data), timeout)

    def _alive(self) -> _Link:
        if self._link is None:
            raise CometaError("closed", detail=f"{self.name} is not attached")

        return self._link

    async def _once(self) -> tuple[CometaError, bool]:
        """One connection: why it ended, and whether it was a steady one."""

        steady = False

        try:
            link = await self._attach()
            start = time.monotonic()
            self.sessions += 1
            self._link = link
            self._attached.set()
            log.info("%s: attached, a heartbeat every %d s", self.name,
                     self.heartbeat)

            try:
                await link.serve()
            finally:
                steady = time.monotonic() - start >= STEADY
                self._link = None
                self._attached.clear()
                link.close()
        except CometaError as error:
            return error, steady

        return CometaError("detached"), steady

    async def _attach(self) -> _Link:
        connection = await Connection.open(self._address, ATTACH)

        try:
            return await asyncio.wait_for(self._welcome(connection), ATTACH)
        except asyncio.TimeoutError:
            connection.close()
            raise CometaError("closed", detail="no answer in time") from None
        except BROKEN as error:
            connection.close()
            raise broken(error) from error
        except BaseException:
            connection.close()
            raise

    async def _welcome(self, connection: Connection) -> _Link:
        socket = None

        if self._websocket:
            socket = await connection.upgrade(self._path, self._headers,
                                              "cometa.device.v1")
            headers = socket.headers
        else:
            connection.write_head("POST", self._path, {
                **self._headers, "Transfer-Encoding": "chunked"})
            status, headers = await connection.read_head()

            if status != 200:
                raise refused(status, headers,
                              await connection.read_body(status, headers))

        link = _Link(connection, socket, self._handler, headers)

        try:
            first = json.loads(await link.read())
            self.heartbeat = link.heartbeat = int(first["heartbeat"])
        except (KeyError, TypeError) as error:
            raise ValueError("no interval of heartbeats") from error

        if self.heartbeat <= 0:
            raise ValueError("no interval of heartbeats")

        return link

    def _backoff(self, error: CometaError, steady: bool) -> float:
        """Full jitter, so that a fleet does not come back at once; at least
        half of the limit after an orderly end, which may be a takeover, and
        after a refusal that will be repeated."""

        if steady:
            self._tries = 0

        refusal = 400 <= error.status < 500 and error.status not in AGAIN
        base, most = (60, 3600) if refusal else (1, self._retry_max)
        base = 10 if error.error == "detached" else base
        limit = min(base * 2 ** min(self._tries, 16), most)
        least = limit / 2 if base > 1 else 0
        wait = random.uniform(least, limit)
        after = min(error.retry_after or 0, 86400)
        self._tries += 1

        if wait < after:
            wait = after + random.uniform(0, after / 4 + 1)

        return wait


class _Link:
    """A connection that is attached, by chunks or by frames."""

    def __init__(self, connection: Connection, socket: WebSocket | None,
                 handler: Handler, headers: dict[str, str]) -> None:
        self.connection = connection
        self.socket = socket
        self.handler = handler
        self.heartbeat = 60
        self.echo = "echo" in headers.get("cometa-heartbeat", "")
        self.requests = headers.get("cometa-requests", "") == "on"
        self.sent = self.heard = time.monotonic()
        self.answers: dict[str, asyncio.Future[bytes]] = {}
        self.calls: asyncio.Queue[asyncio.Task[bytes]] = asyncio.Queue()
        self.last = 0
        self.leaving = asyncio.Event()

    async def read(self) -> bytes:
        """The next message; raises EOFError when the server has ended it."""

        if self.socket is not None:
            kind, data = await self.socket.read()

            if kind == CLOSE and self.socket.code in LEAVES:
                raise EOFError("the server leaves")

            if kind == CLOSE:
                raise Left()
        else:
            data = await self.connection.read_chunk(LARGEST)

            if not data:
                raise Left()

        self.heard = time.monotonic()

        return data

    async def write(self, data: bytes) -> None:
        try:
            if self.socket is not None:
                self.socket.write(BINARY, data)
            else:
                self.connection.write_chunk(data)

            self.sent = time.monotonic()
            await self.connection.writer.drain()
        except OSError as error:
            raise broken(error) from error

    async def serve(self) -> None:
        """Until the server ends it in order; raises what else ends it."""

        tasks = [asyncio.ensure_future(part()) for part in
                 (self._receive, self._reply, self._beat, self._leave)]

        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)

            for task in tasks:
                if task.done():
                    task.result()
        except Left:
            pass
        except BROKEN as error:
            raise broken(error) from error
        finally:
            for task in tasks:
                task.cancel()

            await asyncio.gather(*tasks, return_exceptions=True)

            while not self.calls.empty():
                self.calls.get_nowait().cancel()

            for answer in self.answers.values():
                if not answer.done():
                    answer.set_exception(CometaError("closed"))

    async def _receive(self) -> None:
        while True:
            data = await self.read()

            if self.echo and data == HEARTBEAT:
                continue

            if self.requests and data[:1] == REQUEST:
                name, _, body = data[1:].partition(b"\n")
                answer = self.answers.get(name.decode("latin-1"))

                if answer is not None and not answer.done():
                    answer.set_result(body)

                continue

            self.calls.put_nowait(asyncio.ensure_future(self._handle(data)))

    async def _handle(self, data: bytes) -> bytes:
        reply = self.handler(data)

        return encoded(await reply if inspect.isawaitable(reply) else reply)

    async def _reply(self) -> None:
        """In the order of the calls.  One that fails is the device's own
        fault, but the protocol knows no error: the caller gets this word."""

        while True:
            task = await self.calls.get()

            try:
                reply = await task

                if self._reserved(reply):
                    raise ValueError("a reply that would be no reply")
            except Exception:           # of the handler, any
                log.exception("the handler of calls has failed")
                reply = b"error"

            await self.write(reply)
            self.calls.task_done()

    def _reserved(self, reply: bytes) -> bool:
        return (reply == HEARTBEAT or reply[:1] == EVENT
                or self.requests and reply[:1] == REQUEST
                or not reply and self.socket is None)

    async def _beat(self) -> None:
        """A dead server does not close: it is silent after a heartbeat."""

        while True:
            due = self.sent + self.heartbeat - time.monotonic()

            if due > 0:
                await asyncio.sleep(due)
                continue

            asked = time.monotonic()
            await self.write(HEARTBEAT)

            if self.echo:
                await asyncio.sleep(min(max(self.heartbeat / 2, 2), 30))

                if self.heard < asked:
                    raise CometaError("closed", detail="the server is silent")

    async def request(self, data: bytes, timeout: float) -> bytes:
        if not self.requests:
            raise CometaError("request_failed", detail="not granted")

        self.last += 1
        name = str(self.last)
        answer = asyncio.get_running_loop().create_future()
        self.answers[name] = answer

        try:
            await self.write(REQUEST + name.encode() + b"\n" + data)
            body = await asyncio.wait_for(answer, timeout)
        except asyncio.TimeoutError:
            raise CometaError("request_failed", detail="no answer") from None
        finally:
            del self.answers[name]

        if not body:
            raise CometaError("request_failed")

        return body

    async def _leave(self) -> None:
        await self.leaving.wait()
        await self.calls.join()

        if self.socket is not None:
            self.socket.close()
        else:
            self.connection.writer.write(b"0\r\n\r\n")
            await self.connection.writer.drain()

        raise Left()

    def close(self) -> None:
        self.connection.close()


class Left(EOFError):
    """The server has ended the connection in order."""


def encoded(data: Reply) -> bytes:
    return data.encode() if isinstance(data, str) else bytes(data)
