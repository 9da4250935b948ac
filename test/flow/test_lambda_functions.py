"""Functions over their life: create, read, list, change, delete, with boto3 unmodified; the errors are AWS's."""
import base64
import hashlib
import json
import subprocess
import threading
import urllib.request
import uuid

import botocore.exceptions
import pytest

from conftest import ROLE, make_zip

CODE = make_zip({"app.py": "def handler(event, context):\n    return event\n"})


@pytest.fixture
def lam(wick):
    """The server's own checks are what is tested, not those of the SDK."""
    return wick.client("lambda", parameter_validation=False)


def a_name():
    return "f-" + uuid.uuid4().hex[:12]


def create(lam, name=None, **kw):
    conf = dict(FunctionName=name or a_name(), Role=ROLE, Runtime="python3.11", Handler="app.handler",
                Code={"ZipFile": CODE})
    conf.update(kw)
    return lam.create_function(**{k: v for k, v in conf.items() if v is not None})


def refused(code, call, **kw):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**kw)
    error = caught.value.response
    assert error["Error"]["Code"] == code, error
    return error["Error"]["Message"], error["ResponseMetadata"]["HTTPStatusCode"]


def test_create_and_read(lam):
    name = a_name()
    made = create(lam, name, Description="what it does", Timeout=7, MemorySize=256, Environment={"Variables": {"AA": "1"}},
                  Tags={"team": "x"}, Architectures=["x86_64"], EphemeralStorage={"Size": 1024},
                  TracingConfig={"Mode": "PassThrough"}, SnapStart={"ApplyOn": "None"}, Layers=[],
                  VpcConfig={"SubnetIds": [], "SecurityGroupIds": []}, DeadLetterConfig={}, Publish=False)
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert made["FunctionName"] == name
    assert made["FunctionArn"] == f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    assert made["CodeSize"] == len(CODE)
    assert made["CodeSha256"] == base64.b64encode(hashlib.sha256(CODE).digest()).decode()
    assert (made["Runtime"], made["Handler"], made["Role"]) == ("python3.11", "app.handler", ROLE)
    assert (made["Description"], made["Timeout"], made["MemorySize"]) == ("what it does", 7, 256)
    assert made["Environment"] == {"Variables": {"AA": "1"}}
    assert (made["State"], made["LastUpdateStatus"], made["Version"]) == ("Active", "Successful", "$LATEST")
    assert (made["PackageType"], made["Architectures"]) == ("Zip", ["x86_64"])
    assert made["EphemeralStorage"] == {"Size": 1024}
    assert made["TracingConfig"] == {"Mode": "PassThrough"}
    assert made["LastModified"].endswith("+0000")
    for waiter in ("function_exists", "function_active", "function_active_v2", "function_updated", "function_updated_v2"):
        lam.get_waiter(waiter).wait(FunctionName=name)
    told = lam.get_function(FunctionName=name)
    assert told["Tags"] == {"team": "x"}
    assert told["Configuration"]["RevisionId"] == made["RevisionId"]
    conf = lam.get_function_configuration(FunctionName=name)
    for member in ("CodeSha256", "RevisionId", "FunctionArn", "LastModified"):
        assert conf[member] == made[member]


def test_defaults(lam):
    made = create(lam)
    assert (made["Timeout"], made["MemorySize"], made["Description"]) == (3, 128, "")
    assert "Environment" not in made


def test_code_location_downloads(lam, wick):
    name = create(lam)["FunctionName"]
    url = lam.get_function(FunctionName=name)["Code"]["Location"]
    assert urllib.request.urlopen(url).read() == CODE
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(url[:-1] + ("0" if url[-1] != "0" else "1"))
    assert caught.value.code == 403
    lam.update_function_code(FunctionName=name, ZipFile=make_zip({"app.py": "x = 1\n"}))
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(url)
    assert caught.value.code == 404


