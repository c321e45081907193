"""An application: calls devices, and asks about them."""

from __future__ import annotations

import asyncio
import json
import math
import ssl as ssl_module
import time
from typing import Any, AsyncIterator, Iterable
from urllib.parse import quote

from .channel import EVENTS, Channel
from .errors import CometaError
from .wire import BROKEN, Address, Connection, broken, refused

IDLE = 10       # s that a connection may be idle, below what servers allow


class Client:
    """One application of a server, such as "https://example.com/v1"."""

    def __init__(self, url: str, application: str, secret: str | None = None,
                 *, ssl: ssl_module.SSLContext | None = None) -> None:
        self._address = Address(url, ssl)
        self._path = "/applications/" + quote(application, safe=":@+~")
        self._headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        self._idle: list[Connection] = []

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes what is idle.  The client can be used again."""

        while self._idle:
            self._idle.pop().close()

    async def call(self, device: str, message: bytes | str, *,
                   timeout: float | None = None,
                   wait: float | None = None) -> bytes:
        """The reply of the device.

        timeout  seconds for all of it; raises "device_timeout" then
        wait     seconds for a device that is offline, of these
        """

        headers = {}

        if timeout is not None:
            headers["Prefer"] = f"wait={math.ceil(timeout)}"

        if wait is not None:
            headers["Cometa-Wait"] = str(math.ceil(wait))

        asked = self._post(device, message, headers)

        # The server is given the time to say it; it counts whole seconds.

        if timeout is not None and timeout == int(timeout):
            timeout += 5

        try:
            return (await asyncio.wait_for(asked, timeout))[1]
        except asyncio.TimeoutError:
            raise CometaError("device_timeout", 504) from None

    async def send(self, device: str, message: bytes | str, *,
                   wait: float | None = None) -> str:
        """Sends, and does not wait for the reply: it comes as an event
        "reply" with the id that is returned."""

        headers = {"Prefer": "respond-async"}

        if wait is not None:
            headers["Cometa-Wait"] = str(math.ceil(wait))

        status, body = await self._post(device, message, headers)

        try:
            return str(json.loads(body)["call_id"]) if status == 202 else ""
        except (ValueError, KeyError, TypeError) as error:
            raise CometaError("malformed", status) from error

    async def device(self, device: str) -> dict[str, Any]:
        """What is known of a device; raises "device_offline"."""

        return await self._json("GET", "/devices/" + quote(device, safe=":@+~"))

    async def devices(self, *, prefix: str = "", detail: bool = False,
                      page: int = 1000) -> AsyncIterator[Any]:
        """The ids of all devices that are attached, in their order; with
        detail, for each what device() returns."""

        after = ""

        while True:
            query = f"?limit={page}" + (f"&after={quote(after)}" if after
                                        else "")
            query += f"&prefix={quote(prefix)}" if prefix else ""
            query += "&detail=1" if detail else ""
            answer = await self._json("GET", "/devices" + query)
            found = answer["devices"]

            for item in found:
                yield item

            # a server that says no "next" has more if the page is full

            after = answer.get("next", "")

            if not after and (detail or len(found) < page):
                return

            after = after or found[-1]

    async def stats(self) -> dict[str, str]:
        """The figures of the application."""

        return (await self._json("GET", ""))["stats"]

    async def detach(self, device: str, session: str | None = None) -> str:
        """Ends the connection of a device, or one session of it; returns the
        session.  Raises "device_offline"."""

        query = f"?session={session}" if session else ""
        path = "/devices/" + quote(device, safe=":@+~") + query

        return str((await self._json("DELETE", path))["session"])

    async def detach_all(self, prefix: str = "") -> dict[str, Any]:
        """Ends the connections of all devices whose ids begin so, at the pace
        of the server, which says how many."""

        query = f"?prefix={quote(prefix)}" if prefix else ""

        return await self._json("DELETE", "/devices" + query)

    def channel(self, *, device: str | None = None,
                events: Iterable[str] = EVENTS,
                prefix: str = "", room: int = 100000) -> Channel:
        """A connection to all devices, or to one; for "async with".

        events  which ones are wanted, none if it is empty
        prefix  only of devices whose ids begin so
        room    events that wait for the loop that takes them
        """

        return Channel(self, device, tuple(events), prefix, room)

    async def _post(self, device: str, message: bytes | str,
                    headers: dict[str, str]) -> tuple[int, bytes]:
        data = message.encode() if isinstance(message, str) else bytes(message)
        path = "/devices/" + quote(device, safe=":@+~") + "/send"

        return await self._request("POST", path, headers, data)

    async def _json(self, method: str, path: str) -> Any:
        status, body = await self._request(method, path, {})

        try:
            return json.loads(body)
        except ValueError as error:
            raise CometaError("malformed", status) from error

    async def _request(self, method: str, path: str, headers: dict[str, str],
                       body: bytes | None = None) -> tuple[int, bytes]:
        connection = await self._connection()

        try:
            status, answered, data = await connection.request(
                method, self._path + path, {**self._headers, **headers}, body)
        except BROKEN as error:
            connection.close()
            raise broken(error) from error
        except BaseException:
            connection.close()      # who goes away withdraws the call
            raise

        if connection.reusable:
            self._idle.append(connection)
        else:
            connection.close()

        if not 200 <= status < 300:
            raise refused(status, answered, data)

        return status, data

    async def _connection(self) -> Connection:
        """A call is never sent twice: so a connection that the server may have
        closed meanwhile is not used again."""

        while self._idle:
            connection = self._idle.pop()

            if (time.monotonic() - connection.used < IDLE
                    and not connection.reader.at_eof()):
                return connection

            connection.close()

        return await Connection.open(self._address)
