"""Runtime clients that were not written here, run as provided runtimes: AWS's own for Node.js (npm aws-lambda-ric), built
from its source. Needs: `npm ci` in test/flow/ric (dev/deps --test), Node.js."""

import json
import shutil
import uuid

import pytest

import shims

RIC = shims.lane.ROOT / "test/flow/ric/node_modules/aws-lambda-ric"
pytestmark = pytest.mark.skipif(not (RIC / "dist/rapid-client.node").exists() or not shutil.which("node"),
                                reason="needs npm ci in test/flow/ric, and Node.js")

APP = r'''
exports.echo = async (event, context) => ({
	event, id: context.awsRequestId, arn: context.invokedFunctionArn, left: context.getRemainingTimeInMillis(),
	name: context.functionName, client: context.clientContext, trace: process.env._X_AMZN_TRACE_ID });
class Mine extends Error { constructor(m) { super(m); this.name = "Mine"; } }
exports.fails = async () => { throw new Mine("no such thing"); };
exports.exits = async () => { process.exit(5); };
exports.streams = awslambda.streamifyResponse(async (event, stream, context) => {
	if (event.status)
		stream = awslambda.HttpResponseStream.from(stream, { statusCode: event.status, headers: { "X-A": "b" } });
	else
		stream.setContentType("text/plain");
	for (let i = 0; i < event.n; i++) {
		const more = stream.write("piece " + i + "\n");
		if (!more) await new Promise((done) => stream.once("drain", done));
	}
	if (event.fails) throw new Mine("in the middle");
	stream.end();
});
'''


@pytest.fixture(scope="module")
def folder():
    with shims.folder_for_all() as path:
        for part in ("bin", "dist", "package.json"):
            to = path / "node_modules/aws-lambda-ric" / part
            to.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if (RIC / part).is_dir() else shutil.copy)(RIC / part, to)
        shims.put(path, "app.js", APP, 0o644)
        shims.put(path, "bootstrap", "#!/bin/sh\nexec %s node_modules/aws-lambda-ric/bin/index.mjs $_HANDLER\n" % shutil.which("node"))
        yield path


@pytest.fixture
def worker(folder):
    made = []

    def start(handler, ready=True):
        made.append(shims.Worker(folder, ["provided"], {"_HANDLER": handler}))
        if ready:
            made[-1].ready()
        return made[-1]

    yield start
    for w in made:
        w.stop()


def test_echo(worker):
    w = worker("app.echo")
    for n in range(10):
        ident = uuid.uuid4().bytes
        doc = w.call(json.dumps({"n": n, "text": "ü" * 1000}).encode(), ident=ident,
                     pairs=[(3, "Root=1-2"), (4, '{"custom":{"a":"b"}}')]).json
        assert doc["event"]["n"] == n and doc["id"] == str(uuid.UUID(bytes=ident)) and doc["name"] == "test"
        assert 0 < doc["left"] <= 30000 and doc["arn"].endswith(":test")
        assert doc["client"] == {"custom": {"a": "b"}} and doc["trace"] == "Root=1-2"


def test_error(worker):
    w = worker("app.fails")
    for _ in range(3):
        answer = w.call()
        assert answer.kind == shims.ERROR and answer.type == "Mine"
        assert answer.json["errorMessage"] == "no such thing" and answer.json["errorType"] == "Mine"


def test_exit(worker):
    w = worker("app.exits")
    w.ask()
    assert w.dies() == 5


def test_streams(worker):
    w = worker("app.streams")
    for _ in range(3):
        head, data, last = w.stream(w.ask(b'{"n": 20000}', stream=True))
        assert head.headers["content-type"] == ["text/plain"]
        assert data.splitlines() == [b"piece %d" % n for n in range(20000)] and last.kind == shims.RESULT
    head, data, last = w.stream(w.ask(b'{"n": 2, "status": 418}', stream=True))
    assert head.number(shims.STATUS) == 418 and head.headers["x-a"] == ["b"] and data == b"piece 0\npiece 1\n"
    head, data, last = w.stream(w.ask(b'{"n": 2, "fails": true}', stream=True))
    assert last.kind == shims.ERROR and "in the middle" in last.json["errorMessage"], (head, data, last)


def test_init_error(worker):
    w = worker("nothing.echo", ready=False)
    error = w.receive()
    assert error.kind == shims.ERROR and error.id == shims.lane.NO_ID
    assert error.type == "Runtime.ImportModuleError" and "nothing" in error.json["errorMessage"]
    assert w.wait() == 1
