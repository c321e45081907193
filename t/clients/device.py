"""A device by the library in Python; what it does stands in device.c."""

import asyncio
import os
import sys

from cometa import CometaError, Device

port, name, options, *secret = sys.argv[1:]
meeting: list[asyncio.Future[bytes]] = []


async def obey(call: bytes) -> bytes:
    word, _, text = call.partition(b" ")

    if word == b"event":
        await device.event(text)
        return b"sent"

    if word == b"ask":
        asyncio.ensure_future(ask(text.partition(b" ")[2]))
        return b"asked"

    if word == b"late":
        await asyncio.sleep(0.3)
        return text

    if word == b"meet":
        meeting.append(asyncio.get_running_loop().create_future())

        if len(meeting) == int(text):
            for one in meeting:
                one.set_result(b"met")

        return await meeting[-1]

    if word == b"fail":
        raise RuntimeError("as told")

    if word == b"leave":
        device.stop()
        return b"leaving"

    size = int(word)

    return (call * (size // len(call) + 1))[:size]


async def ask(text: bytes) -> None:
    try:
        print("answer", (await device.request(text)).decode(), flush=True)
    except CometaError as error:
        print("answer", error.error, flush=True)


def ended(error: CometaError, wait: float) -> None:
    print(error.error, error.status, int(wait * 1000), "ms", flush=True)


async def main() -> None:
    global device

    device = Device(
        os.environ.get("URL", f"http://127.0.0.1:{port}/v1"), "app1", name,
        obey, secret=secret[0] if secret else None, info="a device in Python",
        websocket="w" in options, echo="e" in options,
        requests="r" in options, heartbeat=1 if "h" in options else None,
        pipeline=16 if "p" in options else 1, ended=ended)

    running = asyncio.ensure_future(device.run())
    seen = 0

    while not running.done():
        await asyncio.wait((running, asyncio.ensure_future(device.attached())),
                           return_when=asyncio.FIRST_COMPLETED)

        if device.sessions != seen:
            seen = device.sessions
            print("attached", seen, device.heartbeat, flush=True)

        await asyncio.sleep(0.05)

    running.result()


asyncio.run(main())
