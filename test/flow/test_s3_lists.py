"""Listings: both versions of ListObjects, with prefixes, delimiters, pages and encodings; uploads are in
test_s3_multipart.py."""
import botocore.exceptions
import pytest


@pytest.fixture(scope="module")
def s3(wick):
    return wick.client("s3")


KEYS = sorted(["a.txt", "b.txt", "photos/2025/a.jpg", "photos/2025/b.jpg", "photos/2026/c.jpg", "photos/index.html",
               "videos/a.mp4", "z", "ä/ö", "photos-old/x"], key=str.encode)


@pytest.fixture(scope="module")
def bucket(wick, s3):
    name = wick.bucket()
    for key in KEYS:
        s3.put_object(Bucket=name, Key=key, Body=key.encode())
    return name


def refused(code, call, **kw):
    with pytest.raises(botocore.exceptions.ClientError) as e:
        call(**kw)
    assert e.value.response["Error"]["Code"] == code, e.value.response


def shape(page):
    return ([o["Key"] for o in page.get("Contents", [])], [p["Prefix"] for p in page.get("CommonPrefixes", [])])


def test_all(s3, bucket):
    page = s3.list_objects_v2(Bucket=bucket)
    assert shape(page) == (KEYS, [])
    assert (page["KeyCount"], page["MaxKeys"], page["IsTruncated"], page["Name"]) == (len(KEYS), 1000, False, bucket)
    one = page["Contents"][0]
    assert one["Size"] == len("a.txt") and one["StorageClass"] == "STANDARD" and one["ETag"].startswith('"')
    assert "Owner" not in one
    assert "Owner" in s3.list_objects_v2(Bucket=bucket, FetchOwner=True)["Contents"][0]
    assert "Owner" in s3.list_objects(Bucket=bucket)["Contents"][0]


@pytest.mark.parametrize("prefix,keys,prefixes", [
    ("", ["a.txt", "b.txt", "z"], ["photos-old/", "photos/", "videos/", "ä/"]),
    ("photos/", ["photos/index.html"], ["photos/2025/", "photos/2026/"]),
    ("photos", [], ["photos-old/", "photos/"]),
    ("photos/2025/", ["photos/2025/a.jpg", "photos/2025/b.jpg"], []),
    ("nothing", [], []),
])
def test_delimiter(s3, bucket, prefix, keys, prefixes):
    assert shape(s3.list_objects_v2(Bucket=bucket, Prefix=prefix, Delimiter="/")) == (keys, prefixes)
    assert shape(s3.list_objects(Bucket=bucket, Prefix=prefix, Delimiter="/")) == (keys, prefixes)


def test_long_delimiter(s3, bucket):
    keys, prefixes = shape(s3.list_objects_v2(Bucket=bucket, Delimiter="os/20"))
    assert prefixes == ["photos/20"]
    assert "photos/index.html" in keys


@pytest.mark.parametrize("delimiter", ["", "/"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_pages(s3, bucket, size, delimiter):
    whole = shape(s3.list_objects_v2(Bucket=bucket, Delimiter=delimiter))
    for operation in ("list_objects_v2", "list_objects"):
        keys, prefixes, pages = [], [], 0
        for page in s3.get_paginator(operation).paginate(Bucket=bucket, Delimiter=delimiter,
                                                         PaginationConfig={"PageSize": size}):
            k, p = shape(page)
            assert len(k) + len(p) <= size
            keys += k
            prefixes += p
            pages += 1
        assert (keys, prefixes) == whole, operation
        assert pages == -(-(len(keys) + len(prefixes)) // size)


def test_start_after_and_marker(s3, bucket):
    assert shape(s3.list_objects_v2(Bucket=bucket, StartAfter="photos/index.html"))[0] == ["videos/a.mp4", "z", "ä/ö"]
    assert shape(s3.list_objects(Bucket=bucket, Marker="photos/index.html"))[0] == ["videos/a.mp4", "z", "ä/ö"]
    assert shape(s3.list_objects_v2(Bucket=bucket, StartAfter="zz", Prefix="photos/"))[0] == []
    page = s3.list_objects(Bucket=bucket, Delimiter="/", MaxKeys=4)
    assert page["NextMarker"] == "photos/"
    page = s3.list_objects(Bucket=bucket, MaxKeys=1)
    assert page["IsTruncated"] and "NextMarker" not in page


def test_max_keys(s3, bucket):
    page = s3.list_objects_v2(Bucket=bucket, MaxKeys=0)
    assert (page["KeyCount"], page["IsTruncated"]) == (0, False)
    assert s3.list_objects_v2(Bucket=bucket, MaxKeys=5000)["MaxKeys"] == 1000
    refused("InvalidArgument", s3.list_objects_v2, Bucket=bucket, MaxKeys=-1)
    refused("InvalidArgument", s3.list_objects_v2, Bucket=bucket, ContinuationToken="!!!")
    refused("InvalidArgument", s3.list_objects_v2, Bucket=bucket, EncodingType="rot13")
    refused("NoSuchBucket", s3.list_objects_v2, Bucket="no-such-bucket-here")


def test_odd_keys_survive_by_encoding(wick, s3):
    name = wick.bucket()
    keys = sorted(["sp ace", "plus+", "a&b<c>", "new\nline", "\x01", "100%", "日本", "tab\t/x"], key=str.encode)
    for key in keys:
        s3.put_object(Bucket=name, Key=key, Body=b"")
    assert shape(s3.list_objects_v2(Bucket=name))[0] == keys  # boto3 asks for encoding-type=url
    assert shape(s3.list_objects(Bucket=name))[0] == keys
    assert shape(s3.list_objects_v2(Bucket=name, Delimiter="/"))[1] == ["tab\t/"]


def test_buckets(wick, s3):
    name = wick.bucket()
    listed = s3.list_buckets()
    assert name in [b["Name"] for b in listed["Buckets"]] and listed["Owner"]["ID"]
