"""The application's side of the library in Python, against the nginx of a test.

Says by TAP what is right.  The devices are "dev1", which answers with the call
itself, "slow", which never answers, and "lamp", which obeys as device.c does;
"gone" is none.
"""

import asyncio
import os
import traceback

from cometa import Client, CometaError

URL = os.environ["URL"]
TESTS = []


def test(run):
    TESTS.append(run)
    return run


async def fails(awaitable) -> str:
    try:
        return f"no error: {await awaitable!r}"
    except CometaError as error:
        return f"{error.status} {error.error}"


def same(got, expected):
    if got != expected:
        raise AssertionError(f"{got!r} is not {expected!r}")


@test
async def a_call_of_text_and_of_bytes(client):
    same(await client.call("dev1", "h\u00e9llo"), "h\u00e9llo".encode())
    same(await client.call("dev1", b"\xff\x00\r\n"), b"\xff\x00\r\n")


@test
async def the_largest_message(client):
    same(await client.call("dev1", b"x" * 65536), b"x" * 65536)


@test
async def a_hundred_calls_at_a_time(client):
    calls = [f"call {n}" for n in range(100)]
    replies = await asyncio.gather(*(client.call("dev1", c) for c in calls))
    same(replies, [c.encode() for c in calls])


@test
async def errors_have_a_status_and_a_word(client):
    same(await fails(client.call("gone", "x")), "404 device_offline")
    same(await fails(client.call("dev1", "")), "400 empty_message")
    same(await fails(client.call("no id!", "x")), "400 invalid_device_id")
    same(await fails(client.call("dev1", b"x" * 65537)),
         "413 message_too_large")


@test
async def a_call_that_is_not_answered(client):
    same(await fails(client.call("slow", "x", timeout=1)),
         "504 device_timeout")
    same(await fails(client.call("slow", "x", timeout=0.1)),
         "504 device_timeout")


@test
async def a_wrong_secret(client):
    async with Client(URL, "app1", "wrong") as other:
        same(await fails(other.call("dev1", "x")), "401 unauthorized")


@test
async def no_server(client):
    async with Client("http://127.0.0.1:1/v1", "app1", "s3cret") as other:
        same(await fails(other.call("dev1", "x")), "0 unreachable")


@test
async def something_else_than_a_server(client):
    async def answer(reader, writer):
        await reader.readline()
        writer.write(b"SSH-2.0-x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\nx")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    async with Client(f"http://127.0.0.1:{port}", "app1") as other:
        same(await fails(other.call("dev1", "x")), "0 malformed")

    server.close()


@test
async def a_call_that_is_cancelled(client):
    call = asyncio.ensure_future(client.call("slow", "x"))
    await asyncio.sleep(0.1)
    call.cancel()
    same((await asyncio.gather(call, return_exceptions=True))[0].__class__,
         asyncio.CancelledError)
    same(await client.call("dev1", "still"), b"still")


@test
async def a_device_and_a_list_of_them(client):
    same((await client.device("dev1"))["device_id"], "dev1")
    same(await fails(client.device("gone")), "404 device_offline")
    same([d async for d in client.devices(page=1)], ["dev1", "lamp", "slow"])
    same([d async for d in client.devices(page=1, prefix="l")], ["lamp"])
    same([d["device_id"] async for d in client.devices(page=2, detail=True)],
         ["dev1", "lamp", "slow"])
    same(int((await client.stats())["num_devices"]), 3)


@test
async def calls_over_a_channel(client):
    async with client.channel(events=()) as channel:
        same(await channel.call("dev1", "h\u00e9llo"), "h\u00e9llo".encode())
        same(await channel.call("dev1", b"\xff\0"), b"\xff\0")
        same(await fails(channel.call("gone", "x")), "404 device_offline")
        same(await fails(channel.call("dev1", "")), "400 empty_message")
        same(await fails(channel.call("slow", "x", timeout=0.1)),
             "504 device_timeout")

        calls = [f"6 call {n}" for n in range(100)]
        replies = await asyncio.gather(*(channel.call(
            "dev1" if n % 2 else "lamp", c) for n, c in enumerate(calls)))
        same(replies, [c.encode() if n % 2 else b"6 call"
                       for n, c in enumerate(calls)])


@test
async def a_reply_that_comes_later_than_others(client):
    async with client.channel(events=()) as channel:
        late = asyncio.ensure_future(channel.call("lamp", "late x"))
        same(await channel.call("dev1", "soon"), b"soon")
        same(late.done(), False)
        same(await late, b"x")


@test
async def events_over_a_channel(client):
    async with (client.channel(events=("data",)) as channel,
                client.channel(prefix="dev") as other,
                client.channel(device="lamp") as lamp):
        for n in range(3):
            await channel.call("lamp", f"event pressed {n}")

        for n in range(3):
            for socket in channel, lamp:
                event = await socket.__anext__()
                same((event.kind, event.device, event.data, event.seq > n),
                     ("data", "lamp", b"pressed %d" % n, True))

        await channel.call("lamp", b"event \xff\0")
        same((await channel.__anext__()).data, b"\xff\0")
        same(await lamp.call("lamp", "3 x"), b"3 x")
        same(len(other._events), 0)


@test
async def presence_and_the_end_of_a_connection(client):
    async with client.channel(events=("attach", "detach")) as channel:
        session = await client.detach("lamp")
        gone = await channel.__anext__()
        back = await channel.__anext__()

        same((gone.kind, gone.device, gone.session, gone.reason),
             ("detach", "lamp", session, "kicked"))
        same((back.kind, back.device, back.info[:8], back.session != session),
             ("attach", "lamp", "a device", True))
        same(await fails(client.detach("lamp", session)),
             "404 device_offline")


@test
async def a_call_whose_reply_is_an_event(client):
    async with client.channel(events=("reply",)) as channel:
        call = await client.send("lamp", "5 x")
        event = await channel.__anext__()
        same((event.kind, event.device, event.call, event.data, event.error),
             ("reply", "lamp", call, b"5 x5 ", ""))

    same(await fails(client.send("gone", "x")), "404 device_offline")


@test
async def a_channel_that_is_closed(client):
    channel = client.channel()

    async with channel:
        call = asyncio.ensure_future(channel.call("slow", "x"))
        await asyncio.sleep(0.1)

    same(await fails(call), "0 closed")
    same(await fails(channel.call("dev1", "x")), "0 closed")
    same([event async for event in channel], [])


@test
async def a_channel_whose_events_nobody_takes(client):
    async with client.channel(room=1) as channel:
        await client.call("lamp", "event 1")
        await client.call("lamp", "event 2")

        while await fails(channel.call("dev1", "x")) != "0 overflow":
            pass

        same((await channel.__anext__()).data, b"1")
        same(await fails(channel.__anext__()), "0 overflow")


async def main() -> None:
    client = Client(URL, "app1", "s3cret")
    print(f"1..{len(TESTS)}")

    for n, run in enumerate(TESTS, 1):
        name = run.__name__.replace("_", " ")

        try:
            await asyncio.wait_for(run(client), 30)
            print(f"ok {n} - {name}", flush=True)
        except Exception:
            print(f"not ok {n} - {name}")
            print("".join("# " + line + "\n" for line in
                          traceback.format_exc().splitlines()), flush=True)

    await client.close()


asyncio.run(main())
