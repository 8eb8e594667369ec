"""moto's AWS on 127.0.0.1, which checks signatures (with botocore's own code), until standard input
ends. There are a user and a role that may do everything, a bucket, a secret and an identity pool.

Prints one line of JSON when it answers:
{"url": "http://…", "access_key_id": "…", "secret_access_key": "…", "role": "arn:…",
 "bucket": "…", "secret": "arn:…", "identity_pool": "eu-west-1:…"}
"""

import json
import os
import sys
import urllib.request

import boto3
from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.authorization import ActionAuthenticatorMixin
from moto.moto_server.threaded_moto_server import ThreadedMotoServer

REGION = "eu-west-1"
ANYTHING = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
)
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"},
        ],
    }
)

# AWS takes these without a signature, and moto would not.
UNSIGNED = ["AssumeRoleWithWebIdentity", "GetCredentialsForIdentity"]
check = ActionAuthenticatorMixin._authenticate_and_authorize_action


def check_signed(self, *args, **kwargs):
    if self._get_action() not in UNSIGNED:
        check(self, *args, **kwargs)


ActionAuthenticatorMixin._authenticate_and_authorize_action = check_signed

server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
host, port = server.get_host_and_port()
url = f"http://{host}:{port}"


def client(service):
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id="setup",
        aws_secret_access_key="setup",
    )


iam = client("iam")
iam.create_user(UserName="app")
iam.put_user_policy(UserName="app", PolicyName="anything", PolicyDocument=ANYTHING)
key = iam.create_access_key(UserName="app")["AccessKey"]
role = iam.create_role(RoleName="task", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
iam.put_role_policy(RoleName="task", PolicyName="anything", PolicyDocument=ANYTHING)
bucket = "objects"
client("s3").create_bucket(
    Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION}
)
secret = client("secretsmanager").create_secret(
    Name="billing", SecretString=json.dumps({"client_secret": "s3cret-1", "id": "billing"})
)
pool = client("cognito-identity").create_identity_pool(
    IdentityPoolName="people", AllowUnauthenticatedIdentities=False
)
# Signatures are checked from now on.
plain = {"Content-Type": "text/plain"}
order = urllib.request.Request(f"{url}/moto-api/reset-auth", data=b"0", headers=plain)
urllib.request.urlopen(order).close()
said = {
    "url": url,
    "account": DEFAULT_ACCOUNT_ID,
    "access_key_id": key["AccessKeyId"],
    "secret_access_key": key["SecretAccessKey"],
    "role": role,
    "bucket": bucket,
    "secret": secret["ARN"],
    "identity_pool": pool["IdentityPoolId"],
}
print(json.dumps(said), flush=True)
sys.stdin.read()
# Not an orderly exit: its threads may be in the middle of an answer.
os._exit(0)
