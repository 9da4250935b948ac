"""Buckets and what they are configured with: names, policy and public read, CORS, tags, notification, versioning, and
everything that S3 has and Wick has not."""
import http.client
import json
import uuid

import botocore.exceptions
import botocore.handlers
import pytest


@pytest.fixture(scope="module")
def s3(wick):
    return wick.client("s3")


@pytest.fixture
def bucket(wick):
    return wick.bucket()


def refused(code, call, **kw):
    with pytest.raises(botocore.exceptions.ClientError) as e:
        call(**kw)
    assert e.value.response["Error"]["Code"] == code, e.value.response
    return e.value.response


def raw(wick, method, target, headers=None, body=None):
    host, port = wick.url.split("//")[1].split(":")
    c = http.client.HTTPConnection(host, int(port), timeout=30)
    try:
        c.request(method, target, body=body, headers=headers or {})
        answer = c.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        c.close()


def test_life_of_a_bucket(s3):
    name = "b-" + uuid.uuid4().hex
    refused("404", s3.head_bucket, Bucket=name)
    assert s3.create_bucket(Bucket=name)["Location"] == f"/{name}"
    refused("BucketAlreadyOwnedByYou", s3.create_bucket, Bucket=name)
    head = s3.head_bucket(Bucket=name)
    assert head["ResponseMetadata"]["HTTPHeaders"]["x-amz-bucket-region"] == "us-east-1"
    assert s3.get_bucket_location(Bucket=name)["LocationConstraint"] is None
    s3.put_object(Bucket=name, Key="k", Body=b"")
    refused("BucketNotEmpty", s3.delete_bucket, Bucket=name)
    s3.delete_object(Bucket=name, Key="k")
    s3.delete_bucket(Bucket=name)
    refused("NoSuchBucket", s3.delete_bucket, Bucket=name)
    refused("NoSuchBucket", s3.list_objects_v2, Bucket=name)


@pytest.mark.parametrize("name", ["Upper", "under_score", "-start", "end-", "a..b", "192.168.0.1", "xn--x", "ab"])
def test_bad_names(wick, name):
    client = wick.client("s3")
    client.meta.events.unregister("before-parameter-build.s3", botocore.handlers.validate_bucket_name)
    refused("InvalidBucketName", client.create_bucket, Bucket=name)


def test_location(s3):
    kw = {"Bucket": "b-" + uuid.uuid4().hex}
    refused("IllegalLocationConstraintException", s3.create_bucket,
            CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}, **kw)


def public_read(bucket, resource="/*", action="s3:GetObject", effect="Allow"):
    return {"Effect": effect, "Principal": "*", "Action": action, "Resource": f"arn:aws:s3:::{bucket}{resource}"}


def test_policy_makes_public(wick, s3, bucket):
    s3.put_object(Bucket=bucket, Key="open/a", Body=b"public")
    s3.put_object(Bucket=bucket, Key="closed/b", Body=b"private")
    refused("NoSuchBucketPolicy", s3.get_bucket_policy, Bucket=bucket)
    assert raw(wick, "GET", f"/{bucket}/open/a")[0] == 403
    doc = {"Version": "2012-10-17", "Statement": [public_read(bucket, "/open/*")]}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(doc))
    assert json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"]) == doc
    assert s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]["IsPublic"] is True
    assert raw(wick, "GET", f"/{bucket}/open/a")[::2] == (200, b"public")
    assert raw(wick, "HEAD", f"/{bucket}/open/a")[0] == 200
    assert raw(wick, "GET", f"/{bucket}/closed/b")[0] == 403
    assert raw(wick, "GET", f"/{bucket}/open/missing")[0] == 403, "who may not list is not told what is missing"
    for method, target in (("GET", f"/{bucket}"), ("PUT", f"/{bucket}/open/a"), ("DELETE", f"/{bucket}/open/a"),
                           ("GET", f"/{bucket}/open/a?tagging"), ("GET", "/")):
        status, _, body = raw(wick, method, target)
        assert status == 403 and b"<Code>AccessDenied</Code>" in body, (method, target)
    status, _, body = raw(wick, "GET", f"/{bucket}/open/a?response-content-type=text/html")
    assert status == 400 and b"InvalidRequest" in body
    s3.delete_bucket_policy(Bucket=bucket)
    assert raw(wick, "GET", f"/{bucket}/open/a")[0] == 403


