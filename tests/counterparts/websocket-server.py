"""A WebSocket server (websockets) on 127.0.0.1, until standard input ends.

Prints one line of JSON when it answers: {"url": "http://…"}. It answers each message with the same,
speaks the subprotocol `chat` if asked, compresses if asked. What the path changes:

  /headers   its first message is the headers of the request, as JSON
  /close     closes with code 4001 and reason `told to` after the first message
  /push      sends a message every 10 ms, and none back
"""

import asyncio
import contextlib
import json
import os
import sys

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


async def answer(socket):
    # Whoever goes away meanwhile is none of our business.
    with contextlib.suppress(ConnectionClosed):
        match socket.request.path.partition("?")[0]:
            case "/headers":
                headers = {name.lower(): value for name, value in socket.request.headers.raw_items()}
                await socket.send(json.dumps(headers))
            case "/close":
                await socket.recv()
                await socket.close(4001, "told to")
                return
            case "/push":
                while True:
                    await socket.send("pushed")
                    await asyncio.sleep(0.01)
        async for message in socket:
            await socket.send(message)


def subprotocol(_socket, offered):
    return "chat" if "chat" in offered else None


async def main():
    async with serve(
        answer, "127.0.0.1", 0, select_subprotocol=subprotocol, max_size=None
    ) as server:
        port = server.sockets[0].getsockname()[1]
        print(json.dumps({"url": f"http://127.0.0.1:{port}"}), flush=True)
        await asyncio.to_thread(sys.stdin.read)
        os._exit(0)


asyncio.run(main())
