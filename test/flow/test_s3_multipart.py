"""Multipart uploads with boto3: parts, copies of parts, completing, retrying, aborting, listing, checksums."""
import base64
import hashlib
import os
import threading
import zlib

import botocore.exceptions
import pytest

MIB = 1 << 20
PART = 5 * MIB


@pytest.fixture(scope="module")
def s3(wick):
    return wick.client("s3")


@pytest.fixture(scope="module")
def bucket(wick):
    return wick.bucket()


def refused(code, call, **kw):
    with pytest.raises(botocore.exceptions.ClientError) as e:
        call(**kw)
    assert e.value.response["Error"]["Code"] == code, e.value.response
    return e.value.response


def md5(data):
    return hashlib.md5(data).hexdigest()


def start(s3, bucket, key, **kw):
    return s3.create_multipart_upload(Bucket=bucket, Key=key, **kw)["UploadId"]


def put(s3, bucket, key, upload, number, data, **kw):
    answer = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=data, **kw)
    return {"PartNumber": number, "ETag": answer["ETag"]}


def complete(s3, bucket, key, upload, parts, **kw):
    return s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}, **kw)


def test_whole_way(s3, bucket):
    pieces = [os.urandom(PART), os.urandom(PART + 17), b"the end"]
    upload = start(s3, bucket, "big", ContentType="video/mp4", Metadata={"m": "1"}, Tagging="t=1",
                   CacheControl="no-cache")
    parts = [put(s3, bucket, "big", upload, n, piece) for n, piece in zip((1, 5, 10000), pieces)]
    assert parts[0]["ETag"] == f'"{md5(pieces[0])}"'
    refused("NoSuchKey", s3.get_object, Bucket=bucket, Key="big")
    done = complete(s3, bucket, "big", upload, parts)
    etag = md5(b"".join(hashlib.md5(p).digest() for p in pieces)) + "-3"
    assert done["ETag"] == f'"{etag}"' and (done["Bucket"], done["Key"]) == (bucket, "big")
    whole = b"".join(pieces)
    got = s3.get_object(Bucket=bucket, Key="big")
    assert got["Body"].read() == whole
    assert (got["ETag"], got["ContentType"], got["Metadata"]) == (f'"{etag}"', "video/mp4", {"m": "1"})
    assert got["CacheControl"] == "no-cache" and got["TagCount"] == 1
    # Across the seam of two parts, and by part number.
    got = s3.get_object(Bucket=bucket, Key="big", Range=f"bytes={PART - 10}-{PART + 9}")
    assert got["Body"].read() == whole[PART - 10:PART + 10]
    got = s3.get_object(Bucket=bucket, Key="big", Range="bytes=-20")
    assert got["Body"].read() == whole[-20:]
    got = s3.get_object(Bucket=bucket, Key="big", PartNumber=2)
    assert got["Body"].read() == pieces[1]
    assert got["PartsCount"] == 3
    assert got["ContentRange"] == f"bytes {PART}-{2 * PART + 16}/{len(whole)}"
    assert s3.head_object(Bucket=bucket, Key="big", PartNumber=3)["ContentLength"] == 7
    refused("InvalidPartNumber", s3.get_object, Bucket=bucket, Key="big", PartNumber=4)
    # The answer was lost: the same call says the same again.
    assert complete(s3, bucket, "big", upload, parts)["ETag"] == f'"{etag}"'
    refused("NoSuchUpload", s3.list_parts, Bucket=bucket, Key="big", UploadId=upload)


def test_copy_of_a_multipart_object_is_one_piece(s3, bucket):
    pieces = [os.urandom(PART), b"tail"]
    upload = start(s3, bucket, "two")
    complete(s3, bucket, "two", upload, [put(s3, bucket, "two", upload, n + 1, p) for n, p in enumerate(pieces)])
    copy = s3.copy_object(Bucket=bucket, Key="one", CopySource={"Bucket": bucket, "Key": "two"})
    whole = b"".join(pieces)
    assert copy["CopyObjectResult"]["ETag"] == f'"{md5(whole)}"'
    assert s3.get_object(Bucket=bucket, Key="one")["Body"].read() == whole
    s3.delete_object(Bucket=bucket, Key="two")
    assert s3.get_object(Bucket=bucket, Key="one")["Body"].read() == whole


def test_part_is_replaced(s3, bucket):
    upload = start(s3, bucket, "again")
    first = put(s3, bucket, "again", upload, 1, b"first")
    second = put(s3, bucket, "again", upload, 1, b"second")
    refused("InvalidPart", s3.complete_multipart_upload, Bucket=bucket, Key="again", UploadId=upload,
            MultipartUpload={"Parts": [first]})
    second["ETag"] = second["ETag"].strip('"')  # clients send it with and without quotes
    complete(s3, bucket, "again", upload, [second])
    assert s3.get_object(Bucket=bucket, Key="again")["Body"].read() == b"second"


