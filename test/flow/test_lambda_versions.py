"""Versions and aliases: publish, list, read, delete, weights, permissions of each, with boto3 unmodified."""
import base64
import functools
import hashlib
import json
import subprocess
import threading
import urllib.request
import uuid

import botocore.exceptions
import pytest

from conftest import ROLE, make_zip, until

ARN = "arn:aws:lambda:us-east-1:000000000000:function:"


@pytest.fixture
def lam(wick):
    """The server's own checks are what is tested, not those of the SDK."""
    return wick.client("lambda", parameter_validation=False)


@functools.cache  # a zip holds the time: asked for twice it must be the same
def code(text):
    return make_zip({"app.py": f"def handler(event, context):\n    return {text!r}\n"})


def create(lam, text="one", **kw):
    name = "f-" + uuid.uuid4().hex[:12]
    lam.create_function(FunctionName=name, Role=ROLE, Runtime="python3.11", Handler="app.handler", MemorySize=512,
                        Timeout=30, Code={"ZipFile": code(text)}, **kw)
    return name


def publish_next(lam, name, text):
    lam.update_function_code(FunctionName=name, ZipFile=code(text))
    return lam.publish_version(FunctionName=name)["Version"]


def refused(expected, call, **kw):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**kw)
    error = caught.value.response
    assert error["Error"]["Code"] == expected, error
    return error["Error"]["Message"], error["ResponseMetadata"]["HTTPStatusCode"]


