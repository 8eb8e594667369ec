"""A WebSocket client (websockets). Reads what to do from standard input, prints what came of it, ends.

In:  {"url": "ws://127.0.0.1:80/path",        or wss
      "authority_certificate": "-----BEGIN …", the authority wss trusts
      "headers": {"authorization": "…"},
      "subprotocols": ["chat"],
      "messages": ["text", 5000],             each is sent when the one before it was answered; a
                                              number: so many random bytes
      "pings": 2,                             then so many pings, each answered
      "read": 3,                              then reads so many messages more
      "until_closed": true}                   then reads until the other side closes; absent: closes
Out: {"status": 101, "headers": {…}, "subprotocol": "chat", "compressed": true,
      "messages": ["text", 5000],             a number: so many bytes came back as they were sent
      "pongs": 2,
      "close": {"code": 1000, "reason": ""}}  1006: the connection broke off
     or, where the upgrade was refused: {"status": 401, "headers": {…}, "body": "…"}
"""

import asyncio
import json
import os
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus


def lower(headers):
    return {name.lower(): value for name, value in headers.raw_items()}


def told(reply, sent):
    if isinstance(reply, str):
        return reply
    return len(reply) if reply == sent else "other bytes"


async def talk(socket, order):
    replies, pongs = [], 0
    try:
        if order["url"].partition("?")[0].endswith("/headers"):
            replies.append(await socket.recv())
        for message in order.get("messages", []):
            sent = message if isinstance(message, str) else os.urandom(message)
            await socket.send(sent)
            reply = await socket.recv()
            replies.append(told(reply, sent))
        for _ in range(order.get("pings", 0)):
            await (await socket.ping())
            pongs += 1
        for _ in range(order.get("read", 0)):
            replies.append(await socket.recv())
        while order.get("until_closed"):
            await socket.recv()
    except ConnectionClosed:
        pass
    await socket.close()
    return {
        "status": 101,
        "headers": lower(socket.response.headers),
        "subprotocol": socket.subprotocol,
        "compressed": bool(socket.protocol.extensions),
        "messages": replies,
        "pongs": pongs,
        "close": {"code": socket.close_code, "reason": socket.close_reason},
    }


async def main():
    order = json.load(sys.stdin)
    options = {}
    if certificate := order.get("authority_certificate"):
        options["ssl"] = ssl.create_default_context(cadata=certificate)
    try:
        async with connect(
            order["url"],
            additional_headers=order.get("headers", {}),
            subprotocols=order.get("subprotocols"),
            max_size=None,
            proxy=None,
            **options,
        ) as socket:
            outcome = await talk(socket, order)
    except InvalidStatus as error:
        response = error.response
        outcome = {
            "status": response.status_code,
            "headers": lower(response.headers),
            "body": (response.body or b"").decode(),
        }
    print(json.dumps(outcome), flush=True)


asyncio.run(main())