def test_refusals(s3, bucket):
    upload = start(s3, bucket, "r")
    kw = {"Bucket": bucket, "Key": "r", "UploadId": upload}
    small, end = put(s3, bucket, "r", upload, 1, b"small"), put(s3, bucket, "r", upload, 2, b"end")
    e = refused("EntityTooSmall", s3.complete_multipart_upload, MultipartUpload={"Parts": [small, end]}, **kw)
    assert (e["Error"]["ProposedSize"], e["Error"]["PartNumber"]) == ("5", "1")
    refused("InvalidPartOrder", s3.complete_multipart_upload, MultipartUpload={"Parts": [end, small]}, **kw)
    refused("InvalidPart", s3.complete_multipart_upload,
            MultipartUpload={"Parts": [{"PartNumber": 3, "ETag": end["ETag"]}]}, **kw)
    refused("MalformedXML", s3.complete_multipart_upload, MultipartUpload={"Parts": []}, **kw)
    refused("InvalidArgument", s3.upload_part, PartNumber=0, Body=b"", **kw)
    refused("InvalidArgument", s3.upload_part, PartNumber=10001, Body=b"", **kw)
    for other in ({**kw, "UploadId": "nonsense"}, {**kw, "Key": "other"}):
        refused("NoSuchUpload", s3.upload_part, PartNumber=1, Body=b"", **other)
        refused("NoSuchUpload", s3.list_parts, **other)
        refused("NoSuchUpload", s3.abort_multipart_upload, **other)
        refused("NoSuchUpload", s3.complete_multipart_upload, MultipartUpload={"Parts": [small]}, **other)
    s3.abort_multipart_upload(**kw)
    refused("NoSuchUpload", s3.abort_multipart_upload, **kw)
    refused("NoSuchUpload", s3.upload_part, PartNumber=1, Body=b"", **kw)
    refused("NoSuchKey", s3.get_object, Bucket=bucket, Key="r")
    refused("NoSuchBucket", s3.create_multipart_upload, Bucket="no-such-bucket-here", Key="k")


def test_empty_and_single_part(s3, bucket):
    upload = start(s3, bucket, "nothing")
    done = complete(s3, bucket, "nothing", upload, [put(s3, bucket, "nothing", upload, 1, b"")])
    assert done["ETag"].endswith('-1"')
    got = s3.get_object(Bucket=bucket, Key="nothing")
    assert (got["Body"].read(), got["ContentLength"]) == (b"", 0)


def test_copied_parts(s3, bucket):
    source = os.urandom(PART + 1000)
    s3.put_object(Bucket=bucket, Key="source", Body=source)
    where = {"Bucket": bucket, "Key": "source"}
    upload = start(s3, bucket, "spliced")
    kw = {"Bucket": bucket, "Key": "spliced", "UploadId": upload, "CopySource": where}
    one = s3.upload_part_copy(PartNumber=1, **kw)["CopyPartResult"]["ETag"]
    two = s3.upload_part_copy(PartNumber=2, CopySourceRange="bytes=100-299", **kw)["CopyPartResult"]["ETag"]
    assert (one, two) == (f'"{md5(source)}"', f'"{md5(source[100:300])}"')
    refused("InvalidArgument", s3.upload_part_copy, PartNumber=3, CopySourceRange="bytes=0-99999999", **kw)
    refused("InvalidArgument", s3.upload_part_copy, PartNumber=3, CopySourceRange="0-5", **kw)
    refused("NoSuchKey", s3.upload_part_copy, PartNumber=3, **{**kw, "CopySource": f"{bucket}/missing"})
    complete(s3, bucket, "spliced", upload, [{"PartNumber": 1, "ETag": one}, {"PartNumber": 2, "ETag": two}])
    assert s3.get_object(Bucket=bucket, Key="spliced")["Body"].read() == source + source[100:300]
    # A range that runs over the seam of the source's own pieces.
    upload = start(s3, bucket, "seam")
    got = s3.upload_part_copy(Bucket=bucket, Key="seam", UploadId=upload, PartNumber=1,
                              CopySource={"Bucket": bucket, "Key": "spliced"},
                              CopySourceRange=f"bytes={PART + 990}-{PART + 1009}")["CopyPartResult"]["ETag"]
    complete(s3, bucket, "seam", upload, [{"PartNumber": 1, "ETag": got}])
    assert s3.get_object(Bucket=bucket, Key="seam")["Body"].read() == (source + source[100:300])[PART + 990:PART + 1010]


def test_list_parts(s3, bucket):
    upload = start(s3, bucket, "listed")
    for n in range(1, 8):
        put(s3, bucket, "listed", upload, n, bytes(n))
    pages = list(s3.get_paginator("list_parts").paginate(Bucket=bucket, Key="listed", UploadId=upload,
                                                         PaginationConfig={"PageSize": 3}))
    assert [[p["PartNumber"] for p in page["Parts"]] for page in pages] == [[1, 2, 3], [4, 5, 6], [7]]
    assert pages[2]["Parts"][0]["Size"] == 7 and pages[2]["Parts"][0]["ETag"] == f'"{md5(bytes(7))}"'
    s3.abort_multipart_upload(Bucket=bucket, Key="listed", UploadId=upload)