def test_publish(lam):
    name = create(lam, Description="of the function", Tags={"a": "1"})
    latest = lam.get_function_configuration(FunctionName=name)
    one = lam.publish_version(FunctionName=name, Description="the first")
    assert one["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert (one["Version"], one["FunctionArn"]) == ("1", ARN + name + ":1")
    assert (one["Description"], one["CodeSha256"]) == ("the first", latest["CodeSha256"])
    assert one["RevisionId"] != latest["RevisionId"] and one["State"] == "Active"
    again = lam.publish_version(FunctionName=name, Description="nothing changed")
    assert (again["Version"], again["Description"]) == ("1", "the first")
    assert lam.get_function_configuration(FunctionName=name)["Description"] == "of the function"
    lam.add_permission(FunctionName=name, StatementId="s", Action="lambda:InvokeFunction", Principal="s3.amazonaws.com")
    lam.tag_resource(Resource=ARN + name, Tags={"b": "2"})
    assert lam.publish_version(FunctionName=name)["Version"] == "1"  # neither is of what runs
    lam.update_function_configuration(FunctionName=name, Timeout=20)
    two = lam.publish_version(FunctionName=name)
    assert (two["Version"], two["Timeout"], two["Description"]) == ("2", 20, "of the function")
    lam.tag_resource(Resource=ARN + name, Tags={"wick:idle": "5s"})
    assert lam.publish_version(FunctionName=name)["Version"] == "3"
    assert lam.get_function_configuration(FunctionName=name, Qualifier="1")["Timeout"] == 30


def test_publish_checks(lam):
    name = create(lam)
    latest = lam.get_function_configuration(FunctionName=name)
    message, status = refused("InvalidParameterValueException", lam.publish_version, FunctionName=name, CodeSha256="x")
    assert status == 400 and latest["CodeSha256"] in message
    assert refused("PreconditionFailedException", lam.publish_version, FunctionName=name, RevisionId="x")[1] == 412
    refused("ValidationException", lam.publish_version, FunctionName=name, Description="x" * 257)
    refused("ResourceNotFoundException", lam.publish_version, FunctionName=name + "x")
    refused("InvalidParameterValueException", lam.publish_version, FunctionName=name + ":1")
    assert lam.publish_version(FunctionName=name, CodeSha256=latest["CodeSha256"],
                               RevisionId=latest["RevisionId"])["Version"] == "1"


def test_create_published(lam):
    name = create(lam, Publish=True)
    assert lam.get_function(FunctionName=name, Qualifier="1")["Configuration"]["FunctionArn"] == ARN + name + ":1"
    assert lam.publish_version(FunctionName=name)["Version"] == "1"


def test_code_of_a_version_never_changes(lam, wick):
    name = create(lam, "one", Publish=True)
    assert publish_next(lam, name, "two") == "2"
    lam.update_function_code(FunctionName=name, ZipFile=code("three"))
    for qualifier, text in (("1", "one"), ("2", "two"), ("$LATEST", "three")):
        told = lam.get_function(FunctionName=name, Qualifier=qualifier)
        with urllib.request.urlopen(told["Code"]["Location"]) as answer:
            got = answer.read()
        assert got == code(text)
        assert told["Configuration"]["CodeSha256"] == base64.b64encode(hashlib.sha256(got).digest()).decode()
        assert told["Configuration"]["Version"] == qualifier


def test_invoke_versions(lam, wick):
    name = create(lam, "one", Publish=True)
    publish_next(lam, name, "two")
    lam.create_alias(FunctionName=name, Name="prod", FunctionVersion="1")
    for qualifier, text, version in (("1", "one", "1"), ("2", "two", "2"), ("prod", "one", "1"), ("$LATEST", "two", "$LATEST")):
        payload, answer = wick.invoke(name, Qualifier=qualifier)
        assert (payload, answer["ExecutedVersion"]) == (text, version)
    lam.update_alias(FunctionName=name, Name="prod", FunctionVersion="2")
    assert wick.invoke(name, Qualifier="prod")[0] == "two"
    refused("ResourceNotFoundException", lam.invoke, FunctionName=name, Qualifier="3")
    refused("ResourceNotFoundException", lam.invoke, FunctionName=name, Qualifier="dev")


def test_what_runs_stays_warm(wick):
    """Neither publishing nor an alias, a policy, a tag of one's own or the same code again ends a worker."""
    lam = wick.client("lambda")
    name, same = "f-" + uuid.uuid4().hex[:12], make_zip({"app.py": "N = 0\ndef handler(event, context):\n"
                                                                  "    global N\n    N += 1\n    return N\n"})
    lam.create_function(FunctionName=name, Role=ROLE, Runtime="python3.11", Handler="app.handler", MemorySize=512,
                        Timeout=30, Code={"ZipFile": same})
    assert wick.invoke(name)[0] == 1
    lam.publish_version(FunctionName=name)
    lam.create_alias(FunctionName=name, Name="prod", FunctionVersion="1")
    assert wick.invoke(name)[0] == 2
    lam.add_permission(FunctionName=name, StatementId="s", Action="lambda:InvokeFunction", Principal="s3.amazonaws.com")
    lam.tag_resource(Resource=ARN + name, Tags={"team": "x"})
    lam.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=3)
    assert wick.invoke(name)[0] == 3
    lam.update_function_code(FunctionName=name, ZipFile=same)
    assert wick.invoke(name)[0] == 4
    assert wick.invoke(name, Qualifier="prod")[0] == 1
    lam.add_permission(FunctionName=name, Qualifier="1", StatementId="s", Action="lambda:InvokeFunction",
                       Principal="s3.amazonaws.com")
    lam.update_alias(FunctionName=name, Name="prod", Description="still the first")
    assert wick.invoke(name, Qualifier="prod")[0] == 2
    lam.tag_resource(Resource=ARN + name, Tags={"wick:idle": "90s"})
    assert wick.invoke(name)[0] == 1
    assert wick.invoke(name, Qualifier="prod")[0] == 3
    lam.delete_function(FunctionName=name)


def test_list_versions(lam):
    name = create(lam, "0", Publish=True)
    for i in range(1, 12):
        publish_next(lam, name, str(i))
    wanted = ["$LATEST"] + [str(i) for i in range(1, 13)]
    told = lam.list_versions_by_function(FunctionName=name)
    assert [v["Version"] for v in told["Versions"]] == wanted and not told.get("NextMarker")
    assert told["Versions"][0]["FunctionArn"] == ARN + name + ":$LATEST"
    pages = lam.get_paginator("list_versions_by_function").paginate(FunctionName=name, PaginationConfig={"PageSize": 1})
    assert [v["Version"] for p in pages for v in p["Versions"]] == wanted
    refused("ResourceNotFoundException", lam.list_versions_by_function, FunctionName=name + "x")
    refused("InvalidParameterValueException", lam.list_versions_by_function, FunctionName=name, Marker="%%%")
    refused("ValidationException", lam.list_versions_by_function, FunctionName=name, MaxItems=0)


