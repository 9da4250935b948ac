"""Reserved and provisioned concurrency as configuration, with boto3 unmodified. What they do to workers is tested with
the placement."""
import uuid

import botocore.exceptions
import pytest

from conftest import ROLE, make_zip, until

ARN = "arn:aws:lambda:us-east-1:000000000000:function:"
CODE = make_zip({"app.py": "def handler(event, context):\n    return event\n"})


@pytest.fixture
def lam(wick):
    return wick.client("lambda", parameter_validation=False)


def create(lam, **kw):
    name = "f-" + uuid.uuid4().hex[:12]
    lam.create_function(FunctionName=name, Role=ROLE, Runtime="python3.11", Handler="app.handler", MemorySize=512,
                        Code={"ZipFile": CODE}, **kw)
    return name


def refused(expected, call, **kw):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**kw)
    error = caught.value.response
    assert error["Error"]["Code"] == expected, error
    return error["Error"]["Message"], error["ResponseMetadata"]["HTTPStatusCode"]


def test_reserved(lam):
    name = create(lam)
    assert "ReservedConcurrentExecutions" not in lam.get_function_concurrency(FunctionName=name)
    assert "Concurrency" not in lam.get_function(FunctionName=name)
    put = lam.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=7)
    assert put["ReservedConcurrentExecutions"] == 7 and put["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert lam.get_function_concurrency(FunctionName=name)["ReservedConcurrentExecutions"] == 7
    assert lam.get_function(FunctionName=name)["Concurrency"] == {"ReservedConcurrentExecutions": 7}
    assert lam.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)[
        "ReservedConcurrentExecutions"] == 0
    assert lam.get_function_concurrency(FunctionName=name)["ReservedConcurrentExecutions"] == 0
    lam.delete_function_concurrency(FunctionName=name)
    done = lam.delete_function_concurrency(FunctionName=name)  # gone is gone
    assert done["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert "Concurrency" not in lam.get_function(FunctionName=name)
    refused("ValidationException", lam.put_function_concurrency, FunctionName=name, ReservedConcurrentExecutions=-1)
    refused("ValidationException", lam.put_function_concurrency, FunctionName=name)
    refused("SerializationException", lam.put_function_concurrency, FunctionName=name, ReservedConcurrentExecutions=True)
    for call in (lam.put_function_concurrency, lam.get_function_concurrency, lam.delete_function_concurrency):
        more = {"ReservedConcurrentExecutions": 1} if call == lam.put_function_concurrency else {}
        assert refused("ResourceNotFoundException", call, FunctionName=name + "x", **more)[1] == 404
        refused("InvalidParameterValueException", call, FunctionName=name + ":1", **more)


def test_account_keeps_some(new_wick):
    wick = new_wick("--concurrency", "1000")
    lam = wick.client("lambda")
    a, b = create(lam), create(lam)
    lam.put_function_concurrency(FunctionName=a, ReservedConcurrentExecutions=600)
    message, status = refused("InvalidParameterValueException", lam.put_function_concurrency, FunctionName=b,
                              ReservedConcurrentExecutions=301)
    assert status == 400 and "[100]" in message
    lam.put_function_concurrency(FunctionName=b, ReservedConcurrentExecutions=300)
    limit = lam.get_account_settings()["AccountLimit"]
    assert (limit["ConcurrentExecutions"], limit["UnreservedConcurrentExecutions"]) == (1000, 100)
    lam.put_function_concurrency(FunctionName=a, ReservedConcurrentExecutions=600)  # it replaces itself
    lam.delete_function(FunctionName=a)
    assert lam.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"] == 700
    wick.stop()
    wick.start()
    assert wick.client("lambda").get_function_concurrency(FunctionName=b)["ReservedConcurrentExecutions"] == 300


def test_a_small_account_keeps_a_tenth(new_wick):
    lam = new_wick("--concurrency", "20").client("lambda")
    name = create(lam)
    message, _ = refused("InvalidParameterValueException", lam.put_function_concurrency, FunctionName=name,
                         ReservedConcurrentExecutions=19)
    assert "[2]" in message
    lam.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=18)


