// Lambda by the npm SDK: create from a zip, wait, invoke, errors, delete.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { execFileSync } from "node:child_process";
import * as l from "@aws-sdk/client-lambda";

const client = new l.LambdaClient({ maxAttempts: 1 });
const FunctionName = "npm-" + randomUUID();
const source = "def handler(event, context):\n    print('hello from npm')\n    if event.get('fail'):\n        raise ValueError('asked to')\n    return {'got': event}\n";
const ZipFile = execFileSync("/usr/bin/python3", ["-c", "import io,sys,zipfile\nb=io.BytesIO()\nz=zipfile.ZipFile(b,'w')\nz.writestr('app.py',sys.argv[1])\nz.close()\nsys.stdout.buffer.write(b.getvalue())", source]);

await client.send(new l.CreateFunctionCommand({ FunctionName, Runtime: "python3.11", Handler: "app.handler", Role: "arn:aws:iam::000000000000:role/npm", Code: { ZipFile } }));
await l.waitUntilFunctionActiveV2({ client, maxWaitTime: 10 }, { FunctionName });
const ok = await client.send(new l.InvokeCommand({ FunctionName, Payload: JSON.stringify({ n: 1 }), LogType: "Tail" }));
assert.deepEqual(JSON.parse(Buffer.from(ok.Payload).toString()), { got: { n: 1 } });
assert.match(Buffer.from(ok.LogResult, "base64").toString(), /hello from npm[\s\S]*REPORT RequestId: /);
const bad = await client.send(new l.InvokeCommand({ FunctionName, Payload: JSON.stringify({ fail: true }) }));
assert.equal(bad.FunctionError, "Unhandled");
assert.equal(JSON.parse(Buffer.from(bad.Payload).toString()).errorType, "ValueError");
await client.send(new l.DeleteFunctionCommand({ FunctionName }));
await assert.rejects(client.send(new l.InvokeCommand({ FunctionName })), l.ResourceNotFoundException);
