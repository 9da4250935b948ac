"""Configurations of function URLs with boto3 unmodified; what boto3 of Debian does not know (InvokeMode) by hand."""
import json
import uuid

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.exceptions
import pytest
import urllib3

from conftest import ROLE, make_zip

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


def call(wick, method, path, body=None):
    """A signed request as a newer SDK would send it: (status, document)."""
    credentials = wick.client("lambda")._request_signer._credentials
    request = botocore.awsrequest.AWSRequest(method, wick.url + path, data=json.dumps(body) if body is not None else None)
    botocore.auth.SigV4Auth(credentials, "lambda", "us-east-1").add_auth(request)
    with urllib3.PoolManager() as pool:
        answer = pool.request(method, wick.url + path, body=request.data, headers=dict(request.headers))
    return answer.status, json.loads(answer.data) if answer.data else None


CORS = {"AllowCredentials": True, "AllowHeaders": ["content-type", "x-a"], "AllowMethods": ["GET", "POST"],
        "AllowOrigins": ["https://a.example"], "ExposeHeaders": ["x-b"], "MaxAge": 600}


def test_life(lam, wick):
    name = create(lam)
    refused("ResourceNotFoundException", lam.get_function_url_config, FunctionName=name)
    made = lam.create_function_url_config(FunctionName=name, AuthType="NONE", Cors=CORS)
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert made["FunctionUrl"] == f"{wick.url}/f/{name}/"
    assert (made["FunctionArn"], made["AuthType"], made["Cors"]) == (ARN + name, "NONE", CORS)
    assert made["CreationTime"] and "LastModifiedTime" not in made
    told = lam.get_function_url_config(FunctionName=name)
    assert (told["Cors"], told["CreationTime"]) == (CORS, made["CreationTime"]) and told["LastModifiedTime"]
    message, status = refused("ResourceConflictException", lam.create_function_url_config, FunctionName=name,
                              AuthType="NONE")
    assert status == 409
    changed = lam.update_function_url_config(FunctionName=name, AuthType="AWS_IAM")
    assert (changed["AuthType"], changed["Cors"]) == ("AWS_IAM", CORS)
    changed = lam.update_function_url_config(FunctionName=name, Cors={"AllowOrigins": ["*"]})
    assert changed["Cors"] == {"AllowCredentials": False, "AllowOrigins": ["*"]}
    assert changed["AuthType"] == "AWS_IAM"
    assert "Cors" not in lam.update_function_url_config(FunctionName=name, Cors={})
    assert lam.delete_function_url_config(FunctionName=name)["ResponseMetadata"]["HTTPStatusCode"] == 204
    refused("ResourceNotFoundException", lam.delete_function_url_config, FunctionName=name)
    refused("ResourceNotFoundException", lam.update_function_url_config, FunctionName=name, AuthType="NONE")


def test_invoke_mode(lam, wick):
    name = create(lam)
    path = f"/2021-10-31/functions/{name}/url"
    status, made = call(wick, "POST", path, {"AuthType": "NONE", "InvokeMode": "RESPONSE_STREAM"})
    assert (status, made["InvokeMode"]) == (201, "RESPONSE_STREAM")
    status, told = call(wick, "PUT", path, {"InvokeMode": "BUFFERED"})
    assert (status, told["InvokeMode"], told["AuthType"]) == (200, "BUFFERED", "NONE")
    status, told = call(wick, "PUT", path, {"InvokeMode": "SOMEHOW"})
    assert status == 400 and "'invokeMode'" in told["message"]
    assert call(wick, "GET", path)[1]["InvokeMode"] == "BUFFERED"


