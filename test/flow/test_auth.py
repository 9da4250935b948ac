"""Who may do what: every form of Signature V4, each broken in each way, with AWS's error for it; the bodies that go with
them; requests without a signature; the keys of a function's role. A refused write leaves the old object as it was."""
import base64
import hashlib
import hmac
import json
import re
import time

import pytest

from conftest import until
from raw import (CHECKSUMS, EMPTY_SHA256, SIGNED_CHUNKS, SIGNED_CHUNKS_TRAILER, UNSIGNED, UNSIGNED_CHUNKS_TRAILER,
                 Signer, call, checksum, lambda_call, send, wrong_hex)

OLD = b"the object that was there before"
BODY = b"a body of some bytes, " * 500
LAMBDA_LIST = "/2015-03-31/functions"


@pytest.fixture(scope="module")
def bucket(wick):
    return wick.bucket()


@pytest.fixture
def key(wick, bucket):
    """Path of an object; whatever a test tries on it must be refused and change nothing, or succeed as a whole."""
    wick.client("s3").put_object(Bucket=bucket, Key="key", Body=OLD)
    return f"/{bucket}/key"


def content(wick, path):
    _, bucket, name = path.split("/", 2)
    return wick.client("s3").get_object(Bucket=bucket, Key=name)["Body"].read()


def refused(wick, key, answer, status, code):
    assert (answer.status, answer.code) == (status, code), answer
    assert content(wick, key) == OLD


def temporary_files(wick):
    """Object files of uploads that are not over; refused ones are gone when they are answered or soon after."""
    return [p for p in wick.data.rglob("*") if "tmp" in p.name.lower() and p.is_file()]


# --- The header ----------------------------------------------------------------------------------------------------


def test_good_header_signature(wick, key):
    answer = call(wick, "PUT", key, body=BODY)
    assert answer.status == 200, answer
    assert answer.headers["ETag"] == f'"{hashlib.md5(BODY).hexdigest()}"'
    assert call(wick, "GET", key).body == BODY
    assert lambda_call(wick, "GET", LAMBDA_LIST).status == 200


def test_path_and_query_are_signed_as_sent(wick, bucket):
    for name in ("a%20b%2Bc", "%C3%A9", "~x-y_z.", "a%3Db%26c", "sl/as//h", "%E2%98%83/%F0%9F%98%80"):
        answer = call(wick, "PUT", f"/{bucket}/{name}", body=name.encode())
        assert answer.status == 200, (name, answer)
        assert call(wick, "GET", f"/{bucket}/{name}", "response-content-type=text%2Fplain").body == name.encode()


@pytest.mark.parametrize("change, code", [
    (dict(secret="x" * 40), "SignatureDoesNotMatch"),
    (dict(access="AKIA" + "Q" * 16), "InvalidAccessKeyId"),
    (dict(access="ASIA" + "Q" * 16), "InvalidAccessKeyId"),
    (dict(token="not-a-token"), "InvalidToken"),
    (dict(access="ASIA" + "Q" * 16, token="bm90LWEtdG9rZW4"), "InvalidToken"),
])
def test_wrong_key(wick, key, change, code):
    refused(wick, key, call(wick, "PUT", key, body=BODY, signer=Signer(wick, **change)),
            400 if code == "InvalidToken" else 403, code)
    expected = {"SignatureDoesNotMatch": "InvalidSignatureException"}.get(code, "UnrecognizedClientException")
    answer = lambda_call(wick, "GET", LAMBDA_LIST, signer=Signer(wick, "lambda", **change))
    assert (answer.status, answer.code) == (403, expected), answer
    assert json.loads(answer.body)["message"]


@pytest.mark.parametrize("what", ["signature", "header", "new header", "path", "method", "query", "date"])
def test_changed_after_signing(wick, key, what):
    method, target = "PUT", key
    headers = Signer(wick).headers("PUT", key, "", BODY, extra={"x-amz-meta-a": "1"})
    if what == "signature":
        headers["authorization"] = headers["authorization"][:-64] + wrong_hex(headers["authorization"][-64:])
    elif what == "header":
        headers["x-amz-meta-a"] = "2"
    elif what == "new header":
        headers["x-amz-meta-b"] = "2"
    elif what == "path":
        target = key + "x"
    elif what == "method":
        method = "DELETE"
    elif what == "query":
        target = key + "?tagging"
    elif what == "date":
        headers["x-amz-date"] = headers["x-amz-date"][:-2] + ("1Z" if headers["x-amz-date"][-2] == "0" else "0Z")
    answer = send(wick, method, target, headers, BODY)
    refused(wick, key, answer, 403, "AccessDenied" if what == "new header" else "SignatureDoesNotMatch")


