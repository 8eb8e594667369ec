"""moto's Cognito on 127.0.0.1, until standard input ends.

Prints one line of JSON when it answers: {"url": "http://…"}.
"""

import json
import os
import sys

from moto.moto_server.threaded_moto_server import ThreadedMotoServer

server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
host, port = server.get_host_and_port()
print(json.dumps({"url": f"http://{host}:{port}"}), flush=True)
sys.stdin.read()
# Not an orderly exit: its threads may be in the middle of an answer.
os._exit(0)
