"""Makes a thumbnail of every picture that is uploaded: incoming/x.png becomes thumbnails/x.jpg in the same bucket."""
import io
import os
import pathlib
import urllib.parse

import boto3
from PIL import Image, ImageOps

SIZE = int(os.environ.get("SIZE", "256"))

s3 = boto3.client("s3")


def lambda_handler(event, context):
    made = []
    for record in event["Records"]:
        bucket = record["s3"]["bucket"]["name"]
        key = urllib.parse.unquote_plus(record["s3"]["object"]["key"])
        picture = Image.open(io.BytesIO(s3.get_object(Bucket=bucket, Key=key)["Body"].read()))
        before = picture.size
        picture = ImageOps.exif_transpose(picture).convert("RGB")
        picture.thumbnail((SIZE, SIZE))
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=85)
        target = f"thumbnails/{pathlib.PurePosixPath(key).stem}.jpg"
        s3.put_object(Bucket=bucket, Key=target, Body=out.getvalue(), ContentType="image/jpeg")
        print(f"{key} {before[0]}x{before[1]} -> {target} {picture.width}x{picture.height}")
        made.append(target)
    return {"made": made}