def test_list_functions_with_versions(new_wick):
    lam = new_wick().client("lambda")
    a, b = sorted([create(lam, Publish=True), create(lam)])
    names = [(f["FunctionName"], f["Version"]) for f in lam.list_functions(FunctionVersion="ALL")["Functions"]]
    assert sorted(names) == names and len(names) == 3 and {n for n, _ in names} == {a, b}
    pages = lam.get_paginator("list_functions").paginate(FunctionVersion="ALL", PaginationConfig={"PageSize": 1})
    assert [(f["FunctionName"], f["Version"]) for p in pages for f in p["Functions"]] == names
    assert len(lam.list_functions()["Functions"]) == 2
    assert lam.list_functions(FunctionVersion="ALL", MasterRegion="eu-west-1")["Functions"] == []
    refused("InvalidParameterValueException", lam.list_functions, MasterRegion="ALL")
    assert lam.get_account_settings()["AccountUsage"] == {"FunctionCount": 2, "TotalCodeSize": 3 * len(code("one"))}


def test_delete_version(lam):
    name = create(lam, "one", Publish=True)
    publish_next(lam, name, "two")
    lam.create_alias(FunctionName=name, Name="prod", FunctionVersion="1")
    message, status = refused("ResourceConflictException", lam.delete_function, FunctionName=name, Qualifier="1")
    assert status == 409 and "alias" in message
    lam.update_alias(FunctionName=name, Name="prod", FunctionVersion="2",
                     RoutingConfig={"AdditionalVersionWeights": {"1": 0.5}})
    refused("ResourceConflictException", lam.delete_function, FunctionName=name, Qualifier="1")
    lam.update_alias(FunctionName=name, Name="prod", RoutingConfig={})
    assert lam.delete_function(FunctionName=name, Qualifier="1")["ResponseMetadata"]["HTTPStatusCode"] == 204
    lam.delete_function(FunctionName=name + ":1")  # gone is gone
    refused("ResourceNotFoundException", lam.get_function, FunctionName=name, Qualifier="1")
    refused("InvalidParameterValueException", lam.delete_function, FunctionName=name, Qualifier="prod")
    refused("InvalidParameterValueException", lam.delete_function, FunctionName=name, Qualifier="$LATEST")
    refused("ResourceNotFoundException", lam.delete_function, FunctionName=name + "x", Qualifier="1")
    # A number is never given twice.
    lam.delete_alias(FunctionName=name, Name="prod")
    lam.delete_function(FunctionName=name, Qualifier="2")
    assert lam.publish_version(FunctionName=name)["Version"] == "3"
    lam.delete_function(FunctionName=name)
    refused("ResourceNotFoundException", lam.get_function, FunctionName=name, Qualifier="3")


def test_publish_at_once(wick):
    """Publishing beside changes and itself gives every number once, and each version what it was published from."""
    lam = wick.client("lambda")
    name = create(lam)
    numbers, failed = [], []

    def work(k):
        mine = wick.client("lambda")
        for i in range(4):
            try:
                mine.update_function_configuration(FunctionName=name, Description=f"{k}-{i}")
                numbers.append(mine.publish_version(FunctionName=name)["Version"])
            except mine.exceptions.ResourceConflictException:
                pass  # too many at once: AWS says the same
            except Exception as e:
                failed.append(e)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failed
    listed = [v["Version"] for v in lam.list_versions_by_function(FunctionName=name)["Versions"]][1:]
    assert listed == [str(i + 1) for i in range(len(listed))]
    assert set(numbers) <= set(listed)


# ---- aliases ----

