"""The channel: one WebSocket to all devices of an application, or to one."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import deque
from typing import TYPE_CHECKING, Any, AsyncIterator
from urllib.parse import quote

from .errors import CometaError
from .wire import BROKEN, CLOSE, TEXT, Connection, WebSocket, broken

if TYPE_CHECKING:
    from .client import Client

EVENTS = ("data", "attach", "detach", "reply")


class Event:
    """Something that has happened to a device.

    kind      "data", "attach", "detach" or "reply"
    device    its id
    session   of the attach
    seq       number in the session, from 1; 0 if there is none
    time      of the server, such as "2026-11-26T12:00:00.000Z"
    data      bytes of "data" and "reply"
    info, address
              of "attach"
    reason    of "attach" and "detach"
    call      of "reply": what Client.send() has returned
    error     of "reply": why there is none
    """

    __slots__ = ("kind", "device", "session", "seq", "time", "data", "info",
                 "address", "reason", "call", "error")

    def __init__(self, message: dict[str, Any]) -> None:
        self.kind: str = message["event"]
        self.device: str = message["device"]
        self.session: str = message.get("session", "")
        self.seq: int = message.get("seq", 0)
        self.time: str = message.get("time", "")
        self.data: bytes = data_of(message, "reply" if self.kind == "reply"
                                   else "data")
        self.info: str = message.get("info", "")
        self.address: str = message.get("address", "")
        self.reason: str = message.get("reason", "")
        self.call: str = message.get("call", "")
        self.error: str = message.get("error", "")

    def __repr__(self) -> str:
        return f"<Event {self.kind} {self.device} {self.data!r}>"


class Channel:
    """Made by Client.channel().  Calls may be made at the same time; events
    are taken by "async for", which ends when close() is called, and raises
    when the connection is lost."""

    def __init__(self, client: Client, device: str | None,
                 events: tuple[str, ...], prefix: str, room: int) -> None:
        for kind in events:
            if kind not in EVENTS:
                raise ValueError(f"{kind!r} is none of {', '.join(EVENTS)}")

        self._client = client
        self._device = device
        self._wanted = events
        self._prefix = prefix
        self._room = room
        self._socket: WebSocket | None = None
        self._task: asyncio.Task[None] | None = None
        self._calls: dict[str, asyncio.Future[bytes]] = {}
        self._events: deque[Event] = deque()
        self._more = asyncio.Event()
        self._error: CometaError | None = None
        self._closed = False
        self._last = 0

    async def __aenter__(self) -> Channel:
        key = await self._key()
        device = quote(self._device, safe=":@+~") + "/" if self._device else ""
        path = ("/websockets/" + device if device else "/channels/") + key

        # there is no word for none; replies come only to who sends

        query = ["events=" + ",".join(self._wanted or ("reply",))]

        if self._prefix:
            query.append("prefix=" + quote(self._prefix))

        connection = await Connection.open(self._client._address)

        try:
            self._socket = await asyncio.wait_for(connection.upgrade(
                path + "?" + "&".join(query), {}, "cometa.json.v1"), 30)
        except (*BROKEN, asyncio.TimeoutError) as error:
            connection.close()
            raise broken(error) from error
        except BaseException:
            connection.close()
            raise

        self._task = asyncio.create_task(self._read())

        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Calls that are under way raise "closed"."""

        self._closed = True

        if self._socket is not None and self._error is None:
            self._socket.close()

        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

        self._end(CometaError("closed"))

    async def call(self, device: str, message: bytes | str, *,
                   timeout: float | None = None,
                   wait: float | None = None) -> bytes:
        """As Client.call(); any number at a time."""

        if self._socket is None or self._error is not None:
            raise self._error or CometaError("closed")

        self._last += 1
        name = str(self._last)
        text: dict[str, Any] = {"call": name, "device": device}

        if isinstance(message, str):
            text["message"] = message
        else:
            text["base64"] = base64.b64encode(message).decode()

        if timeout is not None:
            text["timeout"] = timeout
            timeout += 5        # the server says it, unless it is dead

        if wait is not None:
            text["wait"] = wait

        reply = asyncio.get_running_loop().create_future()
        self._calls[name] = reply

        try:
            self._socket.write(TEXT, json.dumps(text).encode())
            await self._socket.connection.writer.drain()
            return await asyncio.wait_for(reply, timeout)
        except asyncio.TimeoutError:
            raise CometaError("device_timeout", 504) from None
        except OSError as error:
            raise broken(error) from error
        finally:
            self._calls.pop(name, None)

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        while not self._events:
            if self._closed:
                raise StopAsyncIteration

            if self._error is not None:
                raise self._error

            self._more.clear()
            await self._more.wait()

        return self._events.popleft()

    async def _key(self) -> str:
        if self._device:
            path = "/devices/" + quote(self._device, safe=":@+~")
            return (await self._client._json("GET", path + "/websocket"))[
                "device_key"]

        return (await self._client._json("GET", "/channel"))["channel_key"]

    async def _read(self) -> None:
        """Until the end of the connection, in a task of its own."""

        assert self._socket is not None

        try:
            while True:
                kind, data = await self._socket.read()

                if kind == CLOSE:
                    code = self._socket.code
                    raise CometaError("closed", detail=f"by the server, {code}")

                self._take(json.loads(data))
        except CometaError as error:
            self._end(error)
        except (*BROKEN, KeyError, TypeError) as error:
            self._end(broken(error) if isinstance(error, BROKEN)
                      else CometaError("malformed", detail=str(error)))
        finally:
            self._socket.connection.close()

    def _take(self, message: dict[str, Any]) -> None:
        if "event" not in message:
            reply = self._calls.get(str(message.get("call")))

            if reply is None or reply.done():
                return

            if "error" in message:
                reply.set_exception(CometaError(
                    message["error"], STATUS.get(message["error"], 0),
                    message.get("detail", "")))
            else:
                reply.set_result(data_of(message, "reply"))

            return

        if len(self._events) >= self._room:
            raise CometaError("overflow", detail="nobody takes the events")

        self._events.append(Event(message))
        self._more.set()

    def _end(self, error: CometaError) -> None:
        if self._error is None:
            self._error = error

        for reply in self._calls.values():
            if not reply.done():
                reply.set_exception(error)

        self._more.set()


# A channel has words only; the numbers are those of the same call by HTTP.

STATUS = {
    "bad_request": 400, "empty_message": 400, "invalid_device_id": 400,
    "device_offline": 404, "message_too_large": 413, "device_busy": 429,
    "device_disconnected": 502, "device_taken_over": 502, "worker_lost": 502,
    "overloaded": 503, "device_timeout": 504,
}


def data_of(message: dict[str, Any], name: str) -> bytes:
    if "base64" in message:
        return base64.b64decode(message["base64"])

    return str(message.get(name, "")).encode()
