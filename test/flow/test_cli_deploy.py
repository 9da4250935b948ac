"""wick deploy: everything it takes, again and again, and what it refuses."""
import io
import json
import shutil
import subprocess
import urllib.request
import uuid

from PIL import Image

from conftest import ROOT, make_zip, until

ECHO = "def lambda_handler(event, context):\n    import os\n    return {'event': event, 'colour': os.environ.get('COLOUR')}\n"


def unique():
    return "d-" + uuid.uuid4().hex[:10]


def configuration(wick, name):
    return wick.client("lambda").get_function_configuration(FunctionName=name)


def test_file_folder_zip(wick, tmp_path):
    name = unique()
    folder = tmp_path / name
    folder.mkdir()
    (folder / "handler.py").write_text(ECHO)
    for path in (folder, folder / "handler.py"):
        done = wick.run("deploy", path)
        assert done.returncode == 0 and name in done.stdout and "Try:" in done.stdout, done
    assert configuration(wick, name)["Handler"] == "handler.lambda_handler"
    package = tmp_path / (name + "z.zip")
    package.write_bytes(make_zip({"app.py": "handler = lambda event, context: 7\n"}))
    assert wick.run("deploy", package).returncode == 0
    assert configuration(wick, name + "z")["Handler"] == "app.handler"
    assert wick.run("invoke", name + "z").stdout.strip() == "7"


def test_update(wick, tmp_path):
    name = unique()
    source = tmp_path / f"{name}.py"
    source.write_text(ECHO)
    made = wick.run("deploy", source, "--memory", 256, "--timeout", 7, "--env", "COLOUR=blue", "--tag", "a=b")
    assert made.stdout.startswith(f"Created function {name}"), made
    conf = configuration(wick, name)
    assert (conf["MemorySize"], conf["Timeout"]) == (256, 7)
    assert json.loads(wick.run("invoke", name).stdout)["colour"] == "blue"
    assert wick.run("deploy", source).stdout.startswith("Unchanged: function")
    assert configuration(wick, name)["RevisionId"] == conf["RevisionId"]
    source.write_text("def lambda_handler(event, context):\n    return 'new'\n")
    assert wick.run("deploy", source).stdout.startswith("Updated function")
    assert json.loads(wick.run("invoke", name).stdout) == "new"
    assert configuration(wick, name)["MemorySize"] == 256
    report = json.loads(wick.run("deploy", source, "--memory", 512, "--json").stdout)
    assert report["functions"][0]["action"] == "updated"


def test_on_bucket(wick, tmp_path):
    name, bucket = unique(), "b-" + uuid.uuid4().hex[:10]
    source = tmp_path / f"{name}.py"
    source.write_text("def handler(event, context):\n    print('key', event['Records'][0]['s3']['object']['key'])\n")
    for _ in range(2):
        done = wick.run("deploy", source, "--on", f"s3:{bucket}/in/")
        assert done.returncode == 0 and "Trigger: " in done.stdout, done
    s3 = wick.client("s3")
    assert len(s3.get_bucket_notification_configuration(Bucket=bucket)["LambdaFunctionConfigurations"]) == 1
    s3.put_object(Bucket=bucket, Key="in/x", Body=b"1")
    s3.put_object(Bucket=bucket, Key="out/y", Body=b"1")
    until(lambda: "key in/x" in wick.run("logs", name).stdout, "the trigger")
    assert "s3.amazonaws.com of arn:aws:s3:::" + bucket in wick.run("show", name).stdout
    # Triggers of other tools stay, also when the function goes.
    other = unique()
    wick.deploy(ECHO, handler="app.lambda_handler", name=other)
    conf = s3.get_bucket_notification_configuration(Bucket=bucket)["LambdaFunctionConfigurations"]
    arn = configuration(wick, other)["FunctionArn"]
    wick.client("lambda").add_permission(FunctionName=other, StatementId="s", Action="lambda:InvokeFunction",
                                         Principal="s3.amazonaws.com")
    conf.append({"Id": "mine", "LambdaFunctionArn": arn, "Events": ["s3:ObjectRemoved:*"]})
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={"LambdaFunctionConfigurations": conf})
    assert wick.run("deploy", source, "--on", f"s3:{bucket}/in/").returncode == 0
    assert wick.run("rm", name).returncode == 0
    left = s3.get_bucket_notification_configuration(Bucket=bucket)["LambdaFunctionConfigurations"]
    assert [c["Id"] for c in left] == ["mine"]