def test_list_uploads(wick, s3):
    name = wick.bucket()
    keys = ["a", "b/1", "b/2", "c"]
    ids = {k: start(s3, name, k) for k in keys}
    second = start(s3, name, "a")
    listed = s3.list_multipart_uploads(Bucket=name)["Uploads"]
    assert [u["Key"] for u in listed] == ["a", "a", "b/1", "b/2", "c"]
    assert {u["UploadId"] for u in listed} == {second, *ids.values()}
    page = s3.list_multipart_uploads(Bucket=name, Delimiter="/")
    assert [u["Key"] for u in page["Uploads"]] == ["a", "a", "c"]
    assert [p["Prefix"] for p in page["CommonPrefixes"]] == ["b/"]
    assert [u["Key"] for u in s3.list_multipart_uploads(Bucket=name, Prefix="b/")["Uploads"]] == ["b/1", "b/2"]
    seen = [u["UploadId"] for p in s3.get_paginator("list_multipart_uploads").paginate(
        Bucket=name, PaginationConfig={"PageSize": 2}) for u in p["Uploads"]]
    assert seen == [u["UploadId"] for u in listed]
    with pytest.raises(botocore.exceptions.ClientError) as e:
        s3.delete_bucket(Bucket=name)
    assert e.value.response["Error"]["Code"] == "BucketNotEmpty"
    for u in listed:
        s3.abort_multipart_upload(Bucket=name, Key=u["Key"], UploadId=u["UploadId"])
    s3.delete_bucket(Bucket=name)


def test_checksums_of_parts(s3, bucket):
    pieces = [os.urandom(PART), b"tail"]
    sums = [hashlib.sha256(p).digest() for p in pieces]
    upload = start(s3, bucket, "sums", ChecksumAlgorithm="SHA256")
    kw = {"Bucket": bucket, "Key": "sums", "UploadId": upload}
    refused("InvalidRequest", s3.upload_part, PartNumber=1, Body=b"x", **kw)
    parts = []
    for n, piece in enumerate(pieces, 1):
        answer = s3.upload_part(PartNumber=n, Body=piece, ChecksumAlgorithm="SHA256", **kw)
        assert answer["ChecksumSHA256"] == base64.b64encode(sums[n - 1]).decode()
        parts.append({"PartNumber": n, "ETag": answer["ETag"], "ChecksumSHA256": answer["ChecksumSHA256"]})
    wrong = [{**parts[0], "ChecksumSHA256": parts[1]["ChecksumSHA256"]}, parts[1]]
    refused("InvalidPart", s3.complete_multipart_upload, MultipartUpload={"Parts": wrong}, **kw)
    done = s3.complete_multipart_upload(MultipartUpload={"Parts": parts}, **kw)
    want = base64.b64encode(hashlib.sha256(b"".join(sums)).digest()).decode() + "-2"
    assert done["ChecksumSHA256"] == want
    assert s3.head_object(Bucket=bucket, Key="sums", ChecksumMode="ENABLED")["ChecksumSHA256"] == want


def test_checksum_of_the_whole_object(wick, bucket):
    """CRC32 over the whole object, made of its parts' CRCs (ChecksumType FULL_OBJECT, newer than this boto3)."""
    def full(request, **kw):
        request.headers["x-amz-checksum-type"] = "FULL_OBJECT"
    s3 = wick.client("s3")
    s3.meta.events.register("before-sign.s3.CreateMultipartUpload", full)
    pieces = [os.urandom(PART), os.urandom(PART), os.urandom(PART + 3), b"end"]
    upload = start(s3, bucket, "full", ChecksumAlgorithm="CRC32")
    parts = [put(s3, bucket, "full", upload, n, p, ChecksumAlgorithm="CRC32") for n, p in enumerate(pieces, 1)]
    done = complete(s3, bucket, "full", upload, parts)
    assert done["ChecksumCRC32"] == base64.b64encode(zlib.crc32(b"".join(pieces)).to_bytes(4, "big")).decode()


def test_racing_parts_and_transfer_manager(wick, s3, bucket, tmp_path):
    import boto3.s3.transfer
    data = os.urandom(23 * MIB)
    path = tmp_path / "file"
    path.write_bytes(data)
    conf = boto3.s3.transfer.TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, max_concurrency=4)
    s3.upload_file(str(path), bucket, "managed", Config=conf)
    s3.download_file(bucket, "managed", str(tmp_path / "back"), Config=conf)
    assert (tmp_path / "back").read_bytes() == data
    # Two complete the same upload at once: one object, no error that a retry would not cure.
    upload = start(s3, bucket, "race")
    part = put(s3, bucket, "race", upload, 1, b"bytes")
    results = []

    def run():
        try:
            results.append(complete(wick.client("s3"), bucket, "race", upload, [part])["ETag"])
        except botocore.exceptions.ClientError as e:
            results.append(e.response["Error"]["Code"])
    threads = [threading.Thread(target=run) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    etag = s3.head_object(Bucket=bucket, Key="race")["ETag"]
    assert etag in results and set(results) <= {etag, "NoSuchUpload"}
