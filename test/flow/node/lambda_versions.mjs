// Versions, aliases, layers, concurrency and function URLs' configurations by the npm SDK.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { execFileSync } from "node:child_process";
import * as l from "@aws-sdk/client-lambda";

const client = new l.LambdaClient({ maxAttempts: 1 });
const FunctionName = "npm-" + randomUUID();
const zip = (name, text) => execFileSync("/usr/bin/python3", ["-c", "import io,sys,zipfile\nb=io.BytesIO()\nz=zipfile.ZipFile(b,'w')\nz.writestr(*sys.argv[1:])\nz.close()\nsys.stdout.buffer.write(b.getvalue())", name, text]);
const ZipFile = zip("app.py", "def handler(event, context):\n    return context.function_version\n");

const layer = await client.send(new l.PublishLayerVersionCommand({ LayerName: FunctionName, Content: { ZipFile: zip("python/x.py", "") }, CompatibleRuntimes: ["python3.11"] }));
assert.equal(layer.Version, 1);
assert.equal((await client.send(new l.GetLayerVersionByArnCommand({ Arn: layer.LayerVersionArn }))).Content.CodeSha256, layer.Content.CodeSha256);
await client.send(new l.CreateFunctionCommand({ FunctionName, Runtime: "python3.11", Handler: "app.handler", Role: "arn:aws:iam::000000000000:role/npm", Code: { ZipFile }, Layers: [layer.LayerVersionArn], Publish: true }));
await l.waitUntilPublishedVersionActive({ client, maxWaitTime: 10 }, { FunctionName, Qualifier: "1" });
await client.send(new l.UpdateFunctionConfigurationCommand({ FunctionName, Timeout: 9 }));
assert.equal((await client.send(new l.PublishVersionCommand({ FunctionName }))).Version, "2");
assert.deepEqual((await client.send(new l.ListVersionsByFunctionCommand({ FunctionName }))).Versions.map((v) => v.Version), ["$LATEST", "1", "2"]);
const alias = await client.send(new l.CreateAliasCommand({ FunctionName, Name: "prod", FunctionVersion: "1", RoutingConfig: { AdditionalVersionWeights: { 2: 0 } } }));
assert.deepEqual(alias.RoutingConfig.AdditionalVersionWeights, { 2: 0 });
const ran = await client.send(new l.InvokeCommand({ FunctionName, Qualifier: "prod" }));
assert.equal(Buffer.from(ran.Payload).toString(), '"1"');
const url = await client.send(new l.CreateFunctionUrlConfigCommand({ FunctionName, Qualifier: "prod", AuthType: "NONE", InvokeMode: "RESPONSE_STREAM", Cors: { AllowOrigins: ["*"], MaxAge: 5 } }));
assert.equal(url.InvokeMode, "RESPONSE_STREAM");
assert.deepEqual((await client.send(new l.ListFunctionUrlConfigsCommand({ FunctionName }))).FunctionUrlConfigs.map((u) => u.FunctionUrl), [url.FunctionUrl]);
await client.send(new l.PutFunctionConcurrencyCommand({ FunctionName, ReservedConcurrentExecutions: 2 }));
assert.equal((await client.send(new l.GetFunctionConcurrencyCommand({ FunctionName }))).ReservedConcurrentExecutions, 2);
await assert.rejects(client.send(new l.GetProvisionedConcurrencyConfigCommand({ FunctionName, Qualifier: "2" })), l.ProvisionedConcurrencyConfigNotFoundException);
await assert.rejects(client.send(new l.DeleteFunctionCommand({ FunctionName, Qualifier: "1" })), l.ResourceConflictException);
await client.send(new l.DeleteFunctionCommand({ FunctionName }));
await client.send(new l.DeleteLayerVersionCommand({ LayerName: FunctionName, VersionNumber: 1 }));
await assert.rejects(client.send(new l.GetAliasCommand({ FunctionName, Name: "prod" })), l.ResourceNotFoundException);
