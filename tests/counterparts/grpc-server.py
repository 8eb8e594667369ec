"""A gRPC server (grpcio, no TLS) on 127.0.0.1, until standard input ends.

Prints one line of JSON when it answers: {"url": "http://…"}. Messages are bytes, passed as they are:
no protoc. Service test.Service:

  Unary   one message                answers it. Initial metadata `seen`: the metadata that arrived,
                                     as JSON; trailing metadata `x-last: trailer`.
  Down    a number as text, "3:10"   answers 3 messages of 10 bytes each
  Up      messages                   answers how many bytes they were together, as text
  Both    messages                   answers each when it arrives
  Fail    anything                   NOT_FOUND, details "no such thing: ä", trailing metadata
                                     `x-why: because` and `x-why-bin`: bytes 0, 255
  Break   one message                answers it, then ABORTED, details "broken off", trailing metadata
                                     `x-why: because`
  Wait    anything                   answers nothing until the call is cancelled
  Gone    anything                   answers how many Wait calls were cancelled so far, as text
"""

import json
import os
import sys
import threading
from concurrent import futures

import grpc

# Wait calls that were cancelled.
gone = 0
lock = threading.Lock()


def unary(request, context):
    seen = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
    context.send_initial_metadata([("seen", json.dumps(seen))])
    context.set_trailing_metadata([("x-last", "trailer")])
    return request


def down(request, _context):
    count, size = map(int, request.split(b":"))
    for _ in range(count):
        yield bytes(size)


def up(requests, _context):
    return str(sum(map(len, requests))).encode()


def both(requests, _context):
    yield from requests


def fail(_request, context):
    context.set_trailing_metadata([("x-why", "because"), ("x-why-bin", b"\x00\xff")])
    context.abort(grpc.StatusCode.NOT_FOUND, "no such thing: ä")


def break_off(request, context):
    yield request
    context.set_trailing_metadata([("x-why", "because")])
    context.abort(grpc.StatusCode.ABORTED, "broken off")


def wait(_request, context):
    global gone
    ended = threading.Event()
    if context.add_callback(ended.set):
        ended.wait()
    with lock:
        gone += 1
    return b""


def count_gone(_request, _context):
    with lock:
        return str(gone).encode()


methods = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Down": grpc.unary_stream_rpc_method_handler(down),
    "Up": grpc.stream_unary_rpc_method_handler(up),
    "Both": grpc.stream_stream_rpc_method_handler(both),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "Break": grpc.unary_stream_rpc_method_handler(break_off),
    "Wait": grpc.unary_unary_rpc_method_handler(wait),
    "Gone": grpc.unary_unary_rpc_method_handler(count_gone),
}
server = grpc.server(futures.ThreadPoolExecutor(16), options=[("grpc.so_reuseport", 0)])
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Service", methods)])
port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(json.dumps({"url": f"http://127.0.0.1:{port}"}), flush=True)
sys.stdin.read()
# Not an orderly exit: a Wait may still be held.
os._exit(0)
