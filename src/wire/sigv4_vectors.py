"""Writes sigv4_vectors.h: requests signed by botocore, for sigv4_test.c.

    /usr/bin/python3 sigv4_vectors.py >sigv4_vectors.h
"""
import datetime
import hashlib
from unittest import mock
from urllib.parse import quote, urlsplit

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
NOW = datetime.datetime(2026, 1, 31, 12, 0, 0)
HOST = "http://127.0.0.1:9000"
S3, S3_QUERY = botocore.auth.S3SigV4Auth, botocore.auth.S3SigV4QueryAuth
V4, V4_QUERY = botocore.auth.SigV4Auth, botocore.auth.SigV4QueryAuth

ODD_KEYS = ["plain.txt", "with space", "a+b", "tilde~", "excl!*'()", "semi;colon:at@eq=&", "dollar$,", "ümläut/日本語/😀",
            "pct%41", "//double//slash//", "./dot/../segments/.", "back\\slash", "q?mark#hash", "[brackets]{braces}|^`",
            "trailing/", "\x01\x7f", "%2F"]
ODD_QUERIES = ["", "acl", "acl=", "list-type=2&prefix=a%2Fb&delimiter=%2F", "b=2&a=1&a=0&a=", "x=%20%2B%26%3D&X=1",
               "uploads&partNumber=1&uploadId=VXBs%2Fb2Fk", "prefix=%C3%BC%E6%97%A5", "a-b=1&a=2&a.b=3&a_b=4&a~=5",
               "k=" + "v" * 3000, "&".join("p%03d=%d" % (i, i) for i in range(99, -1, -1))]
LAMBDA_PATHS = ["/2015-03-31/functions", "/2015-03-31/functions/thumb/invocations",
                "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A0%3Afunction%3Athumb/invocations",
                "/2015-03-31/functions/thumb:PROD/invocations", "/f/thumb//a/./b/../c/", "/f/%C3%BC%20x/y~z", "",
                "/..", "/a/..", "/.hidden", "/a/."]


def c_string(text):
    out = []
    for byte in text.encode():
        if chr(byte) in '"\\?' or byte < 32 or byte > 126:
            out.append("\\%03o" % byte)
        else:
            out.append(chr(byte))
    return '"%s"' % "".join(out)


def emit(cls, service, method, url, headers=(), body=b"", token=None):
    credentials = Credentials("AKIDEXAMPLE", SECRET, token)
    request = AWSRequest(method=method, url=url, data=body)
    for name, value in headers:
        request.headers.add_header(name, value)
    if cls in (S3_QUERY, V4_QUERY):
        signer = cls(credentials, service, "us-east-1", expires=3600)
    else:
        signer = cls(credentials, service, "us-east-1")
    with mock.patch("botocore.auth.datetime") as clock:
        clock.datetime.utcnow.return_value = NOW
        clock.datetime.strptime = datetime.datetime.strptime
        signer.add_auth(request)
    parts = urlsplit(request.url)
    sent = [(n, v) for n, v in request.headers.items()]
    if not any(n.lower() == "host" for n, _ in sent):
        sent.append(("Host", parts.netloc))
    sent.append(("User-Agent", "test"))
    payload = hashlib.sha256(body).hexdigest()
    if cls is S3_QUERY:
        payload = "UNSIGNED-PAYLOAD"
    for name, value in sent:
        if name.lower() == "x-amz-content-sha256":
            payload = value
    print("{.service = %s, .method = %s, .path = %s,\n .query = %s,\n .payload = %s, .headers = {" % tuple(
        c_string(v) for v in (service, method, parts.path or "/", parts.query, payload)))
    for name, value in sent:
        print("\t{%s, %s}," % (c_string(name), c_string(value)))
    print("}},")


print("/* Made by sigv4_vectors.py with botocore. */")
for key in ODD_KEYS:
    url = HOST + "/bucket/" + quote(key, safe="/~")
    emit(S3, "s3", "GET", url)
    emit(S3_QUERY, "s3", "GET", url)
for query in ODD_QUERIES:
    url = HOST + "/bucket" + ("?" + query if query else "")
    emit(S3, "s3", "GET", url)
    emit(S3_QUERY, "s3", "GET", url, token="IQoJb3JpZ2luX2VjE+/=" + "t" * 700)
emit(S3, "s3", "PUT", HOST + "/bucket/k", body=b"hello", token="tok+/=", headers=[
    ("Content-Type", "text/plain;  charset=utf-8"), ("x-amz-meta-runs", "  a   b \t c  "), ("x-amz-meta-empty", ""),
    ("x-amz-meta-many", "one"), ("x-amz-meta-many", "two,three"), ("X-Amz-Meta-Case", "Value")])
emit(S3_QUERY, "s3", "PUT", HOST + "/bucket/k", headers=[("x-amz-acl", "private"), ("Content-Type", "text/plain")])
for path in LAMBDA_PATHS:
    emit(V4, "lambda", "POST", HOST + path, body=b'{"a": 1}', headers=[("X-Amz-Invocation-Type", "Event")])
    emit(V4_QUERY, "lambda", "GET", HOST + path + "?b=%2B&a=1")
emit(V4, "lambda", "GET", HOST + "/2015-03-31/functions?MaxItems=10&Marker=a%20b", token="token")