def test_policy_of_listing_and_writing(wick, s3, bucket):
    other = wick.bucket()
    s3.put_object(Bucket=other, Key="secret", Body=b"secret")
    doc = {"Version": "2012-10-17", "Statement": [
        public_read(bucket, "", "s3:ListBucket"), public_read(bucket, "/*", ["s3:GetObject", "s3:PutObject"]),
        public_read(bucket, "/never/*", "s3:*", "Deny")]}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(doc))
    assert raw(wick, "PUT", f"/{bucket}/anon", body=b"hi")[0] == 200
    assert raw(wick, "GET", f"/{bucket}/anon")[2] == b"hi"
    assert raw(wick, "PUT", f"/{bucket}/never/x", body=b"hi")[0] == 403
    assert b"<Key>anon</Key>" in raw(wick, "GET", f"/{bucket}?list-type=2")[2]
    assert b"NoSuchKey" in raw(wick, "GET", f"/{bucket}/missing")[2]
    status, _, body = raw(wick, "PUT", f"/{bucket}/stolen", headers={"x-amz-copy-source": f"/{other}/secret"})
    assert status == 403, "a copy needs the right to read its source"
    assert raw(wick, "POST", f"/{bucket}?delete", body=b"<Delete><Object><Key>anon</Key></Object></Delete>")[0] == 403


def test_bad_policies(s3, bucket):
    for text in ("", "{", "[]", "{}", json.dumps({"Version": "2012-10-17", "Statement": []}),
                 json.dumps({"Version": "2012-10-17", "Statement": [public_read("other-bucket")]})):
        refused("MalformedPolicy", s3.put_bucket_policy, Bucket=bucket, Policy=text)
    big = {"Version": "2012-10-17", "Statement": [public_read(bucket)], "Id": "x" * 21000}
    refused("PolicyTooLarge", s3.put_bucket_policy, Bucket=bucket, Policy=json.dumps(big))


CORS = {"CORSRules": [
    {"AllowedOrigins": ["https://*.example.com"], "AllowedMethods": ["GET", "PUT"], "AllowedHeaders": ["x-amz-*"],
     "ExposeHeaders": ["ETag"], "MaxAgeSeconds": 60},
    {"AllowedOrigins": ["*"], "AllowedMethods": ["GET"]}]}


def preflight(wick, bucket, origin, method, headers=None):
    h = {"Origin": origin, "Access-Control-Request-Method": method}
    if headers:
        h["Access-Control-Request-Headers"] = headers
    return raw(wick, "OPTIONS", f"/{bucket}/key?partNumber=1&uploadId=x", headers=h)


def test_cors(wick, s3, bucket):
    refused("NoSuchCORSConfiguration", s3.get_bucket_cors, Bucket=bucket)
    assert preflight(wick, bucket, "https://a.example.com", "PUT")[0] == 403
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration=CORS)
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == CORS["CORSRules"]
    status, headers, _ = preflight(wick, bucket, "https://a.example.com", "PUT", "x-amz-date, X-Amz-Acl")
    assert status == 200
    assert headers["access-control-allow-origin"] == "https://a.example.com"
    assert headers["access-control-allow-methods"] == "GET, PUT"
    assert headers["access-control-allow-headers"] == "x-amz-date, X-Amz-Acl"
    assert headers["access-control-expose-headers"] == "ETag"
    assert headers["access-control-max-age"] == "60"
    assert headers["access-control-allow-credentials"] == "true"
    assert preflight(wick, bucket, "https://a.example.com", "PUT", "authorization")[0] == 403
    assert preflight(wick, bucket, "https://evil.com", "PUT")[0] == 403
    status, headers, _ = preflight(wick, bucket, "https://evil.com", "GET")
    assert (status, headers["access-control-allow-origin"]) == (200, "*")
    status, _, body = raw(wick, "OPTIONS", f"/{bucket}/key")
    assert status == 400 and b"BadRequest" in body
    # The rule's headers go with the real answer, also when it is a refusal.
    status, headers, _ = raw(wick, "GET", f"/{bucket}/key", headers={"Origin": "https://b.example.com"})
    assert (status, headers["access-control-allow-origin"]) == (403, "https://b.example.com")
    assert "access-control-allow-origin" not in raw(wick, "GET", f"/{bucket}/key")[1]
    s3.delete_bucket_cors(Bucket=bucket)
    refused("NoSuchCORSConfiguration", s3.get_bucket_cors, Bucket=bucket)


def test_bucket_tags(s3, bucket):
    refused("NoSuchTagSet", s3.get_bucket_tagging, Bucket=bucket)
    tags = [{"Key": "a", "Value": "1"}]
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags
    s3.delete_bucket_tagging(Bucket=bucket)
    refused("NoSuchTagSet", s3.get_bucket_tagging, Bucket=bucket)


