"""MSAL's confidential client with a certificate. Reads what to do from standard input, prints what came
of it, ends. The tenant is asked under its own name, but at another address.

In:  {"authority": "https://login.microsoftonline.com/TENANT", "at": "http://127.0.0.1:80",
      "client_id": "…", "private_key": "-----BEGIN …", "certificate": "-----BEGIN …",
      "scopes": ["api://orders/.default"], "times": 2}     with a new client each time
Out: [{"access_token": "…"}, …]                            what MSAL answers
"""

import json
import sys

import msal
import requests
from requests.adapters import HTTPAdapter

order = json.load(sys.stdin)


class Elsewhere(HTTPAdapter):
    def send(self, request, **more):
        path = request.url.split("/", 3)[3]
        request.url = f"{order['at']}/{path}"
        return super().send(request, **more)


session = requests.Session()
session.trust_env = False
session.mount("https://", Elsewhere())


def ask():
    client = msal.ConfidentialClientApplication(
        order["client_id"],
        authority=order["authority"],
        instance_discovery=False,
        http_client=session,
        client_credential={
            "private_key": order["private_key"],
            "public_certificate": order["certificate"],
        },
    )
    return client.acquire_token_for_client(scopes=order["scopes"])


print(json.dumps([ask() for _ in range(order["times"])]))
