"""Bucket events: what a function gets, retries, failures kept and redriven, recursion stopped."""
import json
import time
import urllib.parse

from conftest import until

RECORD = """
import boto3, json
def handler(event, context):
    if "Records" not in event:
        return None
    r = event["Records"][0]
    key = "seen/" + r["s3"]["object"]["key"]
    boto3.client("s3").put_object(Bucket=OUT, Key=key, Body=json.dumps(event))
"""


def watch(wick, bucket, function, events=("s3:ObjectCreated:*",), prefix="", suffix=""):
    rules = [{"Name": n, "Value": v} for n, v in (("prefix", prefix), ("suffix", suffix)) if v]
    conf = {"LambdaFunctionArn": f"arn:aws:lambda:us-east-1:000000000000:function:{function}", "Events": list(events)}
    if rules:
        conf["Filter"] = {"Key": {"FilterRules": rules}}
    wick.client("s3").put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"LambdaFunctionConfigurations": [conf]})


def keys(wick, bucket):
    return [o["Key"] for o in wick.client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])]


def read_json(wick, bucket, key):
    return json.loads(wick.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())


def events(wick, state):
    return json.loads(wick.run("events", f"--{state}", "--json").stdout)["events"]


def test_an_upload_runs_the_function_with_the_event_s3_sends(wick):
    s3, src, out = wick.client("s3"), wick.bucket(), wick.bucket()
    f = wick.deploy(RECORD.replace("OUT", repr(out)))
    watch(wick, src, f, prefix="in/", suffix=".txt")
    etag = s3.put_object(Bucket=src, Key="in/a b+ü.txt", Body=b"hello")["ETag"]
    s3.put_object(Bucket=src, Key="in/other.bin", Body=b"not watched")
    s3.put_object(Bucket=src, Key="elsewhere.txt", Body=b"not watched")
    seen = until(lambda: keys(wick, out), "the function's output")
    assert len(seen) == 1
    record = read_json(wick, out, seen[0])["Records"][0]
    assert record["eventVersion"] == "2.1" and record["eventSource"] == "aws:s3" and record["awsRegion"] == "us-east-1"
    assert record["eventName"] == "ObjectCreated:Put"
    assert record["s3"]["bucket"]["name"] == src and record["s3"]["bucket"]["arn"] == f"arn:aws:s3:::{src}"
    obj = record["s3"]["object"]
    assert urllib.parse.unquote_plus(obj["key"]) == "in/a b+ü.txt" and obj["key"] == "in/a+b%2B%C3%BC.txt"
    assert obj["size"] == 5 and f'"{obj["eTag"]}"' == etag and obj["sequencer"]


def test_removal_copy_and_multipart_are_events_of_their_own(wick):
    s3, src, out = wick.client("s3"), wick.bucket(), wick.bucket()
    f = wick.deploy(RECORD.replace("OUT", repr(out)))
    watch(wick, src, f, events=["s3:ObjectRemoved:*", "s3:ObjectCreated:Copy", "s3:ObjectCreated:CompleteMultipartUpload"])
    s3.put_object(Bucket=src, Key="one", Body=b"1")  # not watched
    s3.copy_object(Bucket=src, Key="two", CopySource={"Bucket": src, "Key": "one"})
    upload = s3.create_multipart_upload(Bucket=src, Key="three")["UploadId"]
    part = s3.upload_part(Bucket=src, Key="three", UploadId=upload, PartNumber=1, Body=b"3")
    s3.complete_multipart_upload(Bucket=src, Key="three", UploadId=upload,
                                 MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    s3.delete_object(Bucket=src, Key="one")
    until(lambda: len(keys(wick, out)) == 3, "three events")
    names = {k: read_json(wick, out, k)["Records"][0]["eventName"] for k in keys(wick, out)}
    assert names == {"seen/one": "ObjectRemoved:Delete", "seen/two": "ObjectCreated:Copy",
                     "seen/three": "ObjectCreated:CompleteMultipartUpload"}


def test_a_failing_event_is_tried_three_times_kept_and_redriven(new_wick):
    wick = new_wick(env={"WICK_RETRY_DELAY": "10ms"})
    s3, src, out = wick.client("s3"), wick.bucket(), wick.bucket()
    f = wick.deploy(f"""
import boto3
def handler(event, context):
    s3 = boto3.client("s3")
    s3.put_object(Bucket={out!r}, Key="try/" + context.aws_request_id + "/" + str(len(s3.list_objects_v2(Bucket={out!r}).get("Contents", []))))
    s3.head_object(Bucket={out!r}, Key="mended")
    s3.put_object(Bucket={out!r}, Key="done")
""")
    watch(wick, src, f)
    s3.put_object(Bucket=src, Key="x", Body=b"")
    failed = until(lambda: events(wick, "failed"), "the event to fail for good")
    assert len(failed) == 1 and failed[0]["function"] == f and failed[0]["attempts"] == 3
    assert "404" in failed[0]["reason"]
    tries = keys(wick, out)
    assert len(tries) == 3 and len({k.split("/")[1] for k in tries}) == 1, "one request id over all tries"
    s3.put_object(Bucket=out, Key="mended", Body=b"")
    redriven = wick.run("events", "--redrive", failed[0]["id"])
    assert redriven.returncode == 0, redriven.stderr
    until(lambda: "done" in keys(wick, out), "the redriven event to succeed")
    until(lambda: not events(wick, "failed") and not events(wick, "queued"), "no event to be left")


def test_a_function_that_triggers_itself_is_stopped_after_16_rounds(wick):
    s3, bucket = wick.client("s3"), wick.bucket()
    f = wick.deploy("""
import boto3, urllib.parse
def handler(event, context):
    r = event["Records"][0]["s3"]
    key = urllib.parse.unquote_plus(r["object"]["key"])
    boto3.client("s3").put_object(Bucket=r["bucket"]["name"], Key=key + "x", Body=b"")
""")
    watch(wick, bucket, f)
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    log = until(lambda: (lambda t: t if "recurs" in t.lower() else None)(wick.run("logs", f).stdout),
                "the log to say that the recursion was stopped", 120)
    assert f in log or bucket in log
    until(lambda: len(keys(wick, bucket)) == 17, "all rounds to be over")
    assert max(keys(wick, bucket), key=len) == "k" + 16 * "x"


def test_async_invocation_is_a_durable_event(wick):
    out = wick.bucket()
    f = wick.deploy(f"""
import boto3
def handler(event, context):
    boto3.client("s3").put_object(Bucket={out!r}, Key=event["key"], Body=context.aws_request_id)
""")
    answer = wick.client("lambda").invoke(FunctionName=f, InvocationType="Event", Payload=json.dumps({"key": "k"}))
    assert answer["StatusCode"] == 202
    until(lambda: keys(wick, out) == ["k"], "the event to run")
    body = wick.client("s3").get_object(Bucket=out, Key="k")["Body"].read().decode()
    assert body == answer["ResponseMetadata"]["RequestId"]


def test_dry_run(wick):
    f = wick.deploy("def handler(event, context):\n    raise SystemExit\n")
    assert wick.client("lambda").invoke(FunctionName=f, InvocationType="DryRun")["StatusCode"] == 204