def test_alias(lam):
    name = create(lam, "one", Publish=True)
    publish_next(lam, name, "two")
    made = lam.create_alias(FunctionName=name, Name="prod", FunctionVersion="1", Description="what users see")
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert (made["AliasArn"], made["Name"], made["FunctionVersion"]) == (ARN + name + ":prod", "prod", "1")
    assert made["Description"] == "what users see" and "RoutingConfig" not in made
    told = lam.get_alias(FunctionName=name, Name="prod")
    assert {k: v for k, v in told.items() if k != "ResponseMetadata"} == {
        k: v for k, v in made.items() if k != "ResponseMetadata"}
    conf = lam.get_function_configuration(FunctionName=name, Qualifier="prod")
    assert (conf["Version"], conf["FunctionArn"]) == ("1", ARN + name + ":prod")
    changed = lam.update_alias(FunctionName=name, Name="prod", FunctionVersion="2", RevisionId=made["RevisionId"])
    assert (changed["FunctionVersion"], changed["Description"]) == ("2", "what users see")
    assert changed["RevisionId"] != made["RevisionId"]
    assert refused("PreconditionFailedException", lam.update_alias, FunctionName=name, Name="prod",
                   RevisionId=made["RevisionId"])[1] == 412
    weighted = lam.update_alias(FunctionName=name, Name="prod",
                                RoutingConfig={"AdditionalVersionWeights": {"1": 0.25}})
    assert weighted["RoutingConfig"] == {"AdditionalVersionWeights": {"1": 0.25}}
    assert lam.get_alias(FunctionName=name, Name="prod")["RoutingConfig"] == weighted["RoutingConfig"]
    lam.update_alias(FunctionName=name, Name="prod", Description="")
    assert lam.get_alias(FunctionName=name, Name="prod")["RoutingConfig"] == weighted["RoutingConfig"]
    assert "RoutingConfig" not in lam.update_alias(FunctionName=name, Name="prod",
                                                   RoutingConfig={"AdditionalVersionWeights": {}})
    assert lam.delete_alias(FunctionName=name, Name="prod")["ResponseMetadata"]["HTTPStatusCode"] == 204
    lam.delete_alias(FunctionName=name, Name="prod")  # gone is gone
    message, status = refused("ResourceNotFoundException", lam.get_alias, FunctionName=name, Name="prod")
    assert status == 404 and message.endswith(f"{name}:prod")


ALIAS_BAD = [
    (dict(Name="1"), "ValidationException", "'name'"),
    (dict(Name="a b"), "ValidationException", "'name'"),
    (dict(Name="x" * 129), "ValidationException", "'name'"),
    (dict(FunctionVersion="prod"), "ValidationException", "'functionVersion'"),
    (dict(FunctionVersion=None), "ValidationException", "'functionVersion'"),
    (dict(Description="x" * 257), "ValidationException", "'description'"),
    (dict(FunctionVersion="9"), "ResourceNotFoundException", ":9"),
    (dict(RoutingConfig={"AdditionalVersionWeights": {"9": 0.5}}), "ResourceNotFoundException", ":9"),
    (dict(RoutingConfig={"AdditionalVersionWeights": {"1": 0.5}}), "InvalidParameterValueException", "already included"),
    (dict(RoutingConfig={"AdditionalVersionWeights": {"2": 1.5}}), "ValidationException", "additionalVersionWeights"),
    (dict(RoutingConfig={"AdditionalVersionWeights": {"2": -0.5}}), "ValidationException", "additionalVersionWeights"),
    (dict(RoutingConfig={"AdditionalVersionWeights": {"x": 0.5}}), "ValidationException", "additionalVersionWeights"),
    (dict(RoutingConfig={"AdditionalVersionWeights": {"1": 0.5, "2": 0.5}}), "InvalidParameterValueException",
     "greater than 1"),
    (dict(FunctionVersion="$LATEST", RoutingConfig={"AdditionalVersionWeights": {"2": 0.5}}),
     "InvalidParameterValueException", "$LATEST is not supported"),
    (dict(RoutingConfig={"AdditionalVersionWeights": {"$LATEST": 0.5}}), "InvalidParameterValueException",
     "$LATEST is not supported"),
]


@pytest.fixture(scope="module")
def two_versions(wick):
    lam = wick.client("lambda")
    name = create(lam, "one", Publish=True)
    publish_next(lam, name, "two")
    return name


@pytest.mark.parametrize("conf,expected,text", ALIAS_BAD, ids=[str(i) for i in range(len(ALIAS_BAD))])
def test_alias_refused(lam, two_versions, conf, expected, text):
    args = {**dict(FunctionName=two_versions, Name="bad", FunctionVersion="1"), **conf}
    message, _ = refused(expected, lam.create_alias, **{k: v for k, v in args.items() if v is not None})
    assert text in message
    refused("ResourceNotFoundException", lam.get_alias, FunctionName=two_versions, Name="bad")


def test_alias_errors(lam, two_versions):
    name = two_versions
    lam.create_alias(FunctionName=name, Name="here", FunctionVersion="1")
    assert refused("ResourceConflictException", lam.create_alias, FunctionName=name, Name="here",
                   FunctionVersion="1")[1] == 409
    refused("ResourceNotFoundException", lam.update_alias, FunctionName=name, Name="none", FunctionVersion="1")
    refused("ResourceNotFoundException", lam.update_alias, FunctionName=name, Name="here", FunctionVersion="9")
    for call, more in ((lam.create_alias, {"FunctionVersion": "1"}), (lam.get_alias, {}), (lam.delete_alias, {}),
                       (lam.update_alias, {"FunctionVersion": "1"})):
        refused("ResourceNotFoundException", call, FunctionName=name + "x", Name="here", **more)
    refused("InvalidParameterValueException", lam.get_alias, FunctionName=name + ":1", Name="here")


