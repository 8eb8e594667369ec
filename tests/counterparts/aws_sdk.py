"""The AWS SDK for Python as an app uses it, with the credentials it finds in its environment.

Standard input: JSON {"sts": URL}. Prints one line of JSON: {"arn": who AWS takes it for, "method": where
the SDK found its credentials}, or {"error": the name of the exception}.
"""

import json
import sys

import boto3
from botocore.exceptions import BotoCoreError, ClientError

order = json.loads(sys.stdin.readline())
session = boto3.Session(region_name="eu-west-1")
try:
    sts = session.client("sts", endpoint_url=order["sts"])
    told = {
        "arn": sts.get_caller_identity()["Arn"],
        "method": session.get_credentials().method,
    }
except (BotoCoreError, ClientError) as error:
    told = {"error": type(error).__name__}
print(json.dumps(told), flush=True)
