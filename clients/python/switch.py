"""Switches a lamp on, and says what it has answered:

    python3 switch.py http://127.0.0.1:8080/v1 demo demo-secret lamp-1
"""

import asyncio
import sys

from cometa import Client, CometaError


async def main() -> None:
    url, application, secret, device = sys.argv[1:]

    async with Client(url, application, secret) as client:
        try:
            reply = await client.call(device, "on", timeout=5, wait=3)
            print(reply.decode(), end="")
        except CometaError as error:
            print(f"{device}: {error.error}")


asyncio.run(main())
