"""S3 objects with boto3: put, get, head, copy, delete, tags; conditions, ranges, metadata, checksums."""
import base64
import datetime
import hashlib
import http.client
import socket
import urllib.parse
import zlib

import boto3
import botocore.config
import botocore.exceptions
import pytest


@pytest.fixture(scope="module")
def s3(wick):
    return wick.client("s3")


@pytest.fixture(scope="module")
def bucket(wick):
    return wick.bucket()


def refused(code, call, *args, **kw):
    with pytest.raises(botocore.exceptions.ClientError) as e:
        call(*args, **kw)
    assert e.value.response["Error"]["Code"] == code, e.value.response
    return e.value.response


def raw(wick, method, target, headers=None, body=None):
    """A request without a signature."""
    host, port = wick.url.split("//")[1].split(":")
    c = http.client.HTTPConnection(host, int(port), timeout=30)
    try:
        c.request(method, target, body=body, headers=headers or {})
        answer = c.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        c.close()


def presigned(wick, operation, **params):
    url = wick.client("s3", signature_version="s3v4").generate_presigned_url(operation, Params=params)
    return url[len(wick.url):]


@pytest.mark.parametrize("size", [0, 1, 100, 65536, 1 << 20, 7_654_321])
def test_put_and_get(s3, bucket, size):
    data = bytes(i * 31 % 251 for i in range(min(size, 4096))) * (size // 4096 + 1)
    data = data[:size]
    put = s3.put_object(Bucket=bucket, Key="sized", Body=data)
    assert put["ETag"] == '"%s"' % hashlib.md5(data).hexdigest()
    got = s3.get_object(Bucket=bucket, Key="sized")
    assert got["Body"].read() == data
    assert got["ContentLength"] == size
    assert got["ETag"] == put["ETag"]
    assert got["ContentType"] == "binary/octet-stream"
    assert got["AcceptRanges"] == "bytes"
    head = s3.head_object(Bucket=bucket, Key="sized")
    assert (head["ContentLength"], head["ETag"]) == (size, put["ETag"])


KEYS = ["a", "a/b", "/lead", "a//b", ".", "..", "a/../b", "a/./b", "trail/", "sp ace", "plus+plus", "per%cent", "%20",
        "ünïcödé/日本語", "q?uery", "amp&=;:@$,", "quote'\"<>", "~tilde-_.*()!", "x" * 1024, "tab\tnew\nline"]


@pytest.mark.parametrize("key", KEYS)
def test_keys_are_plain_bytes(s3, bucket, key):
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    listed = [o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert key in listed
    s3.copy_object(Bucket=bucket, Key="copied", CopySource={"Bucket": bucket, "Key": key})
    assert s3.get_object(Bucket=bucket, Key="copied")["Body"].read() == key.encode()
    s3.delete_object(Bucket=bucket, Key=key)
    refused("NoSuchKey", s3.get_object, Bucket=bucket, Key=key)


def test_key_too_long(s3, bucket):
    refused("KeyTooLongError", s3.put_object, Bucket=bucket, Key="y" * 1025, Body=b"")


def test_missing(s3, bucket):
    refused("NoSuchKey", s3.get_object, Bucket=bucket, Key="missing")
    refused("404", s3.head_object, Bucket=bucket, Key="missing")
    refused("NoSuchBucket", s3.get_object, Bucket="no-such-bucket-here", Key="k")
    refused("NoSuchBucket", s3.put_object, Bucket="no-such-bucket-here", Key="k", Body=b"x")
    refused("NoSuchBucket", s3.delete_object, Bucket="no-such-bucket-here", Key="k")
    assert s3.delete_object(Bucket=bucket, Key="missing")["ResponseMetadata"]["HTTPStatusCode"] == 204


def test_stored_headers_and_metadata(s3, bucket):
    expires = datetime.datetime(2030, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
    s3.put_object(Bucket=bucket, Key="headers", Body=b"x", ContentType="image/png", CacheControl="max-age=60",
                  ContentDisposition='attachment; filename="a b.png"', ContentEncoding="gzip", ContentLanguage="de",
                  Expires=expires, StorageClass="STANDARD_IA", WebsiteRedirectLocation="/other",
                  Metadata={"Camera": "Leica", "spaces": "a b"}, Tagging="a=1&b=two%20words")
    for got in (s3.get_object(Bucket=bucket, Key="headers"), s3.head_object(Bucket=bucket, Key="headers")):
        assert got["ContentType"] == "image/png"
        assert got["CacheControl"] == "max-age=60"
        assert got["ContentDisposition"] == 'attachment; filename="a b.png"'
        assert got["ContentEncoding"] == "gzip"
        assert got["ContentLanguage"] == "de"
        assert got["Expires"] == expires
        assert got["StorageClass"] == "STANDARD_IA"
        assert got["WebsiteRedirectLocation"] == "/other"
        assert got["Metadata"] == {"camera": "Leica", "spaces": "a b"}
    got = s3.get_object(Bucket=bucket, Key="headers")
    assert got["TagCount"] == 2
    assert s3.get_object_tagging(Bucket=bucket, Key="headers")["TagSet"] == [
        {"Key": "a", "Value": "1"}, {"Key": "b", "Value": "two words"}]


def test_metadata_limit(s3, bucket):
    s3.put_object(Bucket=bucket, Key="meta", Body=b"", Metadata={"a": "x" * 2047})
    refused("MetadataTooLarge", s3.put_object, Bucket=bucket, Key="meta", Body=b"", Metadata={"a": "x" * 2048})


def test_response_overrides(wick, s3, bucket):
    s3.put_object(Bucket=bucket, Key="over", Body=b"x", CacheControl="no-store", ContentType="text/plain")
    got = s3.get_object(Bucket=bucket, Key="over", ResponseContentType="text/html", ResponseCacheControl="public",
                        ResponseContentDisposition="inline", ResponseContentEncoding="br",
                        ResponseContentLanguage="fr")
    assert (got["ContentType"], got["CacheControl"], got["ContentDisposition"]) == ("text/html", "public", "inline")
    assert (got["ContentEncoding"], got["ContentLanguage"]) == ("br", "fr")
    refused("InvalidArgument", s3.get_object, Bucket=bucket, Key="over", ResponseContentType="a\r\nX-Injected: 1")


def test_ranges(s3, bucket):
    data = bytes(range(256)) * 4
    s3.put_object(Bucket=bucket, Key="range", Body=data)

    def get(r):
        got = s3.get_object(Bucket=bucket, Key="range", Range=r)
        return got["Body"].read(), got.get("ContentRange"), got["ResponseMetadata"]["HTTPStatusCode"]

    assert get("bytes=0-0") == (data[:1], "bytes 0-0/1024", 206)
    assert get("bytes=10-19") == (data[10:20], "bytes 10-19/1024", 206)
    assert get("bytes=1000-") == (data[1000:], "bytes 1000-1023/1024", 206)
    assert get("bytes=1000-99999") == (data[1000:], "bytes 1000-1023/1024", 206)
    assert get("bytes=-24") == (data[-24:], "bytes 1000-1023/1024", 206)
    assert get("bytes=-5000") == (data, "bytes 0-1023/1024", 206)
    for whole in ("bytes=0-1,5-6", "bytes=9-5", "lines=1-2", "bytes=x-y", "nonsense", "bytes=99999999999999999999999-"):
        assert get(whole) == (data, None, 200)
    for bad in ("bytes=1024-", "bytes=5000-6000", "bytes=-0"):
        e = refused("InvalidRange", s3.get_object, Bucket=bucket, Key="range", Range=bad)
        assert e["ResponseMetadata"]["HTTPStatusCode"] == 416
        assert e["ResponseMetadata"]["HTTPHeaders"]["content-range"] == "bytes */1024"
        assert e["Error"]["ActualObjectSize"] == "1024"
    head = s3.head_object(Bucket=bucket, Key="range", Range="bytes=0-9")
    assert (head["ContentLength"], head["ResponseMetadata"]["HTTPStatusCode"]) == (10, 206)
    s3.put_object(Bucket=bucket, Key="empty", Body=b"")
    refused("InvalidRange", s3.get_object, Bucket=bucket, Key="empty", Range="bytes=0-")
    part = s3.get_object(Bucket=bucket, Key="range", PartNumber=1)
    assert part["Body"].read() == data
    refused("InvalidPartNumber", s3.get_object, Bucket=bucket, Key="range", PartNumber=2)


def test_read_conditions(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="cond", Body=b"x")["ETag"]
    at = s3.head_object(Bucket=bucket, Key="cond")["LastModified"]
    before, after = at - datetime.timedelta(hours=1), at + datetime.timedelta(hours=1)

    def status(**kw):
        try:
            return s3.get_object(Bucket=bucket, Key="cond", **kw)["ResponseMetadata"]["HTTPStatusCode"]
        except botocore.exceptions.ClientError as e:
            return e.response["ResponseMetadata"]["HTTPStatusCode"]

    assert status(IfMatch=etag) == 200
    assert status(IfMatch="*") == 200
    assert status(IfMatch='"other"') == 412
    assert status(IfNoneMatch=etag) == 304
    assert status(IfNoneMatch='"other"') == 200
    assert status(IfModifiedSince=before) == 200
    assert status(IfModifiedSince=after) == 304
    assert status(IfUnmodifiedSince=after) == 200
    assert status(IfUnmodifiedSince=before) == 412
    assert status(IfMatch=etag, IfUnmodifiedSince=before) == 200
    assert status(IfNoneMatch=etag, IfModifiedSince=before) == 304
    assert status(IfNoneMatch='"other"', IfModifiedSince=after) == 200
    refused("PreconditionFailed", s3.get_object, Bucket=bucket, Key="cond", IfMatch='"other"')


def with_header(client, operation, **headers):
    """Adds raw headers before the request is signed: parameters that this boto3 does not know."""
    def add(request, **kw):
        for name, value in headers.items():
            request.headers[name.replace("_", "-")] = value
    client.meta.events.register(f"before-sign.s3.{operation}", add)
    return client


def test_write_conditions(wick, bucket):
    new = with_header(wick.client("s3"), "PutObject", If_None_Match="*")
    etag = new.put_object(Bucket=bucket, Key="once", Body=b"1")["ETag"]
    refused("PreconditionFailed", new.put_object, Bucket=bucket, Key="once", Body=b"2")
    assert new.get_object(Bucket=bucket, Key="once")["Body"].read() == b"1"
    same = with_header(wick.client("s3"), "PutObject", If_Match=etag)
    same.put_object(Bucket=bucket, Key="once", Body=b"3")
    refused("PreconditionFailed", same.put_object, Bucket=bucket, Key="once", Body=b"4")
    refused("NoSuchKey", same.put_object, Bucket=bucket, Key="never", Body=b"4")
    odd = with_header(wick.client("s3"), "PutObject", If_None_Match='"etag"')
    refused("NotImplemented", odd.put_object, Bucket=bucket, Key="once", Body=b"5")


def test_content_md5(s3, bucket):
    md5 = base64.b64encode(hashlib.md5(b"x").digest()).decode()
    s3.put_object(Bucket=bucket, Key="md5", Body=b"x", ContentMD5=md5)
    refused("BadDigest", s3.put_object, Bucket=bucket, Key="md5", Body=b"y", ContentMD5=md5)
    refused("InvalidDigest", s3.put_object, Bucket=bucket, Key="md5", Body=b"y", ContentMD5="nonsense")
    assert s3.get_object(Bucket=bucket, Key="md5")["Body"].read() == b"x"


def test_checksums(wick, s3, bucket):
    data = b"hello checksums"
    crc = base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
    sha = base64.b64encode(hashlib.sha256(data).digest()).decode()
    put = s3.put_object(Bucket=bucket, Key="sum", Body=data, ChecksumAlgorithm="CRC32")
    assert put["ChecksumCRC32"] == crc
    assert s3.get_object(Bucket=bucket, Key="sum", ChecksumMode="ENABLED")["ChecksumCRC32"] == crc
    assert s3.head_object(Bucket=bucket, Key="sum", ChecksumMode="ENABLED")["ChecksumCRC32"] == crc
    assert "ChecksumCRC32" not in s3.head_object(Bucket=bucket, Key="sum")
    assert s3.put_object(Bucket=bucket, Key="sum", Body=data, ChecksumSHA256=sha)["ChecksumSHA256"] == sha
    refused("BadDigest", s3.put_object, Bucket=bucket, Key="sum", Body=b"other", ChecksumSHA256=sha)
    got = s3.get_object(Bucket=bucket, Key="sum", ChecksumMode="ENABLED")
    assert (got["ChecksumSHA256"], got["Body"].read()) == (sha, data)


def test_unbuilt_headers_are_refused(s3, bucket):
    refused("NotImplemented", s3.put_object, Bucket=bucket, Key="k", Body=b"", ServerSideEncryption="AES256")
    refused("AccessControlListNotSupported", s3.put_object, Bucket=bucket, Key="k", Body=b"", ACL="public-read")
    refused("InvalidStorageClass", s3.put_object, Bucket=bucket, Key="k", Body=b"", StorageClass="MARS")
    s3.put_object(Bucket=bucket, Key="k", Body=b"", ACL="private")


def test_copy(wick, s3, bucket):
    other = wick.bucket()
    s3.put_object(Bucket=bucket, Key="from", Body=b"bytes", ContentType="text/plain", Metadata={"a": "1"},
                  Tagging="t=1")
    copy = s3.copy_object(Bucket=other, Key="to", CopySource={"Bucket": bucket, "Key": "from"})
    assert copy["CopyObjectResult"]["ETag"] == '"%s"' % hashlib.md5(b"bytes").hexdigest()
    got = s3.get_object(Bucket=other, Key="to")
    assert (got["Body"].read(), got["ContentType"], got["Metadata"]) == (b"bytes", "text/plain", {"a": "1"})
    assert s3.get_object_tagging(Bucket=other, Key="to")["TagSet"] == [{"Key": "t", "Value": "1"}]
    s3.delete_object(Bucket=bucket, Key="from")
    assert s3.get_object(Bucket=other, Key="to")["Body"].read() == b"bytes"

    s3.copy_object(Bucket=other, Key="again", CopySource=f"/{other}/to", MetadataDirective="REPLACE",
                   ContentType="text/html", Metadata={"b": "2"}, TaggingDirective="REPLACE", Tagging="u=2")
    got = s3.get_object(Bucket=other, Key="again")
    assert (got["ContentType"], got["Metadata"]) == ("text/html", {"b": "2"})
    assert s3.get_object_tagging(Bucket=other, Key="again")["TagSet"] == [{"Key": "u", "Value": "2"}]


def test_copy_onto_itself(s3, bucket):
    s3.put_object(Bucket=bucket, Key="self", Body=b"bytes")
    source = {"Bucket": bucket, "Key": "self"}
    refused("InvalidRequest", s3.copy_object, Bucket=bucket, Key="self", CopySource=source)
    s3.copy_object(Bucket=bucket, Key="self", CopySource=source, MetadataDirective="REPLACE", Metadata={"n": "1"})
    got = s3.get_object(Bucket=bucket, Key="self")
    assert (got["Body"].read(), got["Metadata"]) == (b"bytes", {"n": "1"})
    s3.copy_object(Bucket=bucket, Key="self", CopySource=source, StorageClass="STANDARD_IA")
    assert s3.head_object(Bucket=bucket, Key="self")["StorageClass"] == "STANDARD_IA"


def test_copy_refusals(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="src", Body=b"bytes")["ETag"]
    source = {"Bucket": bucket, "Key": "src"}
    refused("NoSuchKey", s3.copy_object, Bucket=bucket, Key="k", CopySource=f"{bucket}/missing")
    refused("NoSuchBucket", s3.copy_object, Bucket=bucket, Key="k", CopySource="no-such-bucket-here/x")
    refused("InvalidArgument", s3.copy_object, Bucket=bucket, Key="k", CopySource="nokey")
    refused("NoSuchVersion", s3.copy_object, Bucket=bucket, Key="k", CopySource=f"{bucket}/src?versionId=abc")
    refused("PreconditionFailed", s3.copy_object, Bucket=bucket, Key="k", CopySource=source, CopySourceIfMatch='"x"')
    refused("PreconditionFailed", s3.copy_object, Bucket=bucket, Key="k", CopySource=source,
            CopySourceIfNoneMatch=etag)
    refused("InvalidArgument", s3.copy_object, Bucket=bucket, Key="k", CopySource=source, MetadataDirective="MAYBE")
    s3.copy_object(Bucket=bucket, Key="k", CopySource=source, CopySourceIfMatch=etag)


def test_delete_objects(s3, bucket):
    keys = [f"many/{i:04}" for i in range(50)] + ["many/\x01control", "many/<&>"]
    for k in keys:
        s3.put_object(Bucket=bucket, Key=k, Body=b"")
    result = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": k} for k in keys[:-2]] + [
        {"Key": "many/<&>"}, {"Key": "many/absent"}, {"Key": "v", "VersionId": "abc"}]})
    assert {d["Key"] for d in result["Deleted"]} == set(keys) - {"many/\x01control"} | {"many/absent"}
    assert [(e["Key"], e["Code"]) for e in result["Errors"]] == [("v", "NoSuchVersion")]
    s3.delete_object(Bucket=bucket, Key="many/\x01control")
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket, Prefix="many/")
    quiet = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "x"}], "Quiet": True})
    assert "Deleted" not in quiet
    refused("MalformedXML", s3.delete_objects, Bucket=bucket, Delete={"Objects": [{"Key": "k"}] * 1001})