def test_changed_body(wick, key):
    headers = Signer(wick).headers("PUT", key, "", BODY)
    refused(wick, key, send(wick, "PUT", key, headers, BODY[:-1] + b"X"), 400, "XAmzContentSHA256Mismatch")
    signer = Signer(wick, "lambda")
    path = LAMBDA_LIST + "/none/invocations"
    headers = signer.headers("POST", path, "", b'{"a":1}')
    answer = send(wick, "POST", path, headers, b'{"a":2}')
    assert (answer.status, answer.code) == (403, "InvalidSignatureException"), answer


@pytest.mark.parametrize("ago", [-16 * 60, 16 * 60, 24 * 3600])
def test_clock_skew(wick, key, ago):
    refused(wick, key, call(wick, "PUT", key, body=BODY, ago=ago), 403, "RequestTimeTooSkewed")
    answer = lambda_call(wick, "GET", LAMBDA_LIST, ago=ago)
    assert (answer.status, answer.code) == (403, "InvalidSignatureException"), answer


@pytest.mark.parametrize("ago", [-14 * 60, 14 * 60])
def test_clock_skew_within_the_limit(wick, key, ago):
    assert call(wick, "GET", key, ago=ago).body == OLD


@pytest.mark.parametrize("authorization, status, code", [
    ("AWS4-HMAC-SHA256", 400, "AuthorizationHeaderMalformed"),
    ("AWS4-HMAC-SHA256 Credential=x", 400, "AuthorizationHeaderMalformed"),
    ("AWS4-HMAC-SHA256 Credential=a/b/c/d, SignedHeaders=host, Signature=" + "0" * 64, 400, "AuthorizationHeaderMalformed"),
    ("AWS4-HMAC-SHA256 Credential=, SignedHeaders=, Signature=", 400, "AuthorizationHeaderMalformed"),
    ("AWS AKIA:c2lnbmF0dXJl", 400, "AuthorizationHeaderMalformed"),
    ("AWS4-HMAC-SHA512 Credential=x", 400, "AuthorizationHeaderMalformed"),
    ("Bearer token", 403, "AccessDenied"),
])
def test_malformed_header(wick, key, authorization, status, code):
    headers = Signer(wick).headers("PUT", key, "", BODY)
    headers["authorization"] = authorization
    refused(wick, key, send(wick, "PUT", key, headers, BODY), status, code)


def test_unknown_service_and_missing_hash(wick, key):
    answer = call(wick, "GET", key, signer=Signer(wick, "dynamodb"))
    assert (answer.status, answer.code) == (400, "AuthorizationHeaderMalformed"), answer
    headers = Signer(wick).headers("PUT", key, "", BODY)
    del headers["x-amz-content-sha256"]
    assert send(wick, "PUT", key, headers, BODY).status in (400, 403)
    for wrong in ("0" * 63, "g" * 64, "STREAMING", "UNSIGNED"):
        refused(wick, key, call(wick, "PUT", key, body=BODY, payload_hash=wrong), 400, "InvalidArgument")


def test_unsigned_payload(wick, key):
    assert call(wick, "PUT", key, body=BODY, payload_hash=UNSIGNED).status == 200
    assert content(wick, key) == BODY


# --- Presigned URLs ------------------------------------------------------------------------------------------------


def test_presigned(wick, key):
    signer = Signer(wick)
    assert send(wick, "GET", signer.presigned("GET", key)).body == OLD
    assert send(wick, "GET", signer.presigned("GET", key, expires=604800)).body == OLD
    assert send(wick, "GET", signer.presigned("GET", key, expires=3600, ago=3000)).body == OLD
    assert send(wick, "PUT", signer.presigned("PUT", key), body=BODY).status == 200
    assert content(wick, key) == BODY


def test_presigned_by_boto3(wick, key, bucket):
    url = wick.client("s3", signature_version="s3v4").generate_presigned_url(
        "get_object", {"Bucket": bucket, "Key": "key"}, ExpiresIn=60)
    assert send(wick, "GET", url[len(wick.url):]).body == OLD


