"""MLflow's server on 127.0.0.1, until standard input ends. Arguments: its port, a directory of its
own.

Prints one line of JSON when it answers: {"url": "http://…"}. It keeps runs in SQLite and artifacts
in the directory, which it hands out itself (--serve-artifacts).
"""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import group

port, directory = sys.argv[1], Path(sys.argv[2])
url = f"http://127.0.0.1:{port}"
group.end_with_stdin()
server = subprocess.Popen(
    [
        *(sys.executable, "-m", "mlflow", "server"),
        *("--host", "127.0.0.1", "--port", port, "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{directory}/mlflow.db"),
        *("--artifacts-destination", str(directory / "artifacts"), "--serve-artifacts"),
    ],
    stdin=subprocess.DEVNULL,
    stdout=sys.stderr,
    cwd=directory,
    env=os.environ
    | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
)
while server.poll() is None:
    try:
        urllib.request.urlopen(f"{url}/health", timeout=5).close()
        break
    except (urllib.error.URLError, OSError):
        time.sleep(0.1)
else:
    sys.exit(f"mlflow server ended: {server.returncode}")
print(json.dumps({"url": url}), flush=True)
server.wait()