@pytest.mark.parametrize("form", ["{n}", "000000000000:function:{n}", "arn:aws:lambda:us-east-1:000000000000:function:{n}",
                                  "{n}:$LATEST", "arn:aws:lambda:us-east-1:000000000000:function:{n}:$LATEST"])
def test_names(lam, form):
    name = create(lam)["FunctionName"]
    conf = lam.get_function_configuration(FunctionName=form.format(n=name))
    assert conf["FunctionName"] == name
    assert conf["FunctionArn"].endswith(":$LATEST") == form.endswith("$LATEST")


def test_qualifier(lam):
    name = create(lam)["FunctionName"]
    assert lam.get_function(FunctionName=name, Qualifier="$LATEST")["Configuration"]["Version"] == "$LATEST"
    message, status = refused("ResourceNotFoundException", lam.get_function, FunctionName=name, Qualifier="7")
    assert status == 404 and message.endswith(f"{name}:7")
    refused("InvalidParameterValueException", lam.get_function, FunctionName=name + ":prod", Qualifier="7")
    refused("InvalidParameterValueException", lam.delete_function, FunctionName=name, Qualifier="$LATEST")


def test_not_found(lam):
    for call in (lam.get_function, lam.get_function_configuration, lam.delete_function, lam.invoke, lam.get_policy,
                 lam.update_function_configuration):
        message, status = refused("ResourceNotFoundException", call, FunctionName="nobody-here")
        assert status == 404
        assert "arn:aws:lambda:us-east-1:000000000000:function:nobody-here" in message
    refused("ResourceNotFoundException", lam.update_function_code, FunctionName="nobody-here", ZipFile=CODE)
    with pytest.raises(lam.exceptions.ResourceNotFoundException):
        lam.get_function(FunctionName="nobody-here")


def test_conflict(lam):
    name = create(lam)["FunctionName"]
    message, status = refused("ResourceConflictException", create, lam=lam, name=name)
    assert (message, status) == (f"Function already exist: {name}", 409)