def test_list_aliases(lam):
    name = create(lam, "one", Publish=True)
    publish_next(lam, name, "two")
    for i in range(7):
        lam.create_alias(FunctionName=name, Name=f"a{i}", FunctionVersion="1" if i % 2 else "2")
    lam.update_alias(FunctionName=name, Name="a0", RoutingConfig={"AdditionalVersionWeights": {"1": 0.1}})
    assert [a["Name"] for a in lam.list_aliases(FunctionName=name)["Aliases"]] == [f"a{i}" for i in range(7)]
    pages = lam.get_paginator("list_aliases").paginate(FunctionName=name, PaginationConfig={"PageSize": 3})
    assert [a["Name"] for p in pages for a in p["Aliases"]] == [f"a{i}" for i in range(7)]
    assert [a["Name"] for a in lam.list_aliases(FunctionName=name, FunctionVersion="1")["Aliases"]] == [
        "a0", "a1", "a3", "a5"]
    pages = lam.get_paginator("list_aliases").paginate(FunctionName=name, FunctionVersion="2",
                                                       PaginationConfig={"PageSize": 1})
    assert [a["Name"] for p in pages for a in p["Aliases"]] == ["a0", "a2", "a4", "a6"]
    refused("ResourceNotFoundException", lam.list_aliases, FunctionName=name + "x")


def test_weights(lam, wick):
    name = create(lam, "one", Publish=True)
    publish_next(lam, name, "two")
    lam.create_alias(FunctionName=name, Name="all", FunctionVersion="1",
                     RoutingConfig={"AdditionalVersionWeights": {"2": 1.0}})
    lam.create_alias(FunctionName=name, Name="none", FunctionVersion="1",
                     RoutingConfig={"AdditionalVersionWeights": {"2": 0.0}})
    lam.create_alias(FunctionName=name, Name="half", FunctionVersion="1",
                     RoutingConfig={"AdditionalVersionWeights": {"2": 0.5}})
    assert {wick.invoke(name, Qualifier="all")[0] for _ in range(5)} == {"two"}
    assert {wick.invoke(name, Qualifier="none")[0] for _ in range(5)} == {"one"}
    assert {wick.invoke(name, Qualifier="half")[0] for _ in range(64)} == {"one", "two"}


def test_bucket_events_of_an_alias(wick):
    lam, s3, bucket, seen = wick.client("lambda"), wick.client("s3"), wick.bucket(), wick.bucket()
    name = "f-" + uuid.uuid4().hex[:12]
    text = ("import boto3, os\n"
            "def handler(event, context):\n"
            "    boto3.client('s3').put_object(Bucket=%r, Key=context.function_version + context.invoked_function_arn[-5:])\n")
    lam.create_function(FunctionName=name, Role=ROLE, Runtime="python3.11", Handler="app.handler", MemorySize=512,
                        Timeout=30, Code={"ZipFile": make_zip({"app.py": text % seen})}, Publish=True)

    def notify(qualifier):
        s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={
            "LambdaFunctionConfigurations": [{"LambdaFunctionArn": ARN + name + ":" + qualifier,
                                              "Events": ["s3:ObjectCreated:*"]}]})

    refused("InvalidArgument", notify, qualifier="prod")
    lam.create_alias(FunctionName=name, Name="prod", FunctionVersion="1")
    notify("prod")
    s3.put_object(Bucket=bucket, Key="k")
    keys = until(lambda: [o["Key"] for o in s3.list_objects_v2(Bucket=seen).get("Contents", [])], "the function to run")
    assert keys == ["1:prod"]


# ---- permissions of versions and aliases ----

