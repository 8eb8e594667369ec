"""MLflow's client. Reads what to do from standard input, prints what came of it, ends.

In:  {"tracking_uri": "http://127.0.0.1:80/mlflow", "token": "…",    absent: none is sent
      "run": "…",                                  the run the steps are about, once there is one
      "steps": ["log", …]}
Out: {"log": what came of it, …}, each an outcome or
     {"error": {"type": "RestException", "error_code": "PERMISSION_DENIED", "status": 403}}

Steps: `log` a run with parameters and metrics, `upload` an artifact of 5 MiB, `download` it and
compare, `read` the run, `search` runs, `log_metric`, `upload_small`, `delete` the run.
"""

import contextlib
import hashlib
import json
import os
import sys
import tempfile
from pathlib import Path

order = json.load(sys.stdin)
# Before MLflow is loaded: it reads them then or later, as it likes.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
if token := order.get("token"):
    os.environ["MLFLOW_TRACKING_TOKEN"] = token

import mlflow  # noqa: E402
import requests  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402

mlflow.set_tracking_uri(order["tracking_uri"])
client = mlflow.MlflowClient()
directory = Path(tempfile.mkdtemp())
run = order.get("run")
EXPERIMENT = "through the sidecar"
SIZE = 5 * 1024 * 1024


def artifact():
    """The same bytes in every process."""
    return hashlib.shake_256(b"artifact").digest(SIZE)


def log():
    global run
    mlflow.set_experiment(EXPERIMENT)
    with mlflow.start_run() as active:
        mlflow.log_params({"depth": 3, "name": "ä / %2F"})
        for step in range(3):
            mlflow.log_metrics({"loss": 1 / (step + 1)}, step=step)
        mlflow.set_tag("kind", "test")
    run = active.info.run_id
    return run


def upload():
    file = directory / "artifact.bin"
    file.write_bytes(artifact())
    client.log_artifact(run, file, "models/a b")
    return [entry.path for entry in client.list_artifacts(run, "models/a b")]


def upload_small():
    file = directory / "small.txt"
    file.write_text("small")
    client.log_artifact(run, file)


def download():
    target = directory / "down"
    target.mkdir()
    file = client.download_artifacts(run, "models/a b/artifact.bin", str(target))
    return Path(file).read_bytes() == artifact()


def read():
    data = client.get_run(run).data
    steps = [metric.step for metric in client.get_metric_history(run, "loss")]
    return {"params": data.params, "metrics": data.metrics, "steps": steps}


def search():
    experiment = client.get_experiment_by_name(EXPERIMENT)
    return [found.info.run_id for found in client.search_runs([experiment.experiment_id])]


def log_metric():
    client.log_metric(run, "loss", 0.0)


def delete():
    client.delete_run(run)


def outcome(step):
    try:
        return step()
    except MlflowException as error:
        kind, code, status = type(error), error.error_code, error.get_http_status_code()
    except requests.HTTPError as error:
        # What it raises for artifacts: no code of its own.
        kind, code, status = type(error), None, error.response.status_code
    return {"error": {"type": kind.__name__, "error_code": code, "status": status}}


steps = [log, upload, upload_small, download, read, search, log_metric, delete]
known = {step.__name__: step for step in steps}
# MLflow writes to standard output as it works.
with contextlib.redirect_stdout(sys.stderr):
    outcomes = {name: outcome(known[name]) for name in order["steps"]}
print(json.dumps(outcomes), flush=True)
