"""A gRPC client (grpcio). Reads what to do from standard input, prints what came of it, ends.

In:  {"target": "127.0.0.1:80",
      "authority_certificate": "-----BEGIN …",    TLS, trusting this authority; absent: no TLS
      "calls": [{"method": "/test.Service/Unary",
                 "kind": "unary_unary",           or unary_stream, stream_unary, stream_stream
                 "messages": ["text", …],         the requests; with stream_stream each is sent
                                                  only when the one before it was answered
                 "metadata": {"authorization": "…"},
                 "timeout": 10}]}                 seconds; absent: 20
Out: [{"code": "OK", "details": "", "messages": ["text", …], "initial": {…}, "trailing": {…}}, …]
     one for each call, in order. A message over 100 bytes is told by its length: 5000. Metadata
     that is not text is told in hexadecimal.
"""

import json
import queue
import sys

import grpc


def told(message):
    return message.decode() if len(message) <= 100 else len(message)


def metadata(pairs):
    return {key: value.hex() if isinstance(value, bytes) else value for key, value in pairs or ()}


def ask(channel, call):
    kind = call["kind"]
    messages = [message.encode() for message in call["messages"]]
    method = getattr(channel, kind)(call["method"])
    # Empty: no more requests.
    ready = queue.SimpleQueue()
    following = iter([*messages, None])
    ready.put(next(following))
    if kind == "stream_unary":
        for message in following:
            ready.put(message)
    request = iter(ready.get, None) if kind.startswith("stream") else messages[0]
    options = {
        "metadata": list(call.get("metadata", {}).items()),
        "timeout": call.get("timeout", 20),
    }
    replies = []
    if kind.endswith("_stream"):
        outcome = method(request, **options)
        try:
            for reply in outcome:
                replies.append(told(reply))
                if kind == "stream_stream":
                    ready.put(next(following))
        except grpc.RpcError as error:
            outcome = error
    else:
        try:
            reply, outcome = method.with_call(request, **options)
            replies.append(told(reply))
        except grpc.RpcError as error:
            outcome = error
    # A request stream that is still waited for ends here.
    ready.put(None)
    return {
        "code": outcome.code().name,
        "details": outcome.details(),
        "messages": replies,
        "initial": metadata(outcome.initial_metadata()),
        "trailing": metadata(outcome.trailing_metadata()),
    }


order = json.load(sys.stdin)
options = [("grpc.max_receive_message_length", -1), ("grpc.enable_http_proxy", 0)]
if certificate := order.get("authority_certificate"):
    credentials = grpc.ssl_channel_credentials(certificate.encode())
    channel = grpc.secure_channel(order["target"], credentials, options)
else:
    channel = grpc.insecure_channel(order["target"], options)
with channel:
    print(json.dumps([ask(channel, call) for call in order["calls"]]), flush=True)