def test_of_aliases(lam, wick):
    name = create(lam, Publish=True)
    lam.create_alias(FunctionName=name, Name="prod", FunctionVersion="1")
    lam.create_alias(FunctionName=name, Name="dev", FunctionVersion="$LATEST")
    own = lam.create_function_url_config(FunctionName=name, AuthType="NONE")
    prod = lam.create_function_url_config(FunctionName=name, Qualifier="prod", AuthType="AWS_IAM")
    lam.create_function_url_config(FunctionName=name + ":dev", AuthType="NONE")
    assert prod["FunctionUrl"] == f"{wick.url}/f/{name}:prod/" and prod["FunctionArn"] == ARN + name + ":prod"
    assert lam.get_function_url_config(FunctionName=name, Qualifier="prod")["AuthType"] == "AWS_IAM"
    listed = lam.list_function_url_configs(FunctionName=name)["FunctionUrlConfigs"]
    assert [u["FunctionArn"] for u in listed] == [own["FunctionArn"], ARN + name + ":dev", ARN + name + ":prod"]
    pages = lam.get_paginator("list_function_url_configs").paginate(FunctionName=name, PaginationConfig={"PageSize": 1})
    assert [u["FunctionArn"] for p in pages for u in p["FunctionUrlConfigs"]] == [u["FunctionArn"] for u in listed]
    for qualifier in ("$LATEST", "1"):
        refused("ValidationException", lam.create_function_url_config, FunctionName=name, Qualifier=qualifier,
                AuthType="NONE")
    refused("ResourceNotFoundException", lam.create_function_url_config, FunctionName=name, Qualifier="none",
            AuthType="NONE")
    lam.delete_alias(FunctionName=name, Name="prod")
    assert len(lam.list_function_url_configs(FunctionName=name)["FunctionUrlConfigs"]) == 2


@pytest.mark.parametrize("args,text", [
    (dict(AuthType=None), "'authType'"),
    (dict(AuthType="SOME"), "'authType'"),
    (dict(Cors={"MaxAge": 86401}), "'cors.maxAge'"),
    (dict(Cors={"MaxAge": -1}), "'cors.maxAge'"),
    (dict(Cors={"AllowMethods": ["FETCH"]}), "'cors.allowMethods'"),
    (dict(Cors={"AllowMethods": ["OPTIONS"]}), "'cors.allowMethods'"),
    (dict(Cors={"AllowOrigins": [""]}), "'cors.allowOrigins'"),
    (dict(Cors={"AllowOrigins": ["x" * 254]}), "'cors.allowOrigins'"),
    (dict(Cors={"AllowHeaders": ["x"] * 101}), "'cors.allowHeaders'"),
    (dict(Cors={"ExposeHeaders": ["x" * 1025]}), "'cors.exposeHeaders'"),
], ids=str)
def test_refused(lam, args, text):
    name = create(lam)
    kw = {**dict(FunctionName=name, AuthType="NONE"), **args}
    message, status = refused("ValidationException", lam.create_function_url_config,
                              **{k: v for k, v in kw.items() if v is not None})
    assert status == 400 and text in message
    refused("ResourceNotFoundException", lam.get_function_url_config, FunctionName=name)


def test_wrong_types(lam, wick):
    name = create(lam)
    path = f"/2021-10-31/functions/{name}/url"
    for body in ({"AuthType": 1}, {"AuthType": "NONE", "Cors": []}, {"AuthType": "NONE", "Cors": {"AllowOrigins": "*"}},
                 {"AuthType": "NONE", "Cors": {"AllowOrigins": [1]}}, {"AuthType": "NONE", "Cors": {"MaxAge": "1"}},
                 {"AuthType": "NONE", "Cors": {"AllowCredentials": "yes"}}):
        status, told = call(wick, "POST", path, body)
        assert status == 400 and "can not be converted" in told["message"], body


def test_not_there(lam):
    for operation in ("create", "get", "update", "delete"):
        refused("ResourceNotFoundException", getattr(lam, operation + "_function_url_config"), FunctionName="none-such",
                **({"AuthType": "NONE"} if operation in ("create", "update") else {}))
    refused("ResourceNotFoundException", lam.list_function_url_configs, FunctionName="none-such")


def test_goes_with_the_function(new_wick):
    wick = new_wick()
    lam = wick.client("lambda")
    name = create(lam)
    lam.create_function_url_config(FunctionName=name, AuthType="NONE")
    wick.stop()
    wick.start()
    lam = wick.client("lambda")
    assert lam.get_function_url_config(FunctionName=name)["AuthType"] == "NONE"
    lam.delete_function(FunctionName=name)
    lam.create_function(FunctionName=name, Role=ROLE, Runtime="python3.11", Handler="app.handler", Code={"ZipFile": CODE})
    refused("ResourceNotFoundException", lam.get_function_url_config, FunctionName=name)
