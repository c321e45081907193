"""The application's side of the library in Python, against the nginx of a test.

Says by TAP what is right.  The devices are "dev1", which answers with the call
itself, and "slow", which never answers; "gone" is none.
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
    same([d async for d in client.devices(page=1)], ["dev1", "slow"])
    same(int((await client.stats())["num_devices"]), 2)


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