def test_tagging(s3, bucket):
    s3.put_object(Bucket=bucket, Key="tags", Body=b"x")
    assert s3.get_object_tagging(Bucket=bucket, Key="tags")["TagSet"] == []
    tags = [{"Key": "ä", "Value": ""}, {"Key": "b", "Value": "x y"}]
    s3.put_object_tagging(Bucket=bucket, Key="tags", Tagging={"TagSet": tags})
    assert s3.get_object_tagging(Bucket=bucket, Key="tags")["TagSet"] == tags
    s3.delete_object_tagging(Bucket=bucket, Key="tags")
    assert s3.get_object_tagging(Bucket=bucket, Key="tags")["TagSet"] == []
    many = [{"Key": str(i), "Value": ""} for i in range(11)]
    for bad in ([{"Key": "a", "Value": ""}] * 2, [{"Key": "aws:x", "Value": ""}], many):
        with pytest.raises(botocore.exceptions.ClientError) as e:
            s3.put_object_tagging(Bucket=bucket, Key="tags", Tagging={"TagSet": bad})
        assert e.value.response["Error"]["Code"] in ("InvalidTag", "BadRequest", "MalformedXML")
    refused("NoSuchKey", s3.get_object_tagging, Bucket=bucket, Key="absent")
    refused("NoSuchKey", s3.put_object_tagging, Bucket=bucket, Key="absent", Tagging={"TagSet": tags})