def test_thumbnail_example(wick):
    done = wick.run("deploy", ROOT / "examples" / "thumbnail")
    assert done.returncode == 0 and "Output Bucket = photos" in done.stdout, done
    again = wick.run("deploy", ROOT / "examples" / "thumbnail")
    assert "Unchanged: function thumbnail" in again.stdout
    picture = io.BytesIO()
    Image.new("RGB", (640, 480), (200, 30, 30)).save(picture, "PNG")
    s3 = wick.client("s3")
    s3.put_object(Bucket="photos", Key="incoming/red box.png", Body=picture.getvalue())
    found = until(lambda: s3.list_objects_v2(Bucket="photos", Prefix="thumbnails/").get("Contents"), "the thumbnail")
    assert found[0]["Key"] == "thumbnails/red box.jpg"
    small = Image.open(io.BytesIO(s3.get_object(Bucket="photos", Key=found[0]["Key"])["Body"].read()))
    assert small.size == (256, 192)


def test_hello_example(wick):
    assert wick.run("deploy", ROOT / "examples" / "hello").returncode == 0
    assert json.loads(wick.run("invoke", "hello", "--event", '{"name": "Ada"}').stdout)["greeting"] == "Hello, Ada!"


def test_template_parameters(wick, tmp_path):
    folder, bucket = tmp_path / "stack", "b-" + uuid.uuid4().hex[:10]
    shutil.copytree(ROOT / "examples" / "thumbnail", folder)
    template = folder / "template.yaml"
    name = unique()
    template.write_text(template.read_text().replace("FunctionName: thumbnail", f"FunctionName: {name}"))
    done = wick.run("deploy", template, "--parameter", f"BucketName={bucket}", "--parameter", "Size=64")
    assert done.returncode == 0 and f"Output Bucket = {bucket}" in done.stdout, done
    assert configuration(wick, name)["Environment"]["Variables"] == {"SIZE": "64"}
    # The template says everything: what it no longer names goes back to its default.
    text = template.read_text()
    template.write_text(text[:text.index("      MemorySize")] + text[text.index("      Events"):])
    assert wick.run("deploy", template, "--parameter", f"BucketName={bucket}").returncode == 0
    conf = configuration(wick, name)
    assert (conf["MemorySize"], conf["Timeout"]) == (128, 3) and not conf.get("Environment", {}).get("Variables")