@pytest.mark.parametrize("expires, ago, status, code", [
    (60, 61, 403, "AccessDenied"),
    (3600, 86400, 403, "AccessDenied"),
    (60, -1000, 403, "RequestTimeTooSkewed"),
    (604801, 0, 400, "AuthorizationQueryParametersError"),
    ("x", 0, 400, "AuthorizationQueryParametersError"),
    (-1, 0, 400, "AuthorizationQueryParametersError"),
])
def test_presigned_time(wick, key, expires, ago, status, code):
    answer = send(wick, "PUT", Signer(wick).presigned("PUT", key, expires, ago), body=BODY)
    refused(wick, key, answer, status, code)
    if code == "AccessDenied":
        assert b"Request has expired" in answer.body


@pytest.mark.parametrize("change", [
    lambda url: url[:-64] + wrong_hex(url[-64:]),
    lambda url: url.replace("/key?", "/other?"),
    lambda url: url.replace("X-Amz-Expires=60", "X-Amz-Expires=61"),
    lambda url: url + "&tagging=",
    lambda url: re.sub(r"(X-Amz-Date=\d{8}T\d{5})(\d)", lambda m: m[1] + ("1" if m[2] == "0" else "0"), url),
])
def test_presigned_changed(wick, key, change):
    answer = send(wick, "PUT", change(Signer(wick).presigned("PUT", key)), body=BODY)
    refused(wick, key, answer, 403, "SignatureDoesNotMatch")


@pytest.mark.parametrize("change", [
    lambda url: url.replace("AWS4-HMAC-SHA256&", "AWS4&"),
    lambda url: re.sub("&X-Amz-Expires=[^&]*", "", url),
    lambda url: re.sub("&X-Amz-SignedHeaders=[^&]*", "", url),
    lambda url: re.sub("&X-Amz-Signature=.*", "", url),
    lambda url: url[:-1],
    lambda url: re.sub("(X-Amz-Credential=)[^&]*", r"\1x", url),
    lambda url: url + "&X-Amz-Expires=60",
])
def test_presigned_malformed(wick, key, change):
    answer = send(wick, "PUT", change(Signer(wick).presigned("PUT", key)), body=BODY)
    refused(wick, key, answer, 400, "AuthorizationQueryParametersError")


def test_signed_twice(wick, key):
    headers = Signer(wick).headers("PUT", key, "", BODY)
    refused(wick, key, send(wick, "PUT", Signer(wick).presigned("PUT", key), headers, BODY), 400,
            "AuthorizationHeaderMalformed")


# --- Chunked bodies ------------------------------------------------------------------------------------------------


def put_chunked(wick, key, form, chunks, trailer=None, length=None, extra=None, **breaks):
    signer = Signer(wick)
    extra = {"content-encoding": "aws-chunked", **(extra or {}),
             "x-amz-decoded-content-length": str(sum(map(len, chunks)) if length is None else length)}
    if trailer:
        extra["x-amz-trailer"] = ",".join(trailer)
    headers = signer.headers("PUT", key, "", payload_hash=form, extra=extra)
    body = signer.chunked(chunks, trailer, signed=form != UNSIGNED_CHUNKS_TRAILER, **breaks)
    return send(wick, "PUT", key, headers, body)


CHUNKS = [b"a" * 65536, b"b" * 65536, b"c" * 1000]


@pytest.mark.parametrize("chunks", [[], [b"x"], CHUNKS, [b"y" * (3 << 20)]])
def test_signed_chunks(wick, key, chunks):
    answer = put_chunked(wick, key, SIGNED_CHUNKS, chunks)
    assert answer.status == 200, answer
    assert content(wick, key) == b"".join(chunks)
    head = call(wick, "HEAD", key)
    assert "aws-chunked" not in head.headers.get("Content-Encoding", "")


@pytest.mark.parametrize("broken", [0, 1, 2, 3])
def test_wrong_chunk_signature(wick, key, broken):
    refused(wick, key, put_chunked(wick, key, SIGNED_CHUNKS, CHUNKS, break_chunk=broken), 403, "SignatureDoesNotMatch")


def test_chunk_content_changed(wick, key):
    signer = Signer(wick)
    extra = {"x-amz-decoded-content-length": "5"}
    headers = signer.headers("PUT", key, "", payload_hash=SIGNED_CHUNKS, extra=extra)
    body = signer.chunked([b"right"]).replace(b"right", b"wrong")
    refused(wick, key, send(wick, "PUT", key, headers, body), 403, "SignatureDoesNotMatch")


