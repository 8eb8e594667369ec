"""Microsoft's MSAL asks for a token on behalf of a user. Reads what to do from standard input, prints
what came of it, ends.

In:  {"url": "http://127.0.0.1:…",     who answers in the place of https://login.microsoftonline.com
      "tenant": "…", "client_id": "…", "client_secret": "…", "scopes": ["…"],
      "assertion": "…"}                the user's token
Out: what MSAL returns: the token endpoint's answer, or its error
"""

import json
import sys

import msal
import requests

order = json.load(sys.stdin)
ENTRA = "https://login.microsoftonline.com"


class Here(requests.Session):
    """MSAL takes no http:// authority."""

    def request(self, method, url, **options):
        if not url.startswith(ENTRA + "/"):
            raise ValueError(f"asked for {url}")
        return super().request(method, order["url"] + url.removeprefix(ENTRA), **options)


session = Here()
session.trust_env = False
application = msal.ConfidentialClientApplication(
    order["client_id"],
    authority=f"{ENTRA}/{order['tenant']}",
    client_credential=order["client_secret"],
    instance_discovery=False,
    http_client=session,
)
print(json.dumps(application.acquire_token_on_behalf_of(order["assertion"], order["scopes"])))