def test_versioning_is_off(s3, bucket):
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    refused("NotImplemented", s3.put_bucket_versioning, Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert s3.get_object(Bucket=bucket, Key="k", VersionId="null")["Body"].read() == b"x"
    refused("NoSuchVersion", s3.get_object, Bucket=bucket, Key="k", VersionId="abc")
    refused("NoSuchVersion", s3.delete_object, Bucket=bucket, Key="k", VersionId="abc")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


def test_what_is_not_configured_or_not_built(s3, bucket):
    for code, call in (
            ("NoSuchLifecycleConfiguration", s3.get_bucket_lifecycle_configuration),
            ("ServerSideEncryptionConfigurationNotFoundError", s3.get_bucket_encryption),
            ("NoSuchPublicAccessBlockConfiguration", s3.get_public_access_block),
            ("NoSuchWebsiteConfiguration", s3.get_bucket_website),
            ("ReplicationConfigurationNotFoundError", s3.get_bucket_replication),
            ("ObjectLockConfigurationNotFoundError", s3.get_object_lock_configuration),
            ("NotImplemented", s3.list_object_versions),
            ("NotImplemented", s3.delete_bucket_lifecycle),
            ("NotImplemented", s3.delete_bucket_website),
            ("NotImplemented", s3.delete_bucket_encryption)):
        refused(code, call, Bucket=bucket)
    refused("NotImplemented", s3.put_bucket_website, Bucket=bucket,
            WebsiteConfiguration={"IndexDocument": {"Suffix": "index.html"}})
    refused("NotImplemented", s3.put_public_access_block, Bucket=bucket,
            PublicAccessBlockConfiguration={"BlockPublicAcls": True})
    s3.head_bucket(Bucket=bucket)
    assert s3.get_bucket_acl(Bucket=bucket)["Grants"][0]["Permission"] == "FULL_CONTROL"
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "BucketOwner"
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=bucket)
    assert "Status" not in s3.get_bucket_accelerate_configuration(Bucket=bucket)
    rules = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
    assert rules == [{"ObjectOwnership": "BucketOwnerEnforced"}]


def test_expected_owner(s3, bucket):
    s3.list_objects_v2(Bucket=bucket, ExpectedBucketOwner="000000000000")
    refused("AccessDenied", s3.list_objects_v2, Bucket=bucket, ExpectedBucketOwner="111111111111")


def notification(arn, events=("s3:ObjectCreated:*",), **rules):
    conf = {"LambdaFunctionArn": arn, "Events": list(events)}
    if rules:
        conf["Filter"] = {"Key": {"FilterRules": [{"Name": k, "Value": v} for k, v in rules.items()]}}
    return conf


def test_notification_needs_a_function(s3, bucket):
    assert "LambdaFunctionConfigurations" not in s3.get_bucket_notification_configuration(Bucket=bucket)
    arn = "arn:aws:lambda:us-east-1:000000000000:function:not-there"

    def put(*configurations, **more):
        s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={
            "LambdaFunctionConfigurations": list(configurations), **more})

    refused("InvalidArgument", lambda: put(notification(arn)))
    refused("InvalidArgument", lambda: put(notification("arn:aws:sqs:us-east-1:000000000000:q")))
    refused("NotImplemented", lambda: put(QueueConfigurations=[
        {"QueueArn": "arn:aws:sqs:us-east-1:000000000000:q", "Events": ["s3:ObjectCreated:*"]}]))
    put()


def test_notification(wick, s3, bucket):
    name = wick.deploy("def handler(event, context):\n    return 1\n")
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"

    def put(*configurations):
        s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={
            "LambdaFunctionConfigurations": list(configurations)})

    put(notification(arn, prefix="in/", suffix=".jpg"), notification(arn, ["s3:ObjectRemoved:Delete"]))
    got = s3.get_bucket_notification_configuration(Bucket=bucket)["LambdaFunctionConfigurations"]
    assert [c["LambdaFunctionArn"] for c in got] == [arn, arn]
    assert all(c["Id"] for c in got)
    assert {r["Name"].lower(): r["Value"] for r in got[0]["Filter"]["Key"]["FilterRules"]} == {
        "prefix": "in/", "suffix": ".jpg"}
    refused("InvalidArgument", lambda: put(notification(arn, prefix="a"), notification(arn, prefix="ab")))
    refused("InvalidArgument", lambda: put(notification(arn, ["s3:Nonsense"])))
    put()
    assert "LambdaFunctionConfigurations" not in s3.get_bucket_notification_configuration(Bucket=bucket)


def test_bad_documents(wick, s3, bucket):
    for operation, kw in (("PutBucketCors", {"CORSConfiguration": CORS}),
                          ("PutBucketTagging", {"Tagging": {"TagSet": []}}),
                          ("PutBucketNotificationConfiguration", {"NotificationConfiguration": {}}),
                          ("PutBucketVersioning", {"VersioningConfiguration": {"Status": "Suspended"}}),
                          ("CreateBucket", {})):
        client = wick.client("s3")
        client.meta.events.register(f"before-call.s3.{operation}",
                                    lambda params, **k: params.update(body=b"<not<xml") or
                                    params["headers"].pop("Content-MD5", None))
        call = {"PutBucketCors": client.put_bucket_cors, "PutBucketTagging": client.put_bucket_tagging,
                "PutBucketNotificationConfiguration": client.put_bucket_notification_configuration,
                "PutBucketVersioning": client.put_bucket_versioning, "CreateBucket": client.create_bucket}[operation]
        kw.setdefault("Bucket", bucket if operation != "CreateBucket" else "b-" + uuid.uuid4().hex)
        refused("MalformedXML", call, **kw)