def test_permissions(lam):
    name = create(lam, "one", Publish=True)
    lam.create_alias(FunctionName=name, Name="prod", FunctionVersion="1")
    for qualifier in (None, "1", "prod"):
        of = dict(FunctionName=name, **({"Qualifier": qualifier} if qualifier else {}))
        refused("ResourceNotFoundException", lam.get_policy, **of)
        added = json.loads(lam.add_permission(StatementId="s", Action="lambda:InvokeFunction",
                                              Principal="s3.amazonaws.com", **of)["Statement"])
        assert added["Resource"] == ARN + name + (f":{qualifier}" if qualifier else "")
        told = lam.get_policy(**of)
        assert json.loads(told["Policy"])["Statement"] == [added]
        refused("ResourceConflictException", lam.add_permission, StatementId="s", Action="lambda:InvokeFunction",
                Principal="*", **of)
        refused("PreconditionFailedException", lam.remove_permission, StatementId="s", RevisionId="x", **of)
        refused("ResourceNotFoundException", lam.remove_permission, StatementId="t", **of)
    lam.update_alias(FunctionName=name, Name="prod", Description="new")
    lam.remove_permission(FunctionName=name, Qualifier="1", StatementId="s")
    refused("ResourceNotFoundException", lam.get_policy, FunctionName=name, Qualifier="1")
    assert lam.get_policy(FunctionName=name, Qualifier="prod") and lam.get_policy(FunctionName=name)
    refused("InvalidParameterValueException", lam.add_permission, FunctionName=name, Qualifier="$LATEST",
            StatementId="s", Action="lambda:InvokeFunction", Principal="*")
    for qualifier in ("2", "dev"):
        refused("ResourceNotFoundException", lam.add_permission, FunctionName=name, Qualifier=qualifier,
                StatementId="s", Action="lambda:InvokeFunction", Principal="*")
        refused("ResourceNotFoundException", lam.get_policy, FunctionName=name, Qualifier=qualifier)


def test_url_permission(lam):
    name = create(lam)
    added = json.loads(lam.add_permission(FunctionName=name, StatementId="url", Action="lambda:InvokeFunctionUrl",
                                          Principal="*", FunctionUrlAuthType="NONE")["Statement"])
    assert added["Condition"] == {"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}}
    refused("ValidationException", lam.add_permission, FunctionName=name, StatementId="u", Principal="*",
            Action="lambda:InvokeFunctionUrl", FunctionUrlAuthType="SOME")
    refused("InvalidParameterValueException", lam.add_permission, FunctionName=name, StatementId="u", Principal="*",
            Action="lambda:InvokeFunction", FunctionUrlAuthType="NONE")


def test_survives_a_restart(new_wick):
    wick = new_wick()
    lam = wick.client("lambda")
    name = create(lam, "one", Publish=True)
    lam.create_alias(FunctionName=name, Name="prod", FunctionVersion="1")
    publish_next(lam, name, "two")
    wick.stop()
    wick.start()
    lam = wick.client("lambda")
    assert [v["Version"] for v in lam.list_versions_by_function(FunctionName=name)["Versions"]] == ["$LATEST", "1", "2"]
    assert lam.get_alias(FunctionName=name, Name="prod")["FunctionVersion"] == "1"
    assert wick.invoke(name, Qualifier="prod")[0] == "one"


def test_aws_cli(wick, tmp_path):
    def aws(*args):
        done = subprocess.run(["/usr/bin/aws", "--endpoint-url", wick.url, "lambda", *args], env=wick.env, timeout=60,
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout else None

    name = create(wick.client("lambda"))
    (tmp_path / "layer.zip").write_bytes(make_zip({"x": "y"}))
    layer = aws("publish-layer-version", "--layer-name", name, "--zip-file", f"fileb://{tmp_path}/layer.zip")
    aws("update-function-configuration", "--function-name", name, "--layers", layer["LayerVersionArn"])
    assert aws("publish-version", "--function-name", name)["Version"] == "1"
    aws("update-function-configuration", "--function-name", name, "--timeout", "7")
    assert aws("publish-version", "--function-name", name)["Version"] == "2"
    alias = aws("create-alias", "--function-name", name, "--name", "prod", "--function-version", "1", "--routing-config",
                "AdditionalVersionWeights={2=0.1}")
    assert alias["RoutingConfig"] == {"AdditionalVersionWeights": {"2": 0.1}}
    assert len(aws("list-versions-by-function", "--function-name", name)["Versions"]) == 3
    url = aws("create-function-url-config", "--function-name", name, "--qualifier", "prod", "--auth-type", "NONE")
    assert url["FunctionUrl"].endswith(f"/f/{name}:prod/")
    assert aws("put-function-concurrency", "--function-name", name, "--reserved-concurrent-executions", "3") == {
        "ReservedConcurrentExecutions": 3}