@pytest.mark.parametrize("length, code", [(100, "IncompleteBody"), (200000, "IncompleteBody")])
def test_wrong_decoded_length(wick, key, length, code):
    refused(wick, key, put_chunked(wick, key, SIGNED_CHUNKS, CHUNKS, length=length), 400, code)


@pytest.mark.parametrize("body", [b"", b"zz\r\n", b"5;chunk-signature=0\r\nright\r\n", b"5\r\nright\r\n0\r\n\r\n",
                                  b"f" * 17 + b"\r\n", b"\r\n" * 10, b"-5\r\n", b"A" * 5000])
def test_broken_chunked_coding(wick, key, body):
    extra = {"x-amz-decoded-content-length": "5"}
    headers = Signer(wick).headers("PUT", key, "", payload_hash=SIGNED_CHUNKS, extra=extra)
    refused(wick, key, send(wick, "PUT", key, headers, body), 400, "IncompleteBody")


def test_chunked_without_length(wick, key):
    headers = Signer(wick).headers("PUT", key, "", payload_hash=SIGNED_CHUNKS)
    refused(wick, key, send(wick, "PUT", key, headers, b"0\r\n\r\n"), 411, "MissingContentLength")


@pytest.mark.parametrize("form", [SIGNED_CHUNKS_TRAILER, UNSIGNED_CHUNKS_TRAILER])
@pytest.mark.parametrize("kind", CHECKSUMS)
def test_trailing_checksum(wick, key, form, kind):
    data, name = b"".join(CHUNKS), f"x-amz-checksum-{kind}"
    answer = put_chunked(wick, key, form, CHUNKS, {name: checksum(kind, data)})
    assert answer.status == 200, answer
    assert content(wick, key) == data
    head = call(wick, "HEAD", key, extra={"x-amz-checksum-mode": "ENABLED"})
    assert head.headers[name] == checksum(kind, data)


@pytest.mark.parametrize("form", [SIGNED_CHUNKS_TRAILER, UNSIGNED_CHUNKS_TRAILER])
@pytest.mark.parametrize("kind", CHECKSUMS)
def test_wrong_trailing_checksum(wick, key, form, kind):
    wrong = {f"x-amz-checksum-{kind}": checksum(kind, b"something else")}
    refused(wick, key, put_chunked(wick, key, form, CHUNKS, wrong), 400, "BadDigest")


def test_wrong_trailer_signature(wick, key):
    trailer = {"x-amz-checksum-crc32": checksum("crc32", b"".join(CHUNKS))}
    refused(wick, key, put_chunked(wick, key, SIGNED_CHUNKS_TRAILER, CHUNKS, trailer, break_trailer=True), 403,
            "SignatureDoesNotMatch")
    refused(wick, key, put_chunked(wick, key, SIGNED_CHUNKS_TRAILER, CHUNKS, trailer, break_chunk=1), 403,
            "SignatureDoesNotMatch")


@pytest.mark.parametrize("form", [SIGNED_CHUNKS_TRAILER, UNSIGNED_CHUNKS_TRAILER])
def test_trailer_not_as_announced(wick, key, form):
    announced = {"x-amz-trailer": "x-amz-checksum-crc32"}
    refused(wick, key, put_chunked(wick, key, form, CHUNKS, extra=announced), 400, "MalformedTrailerError")
    signer, data = Signer(wick), b"".join(CHUNKS)
    headers = signer.headers("PUT", key, "", payload_hash=form, extra={
        "x-amz-decoded-content-length": str(len(data)), **announced})
    other = {"x-amz-checksum-sha1": checksum("sha1", data)}
    body = signer.chunked(CHUNKS, other, signed=form != UNSIGNED_CHUNKS_TRAILER)
    refused(wick, key, send(wick, "PUT", key, headers, body), 400, "MalformedTrailerError")


# --- Hashes and checksums of the request ----------------------------------------------------------------------------


def test_content_md5(wick, key):
    right = base64.b64encode(hashlib.md5(BODY).digest()).decode()
    wrong = base64.b64encode(hashlib.md5(b"").digest()).decode()
    refused(wick, key, call(wick, "PUT", key, body=BODY, extra={"content-md5": wrong}), 400, "BadDigest")
    for invalid in ("x", "aaaa", "!" * 24, right[:-2], ""):
        refused(wick, key, call(wick, "PUT", key, body=BODY, extra={"content-md5": invalid}), 400, "InvalidDigest")
    assert call(wick, "PUT", key, body=BODY, extra={"content-md5": right}).status == 200