def test_head_and_errors_have_ids(wick, s3, bucket):
    e = refused("NoSuchKey", s3.get_object, Bucket=bucket, Key="absent")
    assert e["ResponseMetadata"]["RequestId"] and e["ResponseMetadata"]["HostId"]
    assert e["Error"]["Key"] == "absent"
    status, headers, body = raw(wick, "HEAD", presigned(wick, "head_object", Bucket=bucket, Key="absent"))
    assert (status, body) == (404, b"")
    assert "x-amz-request-id" in headers


def test_presigned(wick, bucket):
    status, _, _ = raw(wick, "PUT", presigned(wick, "put_object", Bucket=bucket, Key="signed"), body=b"by url")
    assert status == 200
    status, headers, body = raw(wick, "GET", presigned(wick, "get_object", Bucket=bucket, Key="signed",
                                                       ResponseContentType="text/x-over"))
    assert (status, body, headers["content-type"]) == (200, b"by url", "text/x-over")
    status, _, body = raw(wick, "GET", f"/{bucket}/signed")
    assert status == 403 and b"AccessDenied" in body


def test_unknown_subresources_never_fall_through(wick, s3, bucket):
    s3.put_object(Bucket=bucket, Key="kept", Body=b"kept")
    for query in ("restore", "select", "legal-hold", "retention", "torrent", "attributes", "nonsense", "versions"):
        for method in ("GET", "PUT", "DELETE", "POST"):
            client = wick.client("s3")

            def add(request, query=query, **kw):
                request.url += ("&" if "?" in request.url else "?") + query
            operation = {"GET": "GetObject", "PUT": "PutObject", "DELETE": "DeleteObject",
                         "POST": "CreateMultipartUpload"}[method]
            client.meta.events.register(f"before-sign.s3.{operation}", add)
            call = {"GET": client.get_object, "PUT": client.put_object, "DELETE": client.delete_object,
                    "POST": client.create_multipart_upload}[method]
            kw = {"Body": b"changed"} if method == "PUT" else {}
            with pytest.raises(botocore.exceptions.ClientError) as e:
                call(Bucket=bucket, Key="kept", **kw)
            code = e.value.response["Error"]["Code"]
            assert code in ("NotImplemented", "InvalidRequest"), (method, query, code)
    assert s3.get_object(Bucket=bucket, Key="kept")["Body"].read() == b"kept"