def test_provisioned(lam):
    name = create(lam, Publish=True)
    lam.create_alias(FunctionName=name, Name="prod", FunctionVersion="1")
    missing = "ProvisionedConcurrencyConfigNotFoundException"
    assert refused(missing, lam.get_provisioned_concurrency_config, FunctionName=name, Qualifier="1")[1] == 404
    put = lam.put_provisioned_concurrency_config(FunctionName=name, Qualifier="1", ProvisionedConcurrentExecutions=2)
    assert put["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert put["RequestedProvisionedConcurrentExecutions"] == 2 and put["Status"] in ("IN_PROGRESS", "READY")
    assert put["LastModified"]

    def ready():
        told = lam.get_provisioned_concurrency_config(FunctionName=name, Qualifier="1")
        assert told["RequestedProvisionedConcurrentExecutions"] == 2 and told["Status"] != "FAILED"
        return told["Status"] == "READY" and told

    told = until(ready, "the provisioned workers to be ready")
    assert told["AvailableProvisionedConcurrentExecutions"] == 2
    assert told["AllocatedProvisionedConcurrentExecutions"] == 2
    listed = lam.list_provisioned_concurrency_configs(FunctionName=name)["ProvisionedConcurrencyConfigs"]
    assert [(c["FunctionArn"], c["RequestedProvisionedConcurrentExecutions"]) for c in listed] == [(ARN + name + ":1", 2)]
    message, status = refused("ResourceConflictException", lam.put_provisioned_concurrency_config, FunctionName=name,
                              Qualifier="prod", ProvisionedConcurrentExecutions=1)
    assert status == 409
    lam.delete_provisioned_concurrency_config(FunctionName=name, Qualifier="1")
    done = lam.delete_provisioned_concurrency_config(FunctionName=name, Qualifier="1")  # gone is gone
    assert done["ResponseMetadata"]["HTTPStatusCode"] == 204
    refused(missing, lam.get_provisioned_concurrency_config, FunctionName=name, Qualifier="1")
    lam.put_provisioned_concurrency_config(FunctionName=name, Qualifier="prod", ProvisionedConcurrentExecutions=1)
    refused("ResourceConflictException", lam.put_provisioned_concurrency_config, FunctionName=name, Qualifier="1",
            ProvisionedConcurrentExecutions=1)
    lam.delete_alias(FunctionName=name, Name="prod")
    assert lam.list_provisioned_concurrency_configs(FunctionName=name)["ProvisionedConcurrencyConfigs"] == []


def test_provisioned_refused(lam):
    name = create(lam, Publish=True)
    lam.create_alias(FunctionName=name, Name="latest", FunctionVersion="$LATEST")
    put = lam.put_provisioned_concurrency_config
    refused("ValidationException", put, FunctionName=name, ProvisionedConcurrentExecutions=1)
    refused("ValidationException", put, FunctionName=name, Qualifier="1")
    refused("ValidationException", put, FunctionName=name, Qualifier="1", ProvisionedConcurrentExecutions=0)
    for qualifier in ("$LATEST", "latest"):
        message, _ = refused("InvalidParameterValueException", put, FunctionName=name, Qualifier=qualifier,
                             ProvisionedConcurrentExecutions=1)
        assert "unpublished" in message
    for qualifier in ("2", "none"):
        refused("ResourceNotFoundException", put, FunctionName=name, Qualifier=qualifier,
                ProvisionedConcurrentExecutions=1)
        refused("ResourceNotFoundException", lam.get_provisioned_concurrency_config, FunctionName=name,
                Qualifier=qualifier)
    refused("ResourceNotFoundException", lam.list_provisioned_concurrency_configs, FunctionName=name + "x")
    lam.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    message, _ = refused("InvalidParameterValueException", put, FunctionName=name, Qualifier="1",
                         ProvisionedConcurrentExecutions=2)
    assert "reservedConcurrentExecution" in message
    put(FunctionName=name, Qualifier="1", ProvisionedConcurrentExecutions=1)
    message, _ = refused("InvalidParameterValueException", lam.put_function_concurrency, FunctionName=name,
                         ReservedConcurrentExecutions=0)
    assert "provisioned" in message
    lam.delete_function_concurrency(FunctionName=name)
    left = lam.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"] - 100
    message, _ = refused("InvalidParameterValueException", put, FunctionName=name, Qualifier="1",
                         ProvisionedConcurrentExecutions=left + 1)
    assert f"[{left}]" in message
    lam.delete_function(FunctionName=name)


def test_provisioned_pages(lam):
    name = create(lam, Publish=True)
    for i in range(3):
        lam.update_function_configuration(FunctionName=name, Description=str(i))
        lam.publish_version(FunctionName=name)
        lam.put_provisioned_concurrency_config(FunctionName=name, Qualifier=str(i + 2), ProvisionedConcurrentExecutions=1)
    pages = lam.get_paginator("list_provisioned_concurrency_configs").paginate(
        FunctionName=name, PaginationConfig={"PageSize": 1})
    arns = [c["FunctionArn"] for p in pages for c in p["ProvisionedConcurrencyConfigs"]]
    assert arns == [f"{ARN}{name}:{i}" for i in (2, 3, 4)]
    lam.delete_function(FunctionName=name, Qualifier="3")
    listed = lam.list_provisioned_concurrency_configs(FunctionName=name)["ProvisionedConcurrencyConfigs"]
    assert [c["FunctionArn"] for c in listed] == [f"{ARN}{name}:{i}" for i in (2, 4)]
    lam.delete_function(FunctionName=name)