def test_create_at_once(wick):
    name, results = a_name(), []

    def one():
        try:
            create(wick.client("lambda"), name)
            results.append("made")
        except botocore.exceptions.ClientError as e:
            results.append(e.response["Error"]["Code"])

    threads = [threading.Thread(target=one) for _ in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert sorted(results) == ["ResourceConflictException"] * 7 + ["made"]
    assert urllib.request.urlopen(
        wick.client("lambda").get_function(FunctionName=name)["Code"]["Location"]).read() == CODE


BAD = [
    (dict(MemorySize=64), "ValidationException", "'memorySize' failed to satisfy constraint: Member must have value greater "
                                                 "than or equal to 128"),
    (dict(MemorySize=20000), "ValidationException", "less than or equal to 10240"),
    (dict(Timeout=0), "ValidationException", "'timeout'"),
    (dict(Timeout=901), "ValidationException", "less than or equal to 900"),
    (dict(MemorySize=1, Timeout=1000), "ValidationException", "2 validation errors detected"),
    (dict(Role="nobody"), "ValidationException", "'role'"),
    (dict(Role="arn:aws:iam::123:role/x"), "ValidationException", "'role'"),
    (dict(Handler="a b"), "ValidationException", "'handler'"),
    (dict(Handler=""), "ValidationException", "'handler'"),
    (dict(Handler="x" * 129), "ValidationException", "'handler'"),
    (dict(Description="x" * 257), "ValidationException", "'description'"),
    (dict(EphemeralStorage={"Size": 100}), "ValidationException", "ephemeralStorage"),
    (dict(Runtime="python2.7"), "InvalidParameterValueException", "python2.7"),
    (dict(Runtime=None), "InvalidParameterValueException", "Runtime and Handler are mandatory"),
    (dict(Handler=None), "InvalidParameterValueException", "Runtime and Handler are mandatory"),
    (dict(Environment={"Variables": {"AWS_REGION": "x", "LAMBDA_TASK_ROOT": "y"}}), "InvalidParameterValueException",
     "Reserved keys used in this request: AWS_REGION, LAMBDA_TASK_ROOT"),
    (dict(Environment={"Variables": {"AA": "x" * 4096}}), "InvalidParameterValueException", "4KB"),
    (dict(Environment={"Variables": {"1A": "x"}}), "ValidationException", "environment.variables"),
    (dict(Layers=["arn:aws:lambda:us-east-1:000000000000:layer:x:1"]), "InvalidParameterValueException",
     "layer:x:1 does not exist"),
    (dict(VpcConfig={"SubnetIds": ["s"], "SecurityGroupIds": []}), "InvalidParameterValueException", "VpcConfig"),
    (dict(DeadLetterConfig={"TargetArn": "arn:aws:sqs:us-east-1:000000000000:q"}), "InvalidParameterValueException",
     "DeadLetterConfig"),
    (dict(TracingConfig={"Mode": "Active"}), "InvalidParameterValueException", "TracingConfig"),
    (dict(Runtime="nodejs20.x", SnapStart={"ApplyOn": "PublishedVersions"}), "InvalidParameterValueException",
     "python runtimes only"),
    (dict(SnapStart={"ApplyOn": "Always"}), "ValidationException", "'snapStart.applyOn'"),
    (dict(Runtime="provided.al2023", Handler="a b"), "ValidationException", "'handler'"),
    (dict(Runtime="web", Handler=None), "InvalidParameterValueException", "wick:command"),
    (dict(Tags={"wick:concurrency": "0"}), "InvalidParameterValueException", "wick:concurrency"),
    (dict(Tags={"wick:concurency": "2"}), "InvalidParameterValueException", "wick:concurency"),
    (dict(Tags={"wick:device": "gpu,gpu"}), "InvalidParameterValueException", "wick:device"),
    (dict(Tags={"wick:slice": "1/9"}), "InvalidParameterValueException", "wick:slice"),
    (dict(KMSKeyArn="arn:aws:kms:us-east-1:000000000000:key/x"), "InvalidParameterValueException", "KMSKeyArn"),
    (dict(FileSystemConfigs=[{"Arn": "arn:aws:x", "LocalMountPath": "/mnt/x"}]), "InvalidParameterValueException",
     "FileSystemConfigs"),
    (dict(ImageConfig={"Command": ["x"]}), "InvalidParameterValueException", "ImageConfig"),
    (dict(PackageType="Image", Code={"ImageUri": "x"}), "InvalidParameterValueException", "container images"),
    (dict(Architectures=["arm64"]), "InvalidParameterValueException", "Architectures"),
    (dict(Tags={"aws:x": "y"}), "InvalidParameterValueException", "aws:"),
    (dict(Tags={"k" * 129: "y"}), "InvalidParameterValueException", "Tag"),
    (dict(Code={}), "InvalidParameterValueException", "source for function code"),
    (dict(Code={"ZipFile": b"not a zip"}), "InvalidParameterValueException", "Could not unzip uploaded file"),
    (dict(Code={"ZipFile": make_zip({"../x": "y"})}), "InvalidParameterValueException", "../x"),
    (dict(Code={"ZipFile": make_zip({"/etc/x": "y"})}), "InvalidParameterValueException", "/etc/x"),
    (dict(Code={"S3Bucket": "no-such-bucket-here", "S3Key": "k"}), "InvalidParameterValueException", "does not exist"),
    (dict(FunctionName="a b"), "ValidationException", "'functionName'"),
    (dict(FunctionName="x" * 65), "ValidationException", "'functionName'"),
]


@pytest.mark.parametrize("conf,code,text", BAD, ids=[f"{i}-{'-'.join(b[0])}" for i, b in enumerate(BAD)])
def test_create_refused(lam, conf, code, text):
    message, status = refused(code, create, lam=lam, **conf)
    assert status == 400
    assert text in message


def test_zip_bomb(lam):
    message, _ = refused("InvalidParameterValueException", create, lam=lam,
                         Code={"ZipFile": make_zip({f"big{i}": "\0" * (64 << 20) for i in range(5)})})
    assert "unpacks to more than 262144000 bytes" in message


def test_code_from_bucket(lam, wick):
    s3, bucket = wick.client("s3"), wick.bucket()
    s3.put_object(Bucket=bucket, Key="dir/code.zip", Body=CODE)
    made = create(lam, Code={"S3Bucket": bucket, "S3Key": "dir/code.zip"})
    assert made["CodeSize"] == len(CODE)
    s3.delete_object(Bucket=bucket, Key="dir/code.zip")
    assert wick.invoke(made["FunctionName"], {"a": 1})[0] == {"a": 1}
    refused("InvalidParameterValueException", create, lam=lam, Code={"S3Bucket": bucket, "S3Key": "gone"})
    s3.put_object(Bucket=bucket, Key="text", Body=b"hello")
    refused("InvalidParameterValueException", lam.update_function_code, FunctionName=made["FunctionName"],
            S3Bucket=bucket, S3Key="text")
    s3.put_object(Bucket=bucket, Key="empty", Body=b"")
    refused("InvalidParameterValueException", lam.update_function_code, FunctionName=made["FunctionName"],
            S3Bucket=bucket, S3Key="empty")


def test_update_code(lam, wick):
    name = create(lam)["FunctionName"]
    before = lam.get_function_configuration(FunctionName=name)
    new = make_zip({"app.py": "def handler(event, context):\n    return 'new'\n"})
    dry = lam.update_function_code(FunctionName=name, ZipFile=new, DryRun=True)
    assert dry["CodeSha256"] == base64.b64encode(hashlib.sha256(new).digest()).decode()
    assert lam.get_function_configuration(FunctionName=name)["RevisionId"] == before["RevisionId"]
    assert wick.invoke(name, 1)[0] == 1
    message, status = refused("PreconditionFailedException", lam.update_function_code, FunctionName=name, ZipFile=new,
                              RevisionId="stale")
    assert status == 412
    after = lam.update_function_code(FunctionName=name, ZipFile=new, RevisionId=before["RevisionId"])
    assert after["CodeSha256"] == dry["CodeSha256"] and after["RevisionId"] != before["RevisionId"]
    lam.get_waiter("function_updated").wait(FunctionName=name)
    assert wick.invoke(name, 1)[0] == "new"
    published = lam.update_function_code(FunctionName=name, ZipFile=new, Publish=True)
    assert (published["Version"], published["FunctionArn"]) == ("1", after["FunctionArn"] + ":1")
    assert lam.update_function_code(FunctionName=name, ZipFile=new, Publish=True)["Version"] == "1"  # the same bytes
    assert lam.update_function_code(FunctionName=name, ZipFile=CODE, Publish=True)["Version"] == "2"
    for qualified in (name + ":1", published["FunctionArn"]):
        refused("InvalidParameterValueException", lam.update_function_code, FunctionName=qualified, ZipFile=new)
        refused("InvalidParameterValueException", lam.update_function_configuration, FunctionName=qualified, Timeout=5)
    refused("InvalidParameterValueException", lam.update_function_code, FunctionName=name)


def test_update_configuration(lam, wick):
    source = "import os\ndef handler(event, context):\n    return os.environ.get('WHO'), context.memory_limit_in_mb\n"
    name = wick.deploy(source, Environment={"Variables": {"WHO": "one"}}, Timeout=10, MemorySize=128)
    assert wick.invoke(name)[0] == ["one", "128"]
    after = lam.update_function_configuration(FunctionName=name, MemorySize=256, Environment={"Variables": {"WHO": "two"}})
    assert (after["MemorySize"], after["Timeout"], after["LastUpdateStatus"]) == (256, 10, "Successful")
    assert wick.invoke(name)[0] == ["two", "256"]
    refused("ValidationException", lam.update_function_configuration, FunctionName=name, MemorySize=1)
    refused("PreconditionFailedException", lam.update_function_configuration, FunctionName=name, Timeout=5, RevisionId="x")
    assert lam.update_function_configuration(FunctionName=name, Environment={"Variables": {}}).get("Environment") is None
    assert wick.invoke(name)[0] == [None, "256"]


def test_concurrent_updates_lose_nothing(wick):
    lam = wick.client("lambda")
    name = create(lam)["FunctionName"]
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    failures = []

    def one(i):
        try:
            wick.client("lambda", retries={"max_attempts": 5}).tag_resource(Resource=arn, Tags={f"k{i}": str(i)})
        except Exception as e:
            failures.append(e)

    threads = [threading.Thread(target=one, args=(i,)) for i in range(6)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not failures
    assert lam.list_tags(Resource=arn)["Tags"] == {f"k{i}": str(i) for i in range(6)}


def test_delete(lam, wick):
    name = create(lam)["FunctionName"]
    assert wick.invoke(name, 5)[0] == 5
    assert lam.delete_function(FunctionName=name)["ResponseMetadata"]["HTTPStatusCode"] == 204
    refused("ResourceNotFoundException", lam.get_function, FunctionName=name)
    refused("ResourceNotFoundException", lam.invoke, FunctionName=name)
    create(lam, name)
    assert wick.invoke(name, 6)[0] == 6


def test_list_pages(new_wick):
    lam = new_wick().client("lambda")
    assert lam.list_functions()["Functions"] == []
    names = sorted(create(lam, f"n-{i:03}")["FunctionName"] for i in range(57))
    page = lam.list_functions()
    assert [f["FunctionName"] for f in page["Functions"]] == names[:50]
    rest = lam.list_functions(Marker=page["NextMarker"])
    assert [f["FunctionName"] for f in rest["Functions"]] == names[50:] and not rest.get("NextMarker")
    pages = lam.get_paginator("list_functions").paginate(FunctionVersion="ALL", PaginationConfig={"PageSize": 7})
    assert [f["FunctionName"] for p in pages for f in p["Functions"]] == names
    refused("InvalidParameterValueException", lam.list_functions, Marker="%%%")
    usage = lam.get_account_settings()
    assert usage["AccountUsage"] == {"FunctionCount": 57, "TotalCodeSize": 57 * len(CODE)}
    assert usage["AccountLimit"]["CodeSizeUnzipped"] == 262144000
    assert usage["AccountLimit"]["ConcurrentExecutions"] == 1000


def test_tags(lam, wick):
    name = create(lam, Tags={"a": "1"})["FunctionName"]
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    assert lam.list_tags(Resource=arn)["Tags"] == {"a": "1"}
    lam.tag_resource(Resource=arn, Tags={"a": "2", "b": "3", "wick:idle": "5s", "ü": "ä"})
    assert lam.list_tags(Resource=arn)["Tags"] == {"a": "2", "b": "3", "wick:idle": "5s", "ü": "ä"}
    lam.untag_resource(Resource=arn, TagKeys=["a", "nothing", "ü"])
    assert lam.list_tags(Resource=arn)["Tags"] == {"b": "3", "wick:idle": "5s"}
    refused("InvalidParameterValueException", lam.list_tags, Resource=arn + ":1")
    refused("InvalidParameterValueException", lam.tag_resource, Resource=arn, Tags={f"k{i}": "" for i in range(51)})
    refused("InvalidParameterValueException", lam.tag_resource, Resource=arn, Tags={"aws:a": ""})
    message, _ = refused("InvalidParameterValueException", lam.tag_resource, Resource=arn, Tags={"wick:network": "lan"})
    assert "wick:network" in message and "none, gateway or internet" in message
    assert "wick:network" not in lam.list_tags(Resource=arn)["Tags"]
    lam.tag_resource(Resource=arn, Tags={"wick:runtime": "web"})
    lam.update_function_configuration(FunctionName=name, Handler="python3 serve.py --port 8080")
    refused("ValidationException", lam.update_function_configuration, FunctionName=name, Handler="x" * 129)
    message, _ = refused("InvalidParameterValueException", lam.untag_resource, Resource=arn, TagKeys=["wick:runtime"])
    assert "Handler" in message
    message, _ = refused("InvalidParameterValueException", lam.update_function_configuration, FunctionName=name,
                         Runtime="cobol")
    assert "cobol" in message and "provided.al2023" in message
    refused("ResourceNotFoundException", lam.list_tags, Resource=arn + "x")


def test_policy(lam):
    name = create(lam)["FunctionName"]
    refused("ResourceNotFoundException", lam.get_policy, FunctionName=name)
    statement = json.loads(lam.add_permission(
        FunctionName=name, StatementId="s3", Action="lambda:InvokeFunction", Principal="s3.amazonaws.com",
        SourceArn="arn:aws:s3:::bucket", SourceAccount="000000000000")["Statement"])
    assert statement["Sid"] == "s3" and statement["Effect"] == "Allow"
    assert statement["Principal"] == {"Service": "s3.amazonaws.com"}
    assert statement["Resource"] == f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    told = lam.get_policy(FunctionName=name)
    assert json.loads(told["Policy"])["Statement"] == [statement]
    message, status = refused("ResourceConflictException", lam.add_permission, FunctionName=name, StatementId="s3",
                              Action="lambda:InvokeFunction", Principal="*")
    assert status == 409
    refused("PreconditionFailedException", lam.add_permission, FunctionName=name, StatementId="t", RevisionId="x",
            Action="lambda:InvokeFunction", Principal="*")
    lam.add_permission(FunctionName=name, StatementId="t", RevisionId=told["RevisionId"],
                       Action="lambda:InvokeFunction", Principal="123456789012")
    assert len(json.loads(lam.get_policy(FunctionName=name)["Policy"])["Statement"]) == 2
    refused("ValidationException", lam.add_permission, FunctionName=name, StatementId="a b", Action="lambda:InvokeFunction",
            Principal="*")
    refused("ValidationException", lam.add_permission, FunctionName=name, StatementId="u", Action="s3:GetObject",
            Principal="*")
    refused("ResourceNotFoundException", lam.remove_permission, FunctionName=name, StatementId="nothing")
    lam.remove_permission(FunctionName=name, StatementId="s3")
    lam.remove_permission(FunctionName=name, StatementId="t")
    refused("ResourceNotFoundException", lam.get_policy, FunctionName=name)


def test_policy_limit(lam):
    name = create(lam)["FunctionName"]
    with pytest.raises(lam.exceptions.PolicyLengthExceededException):
        for i in range(100):
            lam.add_permission(FunctionName=name, StatementId=f"s{i}" + "x" * 90, Action="lambda:InvokeFunction",
                               Principal="s3.amazonaws.com", SourceArn="arn:aws:s3:::" + "b" * 63)


@pytest.mark.parametrize("call,args", [
    ("get_function_event_invoke_config", {}), ("get_function_code_signing_config", {}),
])
def test_not_built_yet(lam, call, args):
    message, status = refused("NotImplementedException", getattr(lam, call), FunctionName="f", **args)
    assert status == 501
    assert "".join(w.title() for w in call.split("_")) in message


def test_permissions_of_layers_not_built_yet(lam):
    refused("NotImplementedException", lam.get_layer_version_policy, LayerName="x", VersionNumber=1)
    refused("NotImplementedException", lam.list_event_source_mappings)


@pytest.mark.parametrize("runtime", ["python3.9", "nodejs", "nodejs22.x", "provided", "provided.al2", "provided.al2023",
                                     "native", "web"])
def test_runtimes(lam, runtime):
    handler = None if runtime.startswith("provided") else "app.handler"
    made = create(lam, Runtime=runtime, Handler=handler)
    assert made["Runtime"] == runtime and made["Handler"] == (handler or "")


def test_snap_start(lam):
    name = create(lam, SnapStart={"ApplyOn": "PublishedVersions"}, Publish=True)["FunctionName"]
    told = lam.get_function_configuration(FunctionName=name)
    assert told["SnapStart"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": "Off"}
    told = lam.get_function_configuration(FunctionName=name, Qualifier="1")
    assert told["SnapStart"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": "On"}
    told = lam.update_function_configuration(FunctionName=name, SnapStart={"ApplyOn": "None"})
    assert told["SnapStart"] == {"ApplyOn": "None", "OptimizationStatus": "Off"}
    lam.update_function_configuration(FunctionName=name, SnapStart={"ApplyOn": "PublishedVersions"})
    refused("InvalidParameterValueException", lam.update_function_configuration, FunctionName=name, Runtime="nodejs20.x")
    message, _ = refused("InvalidParameterValueException", lam.tag_resource, Resource=told["FunctionArn"],
                         Tags={"wick:runtime": "nodejs"})
    assert "SnapStart" in message


def test_every_operation_of_boto3_is_known(wick):
    """No operation that boto3 can send is answered as if it did not exist."""
    lam = wick.client("lambda")
    model = lam.meta.service_model
    for operation in model.operation_names:
        shape = model.operation_model(operation).input_shape
        args = {}
        for member in shape.required_members if shape else []:
            kind = shape.members[member]
            args[member] = {"string": "x-0123456789", "integer": 1, "long": 1, "structure": {}, "map": {}, "list": [],
                            "blob": b"", "boolean": False}[kind.type_name]
            if getattr(kind, "enum", None):
                args[member] = kind.enum[0]
            if member == "Resource":
                args[member] = "arn:aws:lambda:us-east-1:000000000000:function:none"
            if member == "CodeSigningConfigArn":
                args[member] = "arn:aws:lambda:us-east-1:000000000000:code-signing-config:csc-0123456789abcdef0"
            if member == "AllowedPublishers":
                args[member] = {"SigningProfileVersionArns": ["arn:aws:signer:us-east-1:000000000000:/p/x/y"]}
        method = getattr(lam, botocore.xform_name(operation))
        try:
            method(**args)
        except botocore.exceptions.ClientError as e:
            assert e.response["Error"]["Code"] not in ("UnknownOperationException", "MethodNotAllowedException"), operation


def aws(wick, *args):
    done = subprocess.run(["/usr/bin/aws", "--endpoint-url", wick.url, "lambda", *args], env=wick.env, timeout=60,
                          capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_aws_cli(wick, tmp_path):
    name = a_name()
    (tmp_path / "code.zip").write_bytes(CODE)
    code, out, err = aws(wick, "create-function", "--function-name", name, "--runtime", "python3.11", "--handler",
                         "app.handler", "--role", ROLE, "--zip-file", f"fileb://{tmp_path}/code.zip")
    assert code == 0, err
    assert json.loads(out)["State"] == "Active"
    assert aws(wick, "wait", "function-active-v2", "--function-name", name)[0] == 0
    code, out, err = aws(wick, "invoke", "--function-name", name, "--cli-binary-format", "raw-in-base64-out", "--payload",
                         '{"k": "v"}', "--log-type", "Tail", str(tmp_path / "out.json"))
    assert code == 0, err
    answer = json.loads(out)
    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
    assert "REPORT RequestId" in base64.b64decode(answer["LogResult"]).decode()
    assert json.loads((tmp_path / "out.json").read_text()) == {"k": "v"}
    code, out, err = aws(wick, "list-functions", "--query", f"Functions[?FunctionName=='{name}'].Handler", "--output", "text")
    assert (code, out.strip()) == (0, "app.handler"), err
    code, out, err = aws(wick, "get-function", "--function-name", "nobody-here")
    assert code == 254 and "ResourceNotFoundException" in err
    assert aws(wick, "delete-function", "--function-name", name)[0] == 0
