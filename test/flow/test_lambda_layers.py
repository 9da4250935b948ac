"""Layers: publish, read, list, delete, and the Layers of a function, with boto3 unmodified."""
import base64
import functools
import hashlib
import os
import threading
import urllib.request
import uuid

import botocore.exceptions
import pytest

from conftest import ROLE, make_zip, until

LAYER = "arn:aws:lambda:us-east-1:000000000000:layer:"
CODE = make_zip({"app.py": "import lib\ndef handler(event, context):\n    return lib.VALUE\n"})


@pytest.fixture
def lam(wick):
    return wick.client("lambda", parameter_validation=False)


def a_name():
    return "l-" + uuid.uuid4().hex[:12]


@functools.cache  # a zip holds the time: asked for twice it must be the same
def content(value):
    return make_zip({"python/lib.py": f"VALUE = {value!r}\n"})


def publish(lam, name=None, value="x", **kw):
    return lam.publish_layer_version(LayerName=name or a_name(), Content={"ZipFile": content(value)}, **kw)


def create(lam, **kw):
    name = "f-" + uuid.uuid4().hex[:12]
    return lam.create_function(FunctionName=name, Role=ROLE, Runtime="python3.11", Handler="app.handler",
                               MemorySize=512, Timeout=30, Code={"ZipFile": CODE}, **kw)


def refused(expected, call, **kw):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**kw)
    error = caught.value.response
    assert error["Error"]["Code"] == expected, error
    return error["Error"]["Message"], error["ResponseMetadata"]["HTTPStatusCode"]


def test_publish_and_get(lam):
    name = a_name()
    made = publish(lam, name, "one", Description="a library", CompatibleRuntimes=["python3.11", "python3.12"],
                   CompatibleArchitectures=["x86_64"], LicenseInfo="MIT")
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert (made["LayerArn"], made["LayerVersionArn"], made["Version"]) == (LAYER + name, f"{LAYER}{name}:1", 1)
    assert (made["Description"], made["LicenseInfo"]) == ("a library", "MIT")
    assert made["CompatibleRuntimes"] == ["python3.11", "python3.12"]
    assert made["CompatibleArchitectures"] == ["x86_64"]
    assert made["Content"]["CodeSize"] == len(content("one"))
    assert made["Content"]["CodeSha256"] == base64.b64encode(hashlib.sha256(content("one")).digest()).decode()
    for told in (lam.get_layer_version(LayerName=name, VersionNumber=1),
                 lam.get_layer_version(LayerName=LAYER + name, VersionNumber=1),
                 lam.get_layer_version_by_arn(Arn=f"{LAYER}{name}:1")):
        for member in ("LayerArn", "LayerVersionArn", "Version", "Description", "CreatedDate", "LicenseInfo"):
            assert told[member] == made[member]
        with urllib.request.urlopen(told["Content"]["Location"]) as answer:
            assert answer.read() == content("one")
    assert publish(lam, name, "two")["Version"] == 2
    assert publish(lam, LAYER + name, "three")["Version"] == 3


def test_publish_from_bucket(lam, wick):
    s3, bucket = wick.client("s3"), wick.bucket()
    s3.put_object(Bucket=bucket, Key="layer.zip", Body=content("s3"))
    made = lam.publish_layer_version(LayerName=a_name(), Content={"S3Bucket": bucket, "S3Key": "layer.zip"})
    with urllib.request.urlopen(made["Content"]["Location"]) as answer:
        assert answer.read() == content("s3")
    message, _ = refused("InvalidParameterValueException", lam.publish_layer_version, LayerName=a_name(),
                         Content={"S3Bucket": bucket, "S3Key": "none"})
    assert "NoSuchKey" in message


@pytest.mark.parametrize("args,expected,text", [
    (dict(LayerName="a b"), "ValidationException", "'layerName'"),
    (dict(LayerName="x:1"), "ValidationException", "'layerName'"),
    (dict(LayerName="arn:aws:lambda:us-east-1:123456789012:layer:x"), "ResourceNotFoundException", ""),
    (dict(Content=None), "ValidationException", "'content'"),
    (dict(Content={}), "InvalidParameterValueException", "source"),
    (dict(Content={"ZipFile": b"no zip"}), "InvalidParameterValueException", "unzip"),
    (dict(Content={"ZipFile": make_zip({"../x": ""})}), "InvalidParameterValueException", "../x"),
    (dict(Description="x" * 257), "ValidationException", "'description'"),
    (dict(LicenseInfo="x" * 513), "ValidationException", "'licenseInfo'"),
    (dict(CompatibleArchitectures=["sparc"]), "ValidationException", "compatibleArchitectures"),
    (dict(CompatibleRuntimes=["r"] * 16), "SerializationException", "CompatibleRuntimes"),
])
def test_publish_refused(lam, args, expected, text):
    kw = {**dict(LayerName=a_name(), Content={"ZipFile": content(1)}), **args}
    message, _ = refused(expected, lam.publish_layer_version, **{k: v for k, v in kw.items() if v is not None})
    assert text in message