@pytest.mark.parametrize("kind", CHECKSUMS)
def test_checksum_header(wick, key, kind):
    name = f"x-amz-checksum-{kind}"
    for body in (b"", BODY):
        wrong = {name: checksum(kind, body + b".")}
        refused(wick, key, call(wick, "PUT", key, body=body, extra=wrong), 400, "BadDigest")
    answer = call(wick, "PUT", key, body=BODY, extra={name: "not base64"})
    assert answer.status == 400 and answer.code in ("BadDigest", "InvalidRequest"), answer
    answer = call(wick, "PUT", key, body=BODY, extra={name: checksum(kind, BODY)})
    assert answer.status == 200 and answer.headers[name] == checksum(kind, BODY), answer


def test_two_checksum_headers(wick, key):
    both = {f"x-amz-checksum-{k}": checksum(k, BODY) for k in ("crc32", "sha1")}
    refused(wick, key, call(wick, "PUT", key, body=BODY, extra=both), 400, "InvalidRequest")


def test_refused_body_of_a_part(wick, bucket):
    s3 = wick.client("s3")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    query = f"partNumber=1&uploadId={upload}"
    good = call(wick, "PUT", f"/{bucket}/parts", query, BODY)
    assert good.status == 200, good
    headers = Signer(wick).headers("PUT", f"/{bucket}/parts", query, BODY)
    bad = send(wick, "PUT", f"/{bucket}/parts?{query}", headers, BODY.upper())
    assert (bad.status, bad.code) == (400, "XAmzContentSHA256Mismatch"), bad
    s3.complete_multipart_upload(Bucket=bucket, Key="parts", UploadId=upload, MultipartUpload={
        "Parts": [{"PartNumber": 1, "ETag": good.headers["ETag"]}]})
    assert content(wick, f"/{bucket}/parts") == BODY


def test_nothing_is_left_of_refused_bodies(new_wick):
    wick = new_wick()
    bucket = wick.bucket()
    before = sorted(p for p in wick.data.rglob("*") if p.is_file() and "blob" in str(p))
    for size in (10, 1 << 20, 5 << 20):
        body = b"z" * size
        headers = Signer(wick).headers("PUT", f"/{bucket}/key", "", body)
        assert send(wick, "PUT", f"/{bucket}/key", headers, body[:-1] + b"y").status == 400
    until(lambda: sorted(p for p in wick.data.rglob("*") if p.is_file() and "blob" in str(p)) == before,
          "the files of refused bodies to be gone")
    assert not temporary_files(wick)


# --- Without a signature ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method, path", [
    ("GET", "/2015-03-31/functions"), ("POST", "/2015-03-31/functions"), ("GET", "/2015-03-31/functions/f"),
    ("PUT", "/2015-03-31/functions/f/code"), ("DELETE", "/2015-03-31/functions/f"),
    ("POST", "/2015-03-31/functions/f/invocations"), ("GET", "/2016-08-19/account-settings"),
    ("POST", "/2017-03-31/tags/arn"), ("GET", "/2015-03-31/functions/f/policy"),
    ("GET", "/_wick/settings"), ("GET", "/_wick/bill"), ("GET", "/_wick/invocations"), ("GET", "/_wick/events"),
    ("POST", "/_wick/events/redrive"), ("GET", "/_wick/logs/f"), ("DELETE", "/_wick/logs/f"),
    ("GET", "/_wick/functions"), ("GET", "/_wick/code/f/0"), ("GET", "/_wick/metrics"),
])
def test_unsigned_calls(wick, method, path):
    answer = send(wick, method, path)
    assert (answer.status, answer.code) == (403, "MissingAuthenticationTokenException"), answer


@pytest.mark.parametrize("method, path", [
    ("GET", "/"), ("PUT", "/new-bucket-without-key"), ("GET", "/{b}"), ("HEAD", "/{b}"), ("DELETE", "/{b}"),
    ("GET", "/{b}?policy"), ("PUT", "/{b}?policy"), ("PUT", "/{b}?notification"), ("POST", "/{b}?delete"),
    ("GET", "/{b}/key"), ("HEAD", "/{b}/key"), ("PUT", "/{b}/key"), ("DELETE", "/{b}/key"),
    ("POST", "/{b}/key?uploads"), ("GET", "/{b}?uploads"), ("GET", "/{b}/key?tagging"), ("PUT", "/{b}/new"),
])
def test_unsigned_s3(wick, key, bucket, method, path):
    answer = send(wick, method, path.format(b=bucket))
    assert answer.status == 403, answer
    assert method == "HEAD" or answer.code == "AccessDenied"
    assert content(wick, key) == OLD


