// S3 by the npm SDK: default checksums (CRC32 in an aws-chunked trailer for streams), multipart by lib-storage,
// presigned URLs, listing. Endpoint and keys come from the environment.
import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";
import { Readable } from "node:stream";
import * as s3 from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";

const client = new s3.S3Client({ forcePathStyle: true, maxAttempts: 1 });
const Bucket = "npm-" + randomUUID();
const send = (c) => client.send(c);
const text = async (r) => Buffer.from(await r.Body.transformToByteArray()).toString();

await send(new s3.CreateBucketCommand({ Bucket }));
await send(new s3.PutObjectCommand({ Bucket, Key: "a/ü b.txt", Body: "hello", Metadata: { who: "me" }, ContentType: "text/plain" }));
const got = await send(new s3.GetObjectCommand({ Bucket, Key: "a/ü b.txt" }));
assert.equal(await text(got), "hello");
assert.equal(got.Metadata.who, "me");
assert.equal(got.ContentType, "text/plain");

const bytes = randomBytes(300_000);
for (const ChecksumAlgorithm of ["CRC32", "CRC32C", "SHA1", "SHA256"]) {
	await send(new s3.PutObjectCommand({ Bucket, Key: "stream-" + ChecksumAlgorithm, Body: Readable.from([bytes.subarray(0, 100_000), bytes.subarray(100_000)]), ContentLength: bytes.length, ChecksumAlgorithm }));
	const back = await send(new s3.GetObjectCommand({ Bucket, Key: "stream-" + ChecksumAlgorithm, ChecksumMode: "ENABLED" }));
	assert.deepEqual(Buffer.from(await back.Body.transformToByteArray()), bytes);
}

const big = randomBytes(12 << 20);
await new Upload({ client, params: { Bucket, Key: "big", Body: Readable.from(big) }, partSize: 5 << 20 }).done();
const range = await send(new s3.GetObjectCommand({ Bucket, Key: "big", Range: "bytes=5242870-5242889" }));
assert.deepEqual(Buffer.from(await range.Body.transformToByteArray()), big.subarray(5242870, 5242890));

const url = await getSignedUrl(client, new s3.GetObjectCommand({ Bucket, Key: "a/ü b.txt" }), { expiresIn: 60 });
assert.equal(await (await fetch(url)).text(), "hello");

const list = await send(new s3.ListObjectsV2Command({ Bucket, Delimiter: "/" }));
assert.deepEqual(list.CommonPrefixes.map((p) => p.Prefix), ["a/"]);
await send(new s3.CopyObjectCommand({ Bucket, Key: "copy", CopySource: `${Bucket}/big` }));
await assert.rejects(send(new s3.GetObjectCommand({ Bucket, Key: "missing" })), s3.NoSuchKey);
await assert.rejects(send(new s3.HeadObjectCommand({ Bucket, Key: "missing" })), s3.NotFound);
const all = await send(new s3.ListObjectsV2Command({ Bucket }));
const gone = await send(new s3.DeleteObjectsCommand({ Bucket, Delete: { Objects: all.Contents.map((o) => ({ Key: o.Key })) } }));
assert.equal(gone.Deleted.length, all.Contents.length);
await send(new s3.DeleteBucketCommand({ Bucket }));