def test_not_there(lam):
    name = a_name()
    refused("ResourceNotFoundException", lam.get_layer_version, LayerName=name, VersionNumber=1)
    publish(lam, name)
    refused("ResourceNotFoundException", lam.get_layer_version, LayerName=name, VersionNumber=2)
    refused("ResourceNotFoundException", lam.get_layer_version_by_arn, Arn=f"{LAYER}{name}:2")
    refused("ResourceNotFoundException", lam.get_layer_version_by_arn,
            Arn=f"arn:aws:lambda:us-east-1:123456789012:layer:{name}:1")
    refused("ValidationException", lam.get_layer_version_by_arn, Arn=LAYER + name)
    refused("ValidationException", lam.get_layer_version, LayerName=name, VersionNumber=0)
    assert lam.list_layer_versions(LayerName=a_name())["LayerVersions"] == []


def test_lists(new_wick):
    lam = new_wick().client("lambda")
    assert lam.list_layers()["Layers"] == []
    for i in range(3):
        publish(lam, "a", i, CompatibleRuntimes=["python3.11"] if i != 1 else ["nodejs20.x"])
    publish(lam, "b", 9, CompatibleArchitectures=["arm64"])
    versions = lam.list_layer_versions(LayerName="a")
    assert [v["Version"] for v in versions["LayerVersions"]] == [3, 2, 1] and not versions.get("NextMarker")
    pages = lam.get_paginator("list_layer_versions").paginate(LayerName="a", PaginationConfig={"PageSize": 1})
    assert [v["Version"] for p in pages for v in p["LayerVersions"]] == [3, 2, 1]
    told = lam.list_layer_versions(LayerName="a", CompatibleRuntime="python3.11")
    assert [v["Version"] for v in told["LayerVersions"]] == [3, 1]
    layers = lam.list_layers()["Layers"]
    assert [(l["LayerName"], l["LatestMatchingVersion"]["Version"]) for l in layers] == [("a", 3), ("b", 1)]
    assert layers[0]["LayerArn"] == LAYER + "a"
    assert layers[0]["LatestMatchingVersion"]["LayerVersionArn"] == LAYER + "a:3"
    pages = lam.get_paginator("list_layers").paginate(PaginationConfig={"PageSize": 1})
    assert [l["LayerName"] for p in pages for l in p["Layers"]] == ["a", "b"]
    told = lam.list_layers(CompatibleRuntime="nodejs20.x")["Layers"]
    assert [(l["LayerName"], l["LatestMatchingVersion"]["Version"]) for l in told] == [("a", 2)]
    assert [l["LayerName"] for l in lam.list_layers(CompatibleArchitecture="arm64")["Layers"]] == ["b"]
    size = sum(len(content(i)) for i in (0, 1, 2, 9))
    assert lam.get_account_settings()["AccountUsage"] == {"FunctionCount": 0, "TotalCodeSize": size}
    lam.delete_layer_version(LayerName="b", VersionNumber=1)
    lam.delete_layer_version(LayerName="a", VersionNumber=3)
    assert [(l["LayerName"], l["LatestMatchingVersion"]["Version"]) for l in lam.list_layers()["Layers"]] == [("a", 2)]


def test_numbers_are_given_once(wick):
    name, failed = a_name(), []
    lam = wick.client("lambda")
    assert publish(lam, name)["Version"] == 1
    lam.delete_layer_version(LayerName=name, VersionNumber=1)
    lam.delete_layer_version(LayerName=name, VersionNumber=1)  # gone is gone
    given = []

    def work():
        try:
            given.append(publish(wick.client("lambda"), name)["Version"])
        except Exception as e:
            failed.append(e)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failed and sorted(given) == [2, 3, 4, 5, 6, 7]


