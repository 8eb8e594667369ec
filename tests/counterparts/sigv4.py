"""botocore signs the same requests. Reads what to sign from standard input, prints the signatures.

In:  {"keys": {"access_key_id": "…", "secret_access_key": "…", "session_token": "…" or null},
      "requests": [{"service": "s3", "region": "eu-west-1", "at": 1700000000, "method": "GET",
                    "url": "https://…",
                    "headers": [["host", "…"], …],      without those that signing writes
                    "body": "…",
                    "unsigned": false}]}                 whether the payload stays unsigned
Out: [{"authorization": "…", "x-amz-date": "…", "x-amz-security-token": "…" or null,
       "x-amz-content-sha256": "…" or null}, …]          one for each request, in order
"""

import datetime
import json
import sys
import types

from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

WRITTEN = ["authorization", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"]


def sign(keys, order):
    now = datetime.datetime.fromtimestamp(order["at"], datetime.timezone.utc)
    auth.get_current_datetime = lambda: now
    request = AWSRequest(method=order["method"], url=order["url"], data=order["body"].encode())
    for name, value in order["headers"]:
        request.headers.add_header(name, value)
    # S3's clients decide by their configuration whether they hash a body.
    config = {"payload_signing_enabled": not order["unsigned"]}
    request.context["client_config"] = types.SimpleNamespace(s3=config)
    kind = auth.S3SigV4Auth if order["service"] == "s3" else auth.SigV4Auth
    kind(keys, order["service"], order["region"]).add_auth(request)
    return {name: request.headers.get(name) for name in WRITTEN}


order = json.load(sys.stdin)
keys = order["keys"]
keys = Credentials(keys["access_key_id"], keys["secret_access_key"], keys["session_token"])
print(json.dumps([sign(keys, request) for request in order["requests"]]), flush=True)
