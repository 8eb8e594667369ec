"""nginx on 127.0.0.1, until standard input ends. Arguments: the program, a directory of its own.

Prints one line of JSON when it answers: {"url": "http://…", "h2c": "http://…", "tls": "https://…"}:
HTTP/1.1, HTTP/2 with prior knowledge, and, if the directory holds server.pem (certificate and key),
TLS with either. It serves the directory's files/, what it is asked for as /zipped/… compressed.
"""

import json
import os
import socket
import string
import sys
from pathlib import Path

import group

program, directory = sys.argv[1], Path(sys.argv[2])
certificate = directory / "server.pem"
schemes = {"http": "http", "h2c": "http"} | ({"tls": "https"} if certificate.exists() else {})
# A test that stops it may keep the port for nobody (`Gone::beside`).
listeners = {
    name: socket.create_server(("127.0.0.1", 0), backlog=1024, reuse_port=True) for name in schemes
}
ports = {name: listener.getsockname()[1] for name, listener in listeners.items()}

names = {f"listen_{name}": f"127.0.0.1:{port}" for name, port in ports.items()} | {
    "directory": str(directory),
    "tls": (
        f"listen 127.0.0.1:{ports['tls']} ssl http2;"
        f" ssl_certificate {certificate}; ssl_certificate_key {certificate};"
        if "tls" in ports
        else ""
    ),
}
config = directory / "nginx.conf"
template = Path(__file__).with_name("nginx.conf").read_text()
# nginx's own variables look the same and stay.
config.write_text(string.Template(template).safe_substitute(names))

# nginx takes the sockets over by their numbers: no port is free in between.
os.environ["NGINX"] = "".join(f"{listener.fileno()};" for listener in listeners.values())
urls = {name: f"{scheme}://127.0.0.1:{ports[name]}" for name, scheme in schemes.items()}
print(json.dumps({"url": urls.pop("http")} | urls), flush=True)

group.end_with_stdin()
for listener in listeners.values():
    os.set_inheritable(listener.fileno(), True)
# Workers of root would be nobody, and could not read the directory.
user = ["-g", "user root;"] if os.geteuid() == 0 else []
os.execv(program, [program, "-p", str(directory), "-c", str(config), *user])