def test_runtimes_are_found(wick, tmp_path):
    """Each folder is deployed as what lies in it, and answers."""
    def folder(name, files):
        path = tmp_path / (name + uuid.uuid4().hex[:8])
        path.mkdir()
        for file, text in files.items():
            (path / file).write_text(text)
        return path

    node = folder("node-", {"index.mjs": "export const handler = async (event) => ({got: event});\n"})
    assert "nodejs20.x, index.handler" in wick.run("deploy", node).stdout
    assert json.loads(wick.run("invoke", node.name, "--event", "[1]").stdout) == {"got": [1]}
    own = folder("own-", {})
    subprocess.run(["gcc", "-O1", "-static", "-o", own / "bootstrap", ROOT / "examples" / "provided-c" / "bootstrap.c"], check=True)
    assert "provided.al2023, bootstrap" in wick.run("deploy", own).stdout
    assert json.loads(wick.run("invoke", own.name, "--event", "[1]").stdout) == {"you sent": [1]}
    native = folder("native-", {})
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", f"-I{ROOT / 'include'}", "-o", native / "hello.so",
                    ROOT / "examples" / "native-hello" / "hello.c"], check=True)
    assert "native, hello.so" in wick.run("deploy", native).stdout
    assert json.loads(wick.run("invoke", native.name).stdout)["greeting"] == "Hello from C"
    web = folder("web-", {"server.py": (ROOT / "examples" / "web-hello" / "server.py").read_text()})
    assert "no handler found" in wick.run("deploy", web).stderr
    done = wick.run("deploy", web, "--runtime", "web", "--command", "python3 server.py", "--url", "--timeout", "30")
    assert done.returncode == 0 and f"URL of {web.name}: " in done.stdout, done
    url = done.stdout.split(f"URL of {web.name}: ")[1].split()[0]
    assert json.loads(urllib.request.urlopen(url + "x").read())["path"] == "/x"
    (web / "Procfile").write_text("web: python3 server.py\n")
    assert wick.run("deploy", web).returncode == 0
    assert "web" in wick.run("ls").stdout
    wrong = wick.run("deploy", web, "--runtime", "python3.11", "--command", "x")
    assert wrong.returncode == 1 and "--runtime web" in wrong.stderr
    assert "executable file bootstrap" in wick.run("deploy", node, "--runtime", "provided.al2023").stderr


VERSIONS = """
Resources:
  Tools:
    Type: AWS::Serverless::LayerVersion
    Properties: {{LayerName: {name}-tools, ContentUri: layer/, CompatibleRuntimes: [python3.11]}}
  F:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: {name}
      Runtime: python3.11
      Handler: app.handler
      CodeUri: code/
      Timeout: 30
{more}
Outputs:
  Layer: {{Value: !Ref Tools}}
"""
ALL = """      Layers: [!Ref Tools]
      AutoPublishAlias: live
      ReservedConcurrentExecutions: 5
      ProvisionedConcurrencyConfig: {ProvisionedConcurrentExecutions: 1}
      EphemeralStorage: {Size: 1024}
      Tags: {'wick:idle': 10s}
      FunctionUrlConfig: {AuthType: NONE, Cors: {AllowOrigins: ['*']}}
"""


def test_template_with_versions(wick, tmp_path):
    name = unique()
    (tmp_path / "code").mkdir()
    (tmp_path / "layer" / "python").mkdir(parents=True)
    (tmp_path / "code" / "app.py").write_text("import tool\ndef handler(event, context):\n    return tool.VALUE\n")
    (tmp_path / "layer" / "python" / "tool.py").write_text("VALUE = 1\n")
    template = tmp_path / "template.yaml"
    template.write_text(VERSIONS.format(name=name, more=ALL) + "  Url: {Value: !GetAtt FUrl.FunctionUrl}\n")
    done = wick.run("deploy", template)
    assert done.returncode == 0, done
    assert f"layer:{name}-tools:1" in done.stdout and f"Alias {name}:live is version 1 now" in done.stdout
    url = done.stdout.split("Output Url = ")[1].split()[0]
    assert urllib.request.urlopen(url).read() == b"1"
    lambda_ = wick.client("lambda")
    assert lambda_.get_function_concurrency(FunctionName=name)["ReservedConcurrentExecutions"] == 5
    assert lambda_.get_provisioned_concurrency_config(FunctionName=name, Qualifier="live")["RequestedProvisionedConcurrentExecutions"] == 1
    assert configuration(wick, name)["EphemeralStorage"]["Size"] == 1024
    shown = wick.run("show", name).stdout
    for text in ("live -> version 1", "5 at once", f"layer:{name}-tools:1", url, "wick:idle = 10s"):
        assert text in shown
    # Nothing changed: nothing is published.
    again = wick.run("deploy", template)
    assert "Unchanged: layer" in again.stdout and "Unchanged: alias" in again.stdout and f"Unchanged: function {name}" in again.stdout
    # Another layer makes another version.
    (tmp_path / "layer" / "python" / "tool.py").write_text("VALUE = 2\n")
    more = wick.run("deploy", template)
    assert f"layer:{name}-tools:2" in more.stdout and f"Alias {name}:live is version 2 now" in more.stdout, more
    assert wick.run("invoke", name, "--qualifier", "1").stdout == "1"
    assert wick.run("invoke", name, "--qualifier", "live").stdout == "2"
    # What the template no longer says goes away.
    template.write_text(VERSIONS.format(name=name, more="      Layers: [!Ref Tools]\n      AutoPublishAlias: live"))
    assert wick.run("deploy", template).returncode == 0
    assert "ReservedConcurrentExecutions" not in lambda_.get_function_concurrency(FunctionName=name)
    assert lambda_.list_provisioned_concurrency_configs(FunctionName=name)["ProvisionedConcurrencyConfigs"] == []
    assert lambda_.list_function_url_configs(FunctionName=name)["FunctionUrlConfigs"] == []
    # Versions, aliases and layers go one by one, too.
    assert wick.run("rm", f"{name}:live", f"{name}:1", f"layer:{name}-tools:1").returncode == 0
    assert wick.run("rm", name, f"layer:{name}-tools").returncode == 0
    assert wick.run("rm", f"layer:{name}-tools").returncode == 1


