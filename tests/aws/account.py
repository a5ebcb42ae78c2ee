"""An emulated AWS with the suite's stacks: deploys them, and does with them what the checks need."""

import json
import os
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import boto3
import zstandard
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

ENDPOINT = os.environ["AWS_ENDPOINT_URL"]
ACCOUNT = "000000000000"
HOME, AWAY = "eu-west-1", "eu-central-1"
REGIONS = [HOME, AWAY]
OUT = Path(sys.argv[1])
NAME = "shop"
SERVICES = ["catalogue", "pricing", "customers", "orders", "returns", "inventory", "popularity"]
MANIFESTS = Path(__file__).parent.parent.parent / "infra/aws/manifests"
# What the emulator has no resource for.
LACKING = {"AWS::Events::Archive"}
# Nothing takes as long as this, unless it never comes.
PATIENCE = 90


def client(service, region):
    config = Config(retries={"max_attempts": 3}, connect_timeout=5, read_timeout=60, s3={"addressing_style": "path"})
    return boto3.client(service, region_name=region, endpoint_url=ENDPOINT, config=config)


def step(text):
    print(f"  {text}", flush=True)


def until(what, holds):
    """Waits until `holds` gives something, and gives it."""
    end = time.monotonic() + PATIENCE
    last = None
    while time.monotonic() < end:
        try:
            last = holds()
        except (AssertionError, KeyError) as error:
            last = error
        else:
            if last:
                return last
        time.sleep(0.3)
    raise AssertionError(f"{what}: not within {PATIENCE} s; last seen: {last!r}")


def up():
    def answers():
        try:
            return urllib.request.urlopen(f"{ENDPOINT}/_ministack/health", timeout=2).status == 200
        except (urllib.error.URLError, OSError):
            return False

    until("MiniStack starts", answers)


def lacking(resource):
    """Whether the emulator lacks it: a kind of resource, or alarms of more than one metric."""
    is_reckoned = resource["Type"] == "AWS::CloudWatch::Alarm" and "Metrics" in resource["Properties"]
    return resource["Type"] in LACKING or is_reckoned