def test_health_is_open(wick):
    assert send(wick, "GET", "/_wick/health").status == 200


def test_public_bucket(wick, bucket):
    s3 = wick.client("s3")
    public = wick.bucket()
    s3.put_object(Bucket=public, Key="open/page", Body=OLD)
    s3.put_object(Bucket=public, Key="closed/page", Body=OLD)
    s3.put_bucket_policy(Bucket=public, Policy=json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{public}/*"},
        {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": f"arn:aws:s3:::{public}/closed/*"}]}))
    assert send(wick, "GET", f"/{public}/open/page").body == OLD
    assert send(wick, "HEAD", f"/{public}/open/page").status == 200
    for method, path in (("GET", "/closed/page"), ("PUT", "/open/page"), ("DELETE", "/open/page"), ("GET", ""),
                         ("GET", "?policy"), ("PUT", "/open/new"), ("GET", "/open/page?tagging"),
                         ("POST", "/open/new?uploads")):
        answer = send(wick, method, f"/{public}{path}")
        assert (answer.status, answer.code) == (403, "AccessDenied"), (method, path, answer)
    assert content(wick, f"/{public}/open/page") == OLD
    s3.delete_bucket_policy(Bucket=public)
    assert send(wick, "GET", f"/{public}/open/page").status == 403


def test_open_upload_is_checked_too(wick):
    public = wick.bucket()
    wick.client("s3").put_bucket_policy(Bucket=public, Policy=json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": "*", "Action": ["s3:PutObject"], "Resource": f"arn:aws:s3:::{public}/*"}]}))
    path = f"/{public}/key"
    assert send(wick, "PUT", path, body=OLD).status == 200
    assert content(wick, path) == OLD
    wrong = {"x-amz-content-sha256": EMPTY_SHA256}
    refused(wick, path, send(wick, "PUT", path, wrong, BODY), 400, "XAmzContentSHA256Mismatch")
    refused(wick, path, send(wick, "PUT", path, {"x-amz-content-sha256": SIGNED_CHUNKS,
                                                 "x-amz-decoded-content-length": "5"}, BODY), 403, "AccessDenied")
    headers = {"x-amz-content-sha256": UNSIGNED_CHUNKS_TRAILER, "x-amz-decoded-content-length": "5",
               "x-amz-trailer": "x-amz-checksum-crc32"}
    tail = "\r\n0\r\nx-amz-checksum-crc32:{}\r\n\r\n"
    bad = b"5\r\nhello" + tail.format(checksum("crc32", b"hallo")).encode()
    refused(wick, path, send(wick, "PUT", path, headers, bad), 400, "BadDigest")
    good = b"5\r\nhello" + tail.format(checksum("crc32", b"hello")).encode()
    assert send(wick, "PUT", path, headers, good).status == 200
    assert content(wick, path) == b"hello"


# --- Keys of a function's role -----------------------------------------------------------------------------------------


ROLE_KEYS = """
import os
def handler(event, context):
    return [os.environ[n] for n in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")]
"""

FROM_INSIDE = """
import boto3, botocore.exceptions
def handler(event, context):
    s3, l = boto3.client("s3"), boto3.client("lambda")
    s3.put_object(Bucket=event["bucket"], Key="from-inside", Body=b"hello")
    said = {"read": s3.get_object(Bucket=event["bucket"], Key="from-inside")["Body"].read().decode(),
            "listed": [o["Key"] for o in s3.list_objects_v2(Bucket=event["bucket"], Prefix="from")["Contents"]]}
    for name, call in (
            ("create_function", lambda: l.create_function(FunctionName="x", Role="arn:aws:iam::000000000000:role/r",
                Runtime="python3.11", Handler="a.b", Code={"ZipFile": b"PK"})),
            ("delete_function", lambda: l.delete_function(FunctionName=context.function_name)),
            ("list_functions", l.list_functions),
            ("create_bucket", lambda: s3.create_bucket(Bucket="made-inside")),
            ("put_bucket_policy", lambda: s3.put_bucket_policy(Bucket=event["bucket"], Policy="{}"))):
        try:
            call()
            said[name] = "allowed"
        except botocore.exceptions.ClientError as e:
            said[name] = e.response["Error"]["Code"]
    return said
"""


def test_role_from_inside(wick, bucket):
    said, answer = wick.invoke(wick.deploy(FROM_INSIDE, MemorySize=512), {"bucket": bucket})
    assert "FunctionError" not in answer, said
    assert said == {"read": "hello", "listed": ["from-inside"], "create_function": "AccessDeniedException",
                    "delete_function": "AccessDeniedException", "list_functions": "AccessDeniedException",
                    "create_bucket": "AccessDenied", "put_bucket_policy": "AccessDenied"}


def test_role_keys_outside(wick, bucket, key):
    (access, secret, token), _ = wick.invoke(wick.deploy(ROLE_KEYS))
    assert (access, secret) != wick.keys and access.startswith("ASIA")
    role = Signer(wick, access=access, secret=secret, token=token)
    assert call(wick, "GET", key, signer=role).body == OLD
    assert send(wick, "GET", role.presigned("GET", key)).body == OLD
    for change, status, code in (
            (dict(token=None), 403, "InvalidAccessKeyId"),
            (dict(token=token[:-8] + ("AAAAAAAA" if token[-8:] != "AAAAAAAA" else "BBBBBBBB")), 400, "InvalidToken"),
            (dict(token=token[:20]), 400, "InvalidToken"),
            (dict(token="A" * len(token)), 400, "InvalidToken"),
            (dict(access="ASIA" + "Q" * 16), 403, "InvalidAccessKeyId"),
            (dict(secret=wick.keys[1]), 403, "SignatureDoesNotMatch")):
        made = Signer(wick, **{**dict(access=access, secret=secret, token=token), **change})
        refused(wick, key, call(wick, "PUT", key, body=BODY, signer=made), status, code)
    for method, path in (("POST", LAMBDA_LIST), ("GET", LAMBDA_LIST)):
        answer = lambda_call(wick, method, path, signer=Signer(wick, "lambda", access, secret, token))
        assert (answer.status, answer.code) == (403, "AccessDeniedException"), answer


def made_key(wick, access, expires_ms, inside=None, master=None, aad=b"wick temporary key 1"):
    """A temporary key as the gate makes them, by whoever has the master key."""
    aead = pytest.importorskip("cryptography.hazmat.primitives.ciphers.aead")
    own = (wick.data / "master.key").read_bytes()
    secret = base64.b64encode(hmac.new(own, access.encode(), hashlib.sha256).digest()[:30]).decode()
    text = f"{inside or access}\nf\narn:aws:iam::000000000000:role/r\n{expires_ms}".encode()
    nonce = bytes(range(12))
    sealed = nonce + aead.AESGCM(master or own).encrypt(nonce, text, aad)
    return Signer(wick, access=access, secret=secret, token=base64.urlsafe_b64encode(sealed).rstrip(b"=").decode())


def test_expired_and_forged_tokens(wick, key):
    access, now = "ASIA" + "A" * 16, int(time.time() * 1000)
    assert call(wick, "GET", key, signer=made_key(wick, access, now + 60_000)).body == OLD
    expired = made_key(wick, access, now - 1000)
    refused(wick, key, call(wick, "PUT", key, body=BODY, signer=expired), 400, "ExpiredToken")
    expired.service = "lambda"
    answer = lambda_call(wick, "GET", LAMBDA_LIST, signer=expired)
    assert (answer.status, answer.code) == (403, "ExpiredTokenException"), answer
    for forged, code in ((made_key(wick, access, now + 60_000, master=bytes(32)), "InvalidToken"),
                         (made_key(wick, access, now + 60_000, aad=b""), "InvalidToken"),
                         (made_key(wick, access, now + 60_000, inside="ASIA" + "B" * 16), "InvalidAccessKeyId"),
                         (made_key(wick, access, "soon"), "InvalidAccessKeyId")):
        refused(wick, key, call(wick, "PUT", key, body=BODY, signer=forged),
                400 if code == "InvalidToken" else 403, code)


def test_secrets_are_not_in_the_log(wick, key):
    access, secret = wick.keys
    (_, role_secret, token), _ = wick.invoke(wick.deploy(ROLE_KEYS))
    call(wick, "GET", key, signer=Signer(wick, secret="x" * 40))
    assert secret not in wick.log() and role_secret not in wick.log() and token not in wick.log()