def test_stream(wick):
    name = wick.deploy("def handler(event, context):\n    return {'a': 1}\n")
    done = wick.run("invoke", name, "--stream", "--log")
    assert done.returncode == 0 and json.loads(done.stdout) == {"a": 1} and "REPORT" in done.stderr, done
    bad = wick.deploy("def handler(event, context):\n    raise ValueError('no')\n")
    failed = wick.run("invoke", bad, "--stream")
    assert failed.returncode == 1 and "the function failed" in failed.stderr, failed
    assert wick.run("invoke", "nobody-" + name, "--stream").returncode == 1


def test_refused_templates_deploy_nothing(wick, tmp_path):
    template = tmp_path / "template.yaml"
    name = unique()
    good = (f"Resources:\n  F:\n    Type: AWS::Serverless::Function\n    Properties:\n      FunctionName: {name}\n"
            "      Handler: app.handler\n      Runtime: python3.11\n")
    for extra, message in (
            ("  Q:\n    Type: AWS::SQS::Queue\n", "template.yaml:8: Resources.Q: a resource of type AWS::SQS::Queue"),
            ("      ProvisionedConcurrencyConfig: {}\n", "ProvisionedConcurrencyConfig"),
            ("      VpcConfig: {}\n", "VpcConfig"),
            ("      CodeUri: nowhere/\n", "nowhere"),
            ("      Description: !Ref X\n", "!Ref X"),
            ("      Description: !Nonsense X\n", "Nonsense"),
            ("  : : :\n\t", "template.yaml")):
        template.write_text(good + extra)
        done = wick.run("deploy", template)
        assert done.returncode == 1 and message in done.stderr and not done.stdout, done
    assert wick.run("show", name).returncode == 1


def test_refused(wick, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "nothing.py").write_text("x = 1\n")
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 not a zip")
    (tmp_path / "page.html").write_text("<p>")
    for args, message in (
            (["empty"], "no handler found"),
            (["nothing.py"], "--handler MODULE.FUNCTION"),
            (["broken.zip"], "broken.zip"),
            (["page.html"], "page.html"),
            (["missing.py"], "missing.py"),
            (["nothing.py", "--handler", "a.b", "--memory", "lots"], "--memory lots"),
            (["nothing.py", "--handler", "a.b", "--env", "K"], "NAME=VALUE"),
            (["nothing.py", "--handler", "a.b", "--on", "sqs:x"], "s3:BUCKET"),
            (["nothing.py", "--handler", "a.b", "--memory", "1"], "emory")):
        done = wick.run("deploy", *args, cwd=tmp_path)
        assert done.returncode == 1 and message in done.stderr, (args, done)
    assert wick.run("deploy").returncode == 2
