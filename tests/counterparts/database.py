"""A database, until standard input ends. Arguments: a directory of its own; as JSON, the command that
fills the directory's `data`, run once, and the server's command.

Databases refuse to be root's: as root, it and all in its directory become nobody's.
"""

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path

import group

directory = Path(sys.argv[1])
fill, serve = json.loads(sys.argv[2]), json.loads(sys.argv[3])

group.end_with_stdin()
# a MariaDB that starts removes what others keep in a directory they share
temporary = directory / "tmp"
temporary.mkdir(exist_ok=True)
os.environ["TMPDIR"] = str(temporary)
if os.geteuid() == 0:
    nobody = pwd.getpwnam("nobody")
    for path in [directory, *directory.rglob("*")]:
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    os.setgroups([])
    os.setgid(nobody.pw_gid)
    os.setuid(nobody.pw_uid)
os.chdir(directory)
if not (directory / "data").exists():
    subprocess.run(fill, check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr)
os.execv(serve[0], serve)
