// InvokeWithResponseStream and a function URL's configuration by the npm SDK: node stream.mjs FUNCTION
import assert from 'node:assert/strict';
import {CreateFunctionUrlConfigCommand, GetFunctionUrlConfigCommand, InvokeWithResponseStreamCommand,
	LambdaClient} from '@aws-sdk/client-lambda';

const client = new LambdaClient({});
const FunctionName = process.argv[2];

async function invoke(payload, more = {}) {
	const answer = await client.send(new InvokeWithResponseStreamCommand(
		{FunctionName, Payload: JSON.stringify(payload), ...more}));
	assert.equal(answer.StatusCode, 200);
	assert.equal(answer.ExecutedVersion, '$LATEST');
	const pieces = [];
	let complete;
	for await (const event of answer.EventStream) {
		if (event.PayloadChunk)
			pieces.push(Buffer.from(event.PayloadChunk.Payload));
		if (event.InvokeComplete)
			complete = event.InvokeComplete;
	}
	return {pieces, complete, text: Buffer.concat(pieces).toString()};
}

let said = await invoke({path: '/wait'}, {LogType: 'Tail'});
assert.deepEqual(said.pieces.map(String), ['one,', 'two']);
assert.equal(said.complete.ErrorCode, undefined);
assert.match(Buffer.from(said.complete.LogResult, 'base64').toString(), /REPORT RequestId/);

said = await invoke({path: '/boom'});
assert.equal(said.text, 'one,');
assert.equal(said.complete.ErrorCode, 'Unhandled');
assert.equal(JSON.parse(said.complete.ErrorDetails).errorMessage, 'boom');

said = await invoke({path: '/big', n: 64});
assert.equal(said.text.length, 64 << 16);

const made = await client.send(new CreateFunctionUrlConfigCommand(
	{FunctionName, AuthType: 'NONE', InvokeMode: 'RESPONSE_STREAM'}));
const url = (await client.send(new GetFunctionUrlConfigCommand({FunctionName}))).FunctionUrl;
assert.equal(url, made.FunctionUrl);
const response = await fetch(url + 'head');
assert.equal(response.status, 201);
assert.equal(await response.text(), 'one,two');