def test_virtual_hosted(wick, s3, bucket):
    s3.put_object(Bucket=bucket, Key="dir/by host", Body=b"vhost")
    host, port = wick.url.split("//")[1].split(":")
    assert raw(wick, "GET", presigned(wick, "get_object", Bucket=bucket, Key="dir/by host"))[0] == 200
    access, secret = wick.keys
    virtual = boto3.client("s3", endpoint_url=f"http://s3.localhost:{port}", region_name="us-east-1",
                           aws_access_key_id=access, aws_secret_access_key=secret,
                           config=botocore.config.Config(signature_version="s3v4",
                                                          s3={"addressing_style": "virtual"}))
    url = virtual.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "dir/by host"})
    parts = urllib.parse.urlsplit(url)
    assert parts.hostname == f"{bucket}.s3.localhost"
    status, _, body = raw(wick, "GET", f"{parts.path}?{parts.query}", headers={"Host": parts.netloc})
    assert (status, body) == (200, b"vhost")


def test_bad_requests(wick, bucket):
    for target in (f"/{bucket}/%zz", f"/{bucket}/%ff%fe", "//key", f"/{bucket}/k?a=%z"):
        status, _, body = raw(wick, "GET", target)
        assert status == 400 and b"<Code>InvalidURI</Code>" in body, target


def test_interrupted_put_leaves_the_old_object(wick, s3, bucket):
    s3.put_object(Bucket=bucket, Key="whole", Body=b"old")
    target = presigned(wick, "put_object", Bucket=bucket, Key="whole")
    host, port = wick.url.split("//")[1].split(":")
    with socket.create_connection((host, int(port)), timeout=30) as c:
        c.sendall(f"PUT {target} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 1000000\r\n\r\n".encode() + b"n" * 5000)
    assert s3.get_object(Bucket=bucket, Key="whole")["Body"].read() == b"old"
