"""A lamp.  It can be switched, and says so to whoever is interested:

    python3 lamp.py http://127.0.0.1:8080/v1 demo lamp-1 [SECRET]
"""

import asyncio
import logging
import sys

from cometa import Device

lit = False


async def switch(message: bytes) -> str:
    global lit

    if message in (b"on", b"off"):
        lit = message == b"on"
        await lamp.event("lit" if lit else "dark")

    return f"The lamp is {'on' if lit else 'off'}.\n"


async def main() -> None:
    global lamp

    url, application, device, *secret = sys.argv[1:]
    lamp = Device(url, application, device, switch, info="a lamp, 9 W",
                  secret=secret[0] if secret else None)
    await lamp.run()


logging.basicConfig(level=logging.INFO)
asyncio.run(main())