def test_layers_of_a_function(lam):
    a, b = publish(lam, value="a"), publish(lam, value="b")
    made = create(lam, Layers=[b["LayerVersionArn"], a["LayerVersionArn"]])
    assert made["Layers"] == [{"Arn": b["LayerVersionArn"], "CodeSize": b["Content"]["CodeSize"]},
                              {"Arn": a["LayerVersionArn"], "CodeSize": a["Content"]["CodeSize"]}]
    name = made["FunctionName"]
    assert lam.get_function_configuration(FunctionName=name)["Layers"] == made["Layers"]
    lam.update_function_configuration(FunctionName=name, Timeout=9)
    assert lam.get_function_configuration(FunctionName=name)["Layers"] == made["Layers"]
    assert "Layers" not in lam.update_function_configuration(FunctionName=name, Layers=[])
    second = publish(lam, a["LayerArn"], "aa")
    lam.update_function_configuration(FunctionName=name, Layers=[second["LayerVersionArn"]])
    message, _ = refused("InvalidParameterValueException", lam.update_function_configuration, FunctionName=name,
                         Layers=[a["LayerVersionArn"], second["LayerVersionArn"]])
    assert "Two different versions of the same layer" in message
    many = [publish(lam)["LayerVersionArn"] for _ in range(6)]
    lam.update_function_configuration(FunctionName=name, Layers=many[:5])
    message, _ = refused("InvalidParameterValueException", lam.update_function_configuration, FunctionName=name,
                         Layers=many)
    assert "more than 5 layers" in message
    for arn in (a["LayerArn"] + ":9", "arn:aws:lambda:us-east-1:123456789012:layer:x:1"):
        message, _ = refused("InvalidParameterValueException", lam.update_function_configuration, FunctionName=name,
                             Layers=[arn])
        assert arn in message
    for bad in (a["LayerArn"], "x", "arn:aws:s3:::b"):
        refused("ValidationException", lam.update_function_configuration, FunctionName=name, Layers=[bad])


def test_unpacked_size(lam):
    block = b"\0" * (60 << 20)
    arns = [lam.publish_layer_version(LayerName=a_name(), Content={"ZipFile": make_zip({"x": block})})["LayerVersionArn"]
            for _ in range(5)]
    message, _ = refused("InvalidParameterValueException", create, lam=lam, Layers=arns)
    assert "262144000" in message
    name = create(lam, Layers=arns[:4])["FunctionName"]
    message, _ = refused("InvalidParameterValueException", lam.update_function_code, FunctionName=name,
                         ZipFile=make_zip({"y": block}))
    assert "262144000" in message


def blobs(wick):
    return sum(len(files) for _, _, files in os.walk(wick.data / "blobs"))


def test_deleted_but_used(new_wick):
    """As on AWS: a function keeps a deleted layer, whose package goes with the last version that names it."""
    wick = new_wick()
    lam = wick.client("lambda")
    used, unused = publish(lam, "used"), publish(lam, "unused")
    name = create(lam, Layers=[used["LayerVersionArn"]], Publish=True)["FunctionName"]
    lam.delete_layer_version(LayerName="used", VersionNumber=1)
    lam.delete_layer_version(LayerName="unused", VersionNumber=1)
    refused("ResourceNotFoundException", lam.get_layer_version, LayerName="used", VersionNumber=1)
    assert lam.list_layers()["Layers"] == []
    assert lam.get_function_configuration(FunctionName=name)["Layers"][0]["CodeSize"] == used["Content"]["CodeSize"]
    lam.update_function_configuration(FunctionName=name, Layers=[used["LayerVersionArn"]], Timeout=5)
    refused("InvalidParameterValueException", create, lam=lam, Layers=[used["LayerVersionArn"]])
    refused("InvalidParameterValueException", lam.update_function_configuration, FunctionName=name,
            Layers=[unused["LayerVersionArn"]])
    until(lambda: blobs(wick) == 2, "the unused layer's package to go")
    lam.update_function_configuration(FunctionName=name, Layers=[])
    assert blobs(wick) == 2
    lam.delete_function(FunctionName=name, Qualifier="1")
    until(lambda: blobs(wick) == 1, "the used layer's package to go")
    lam.delete_function(FunctionName=name)
    until(lambda: blobs(wick) == 0, "the function's package to go")


def test_a_layer_is_there(lam, wick):
    first, second = publish(lam, value="first"), publish(lam, value="second")
    name = create(lam, Layers=[first["LayerVersionArn"], second["LayerVersionArn"]])["FunctionName"]
    assert wick.invoke(name)[0] == "second"  # a later layer stands over an earlier one
    lam.update_function_configuration(FunctionName=name, Layers=[first["LayerVersionArn"]])
    assert wick.invoke(name)[0] == "first"