def deploy(stack, region):
    """Uploads what a stack's template refers to, and creates the stack."""
    template = json.loads((OUT / f"{stack}.template.json").read_text())
    assets = json.loads((OUT / f"{stack}.assets.json").read_text())
    s3, cloudformation = client("s3", region), client("cloudformation", region)
    bucket = f"cdk-hnb659fds-assets-{ACCOUNT}-{region}"
    if bucket not in [it["Name"] for it in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": region})
    for asset in assets["files"].values():
        if asset["source"]["path"].endswith(".zip"):
            for destination in asset["destinations"].values():
                s3.upload_file(str(OUT / asset["source"]["path"]), bucket, destination["objectKey"])
    resources = template["Resources"]
    for logical_id in [it for it, resource in resources.items() if lacking(resource)]:
        del resources[logical_id]
    for resource in resources.values():
        if resource["Type"] == "AWS::IAM::Policy":
            statements = resource["Properties"]["PolicyDocument"]["Statement"]
            if any("dynamodb:PutItem" in statement["Action"] for statement in statements):
                statements.append({"Effect": "Allow", "Action": "dynamodb:TransactWriteItems", "Resource": "*"})
            for statement in statements:
                if statement["Action"] == "s3:ListBucket":
                    statement.pop("Condition", None)
                if "sqs:SendMessage" in statement["Action"]:
                    statement["Action"] = [*statement["Action"], "sqs:SendMessageBatch"]
                if statement["Action"] == "lambda:InvokeFunction" and "-gateway-" in stack:
                    resource = f"arn:aws:lambda:{region}:{ACCOUNT}:function:arn:*:function:{NAME}-*-subgraph"
                    statement["Resource"] = [statement["Resource"], resource]
    # The rule of CDK's bootstrap, which no account here has.
    template.pop("Rules", None)
    template.get("Parameters", {}).pop("BootstrapVersion", None)
    s3.put_object(Bucket=bucket, Key=f"{stack}.json", Body=json.dumps(template).encode())
    url = f"{ENDPOINT}/{bucket}/{stack}.json"
    cloudformation.create_stack(StackName=stack, TemplateURL=url, Capabilities=["CAPABILITY_NAMED_IAM"])

    def done():
        found = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
        status = found["StackStatus"]
        if status in ("CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_IN_PROGRESS"):
            events = cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
            failed = [it for it in events if "FAILED" in it["ResourceStatus"]]
            raise RuntimeError(f"{stack}: {[(it['LogicalResourceId'], it.get('ResourceStatusReason')) for it in failed]}")
        return status == "CREATE_COMPLETE"

    until(f"{stack} is created", done)


class Forwarding(threading.Thread):
    """Carries what a region's rule selects for another one, as EventBridge does."""

    def __init__(self, here, there):
        super().__init__(daemon=True)
        self.sqs, self.there, self.born, self.over = client("sqs", here), client("events", there), [], False
        attributes = {"VisibilityTimeout": "3"}
        self.url = self.sqs.create_queue(QueueName=f"to-{there}", Attributes=attributes)["QueueUrl"]
        rule = {"Rule": f"{NAME}-to-{there}", "EventBusName": f"{NAME}-bus"}
        arn = f"arn:aws:sqs:{here}:{ACCOUNT}:to-{there}"
        client("events", here).put_targets(**rule, Targets=[{"Id": "script", "Arn": arn}])

    def run(self):
        while not self.over:
            messages = self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages", [])
            for message in messages:
                event = json.loads(message["Body"])
                entry = {"Source": event["source"], "DetailType": event["detail-type"], "Detail": json.dumps(event["detail"])}
                try:
                    answer = self.there.put_events(Entries=[{**entry, "EventBusName": f"{NAME}-bus"}])
                except self.there.exceptions.ClientError:
                    # A region that isn't there: it is tried again.
                    continue
                if answer["FailedEntryCount"] > 0:
                    continue
                self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
                self.born.append(event["detail"]["region"])


FORWARDING = {}


def manifest(service):
    return json.loads((MANIFESTS / f"{service}.json").read_text())


def parameter(region, name):
    """What a stack of the region left word of."""
    return client("ssm", region).get_parameter(Name=f"/{NAME}/{name}")["Parameter"]["Value"]


def said(region, function, lines=20):
    """What a function logged last."""
    logs = client("logs", region)
    events = logs.filter_log_events(logGroupName=f"/aws/lambda/{NAME}-{function}").get("events", [])
    # Neither metrics nor what Lambda adds.
    said = [it["message"].rstrip() for it in events if '"level"' in it["message"]]
    return "\n".join(said[-lines:])


def http(region, url, path, body=None, service="lambda", signed=True, headers=None):
    """Asks what is at a function's URL or an API: by POST where there is a body. The status, and the answer parsed where it is JSON."""
    host = url.split("//")[1].rstrip("/")
    if ".execute-api." in host:
        # By path: what lambda_http takes for a URL has no host that ends in an IP address.
        path = f"/_aws/execute-api/{host.split('.')[0]}/$default{path}"
        host = ENDPOINT.split("//")[1]
    data = None if body is None else json.dumps(body)
    all_headers = {"content-type": "application/json", "host": host, **(headers or {})}
    method = "GET" if body is None else "POST"
    request = AWSRequest(method=method, url=f"{ENDPOINT}{path}", data=data, headers=all_headers)
    if signed:
        SigV4Auth(Credentials(ACCOUNT, "secret"), service, region).add_auth(request)
    sent = urllib.request.Request(request.url, data=data and data.encode(), headers=dict(request.headers), method=method)
    try:
        with urllib.request.urlopen(sent, timeout=60) as answer:
            status, text = answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read().decode()
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text


def command(service, name, number, subject, data, at="2011-03-01T10:00:00Z"):
    return service, subject, {
        "id": f"command-{name}-{number}", "domain": service, "type": name, "major": 1, "subject": subject,
        "time": at, "correlationId": f"correlation-{number}", "data": data,
    }


def send(region, commands):
    sqs = client("sqs", region)
    for service, subject, envelope in commands:
        url = sqs.get_queue_url(QueueName=f"{NAME}-{service}-commands.fifo")["QueueUrl"]
        sqs.send_message(QueueUrl=url, MessageBody=json.dumps(envelope), MessageGroupId=subject)


def items(region, table):
    dynamodb = client("dynamodb", region)
    pages = dynamodb.get_paginator("scan").paginate(TableName=f"{NAME}-{table}", ConsistentRead=True)
    return sorted((it for page in pages for it in page["Items"]), key=lambda it: json.dumps(it, sort_keys=True, default=str))


def projections(region):
    """What all projections of a region hold."""
    return {it["deployed"]: items(region, it["deployed"]) for service in SERVICES for it in manifest(service)["projections"]}


def ask(region, service, query, signed=True):
    """Asks a subgraph by its function's URL; the status and the answer."""
    return http(region, parameter(region, f"subgraphs/{service}"), "/graphql", {"query": query}, signed=signed)


def data(region, service, query):
    status, answer = ask(region, service, query)
    assert status == 200 and "errors" not in answer, (status, answer)
    return answer["data"]


def quiet(region):
    """Whether every queue of the services is empty."""
    sqs = client("sqs", region)
    for service in SERVICES:
        for queue in manifest(service)["queues"]:
            url = sqs.get_queue_url(QueueName=f"{NAME}-{queue['name']}")["QueueUrl"]
            depth = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
            waiting = int(depth["ApproximateNumberOfMessages"]) + int(depth["ApproximateNumberOfMessagesNotVisible"])
            assert waiting == 0, f"{queue['name']} in {region} holds {waiting}"
    return True


def processes(handler, region):
    """The processes of a function."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            variables = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        mine = f"AWS_ENDPOINT_URL={ENDPOINT}".encode() in variables
        if mine and f"_HANDLER={handler}".encode() in variables and f"AWS_REGION={region}".encode() in variables:
            yield int(entry.name)


def archived(region):
    """The lines of the archive's objects."""
    s3 = client("s3", region)
    bucket = parameter(region, "archive/bucket")
    lines = []
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for found in page.get("Contents", []):
            body = s3.get_object(Bucket=bucket, Key=found["Key"])["Body"].read()
            text = zstandard.ZstdDecompressor().stream_reader(body, read_across_frames=True).read().decode()
            lines.extend(text.splitlines())
    return lines
