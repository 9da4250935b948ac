"""The wick command as a newcomer uses it, against a real server."""
import json
import os
import signal
import subprocess
import uuid

from conftest import BUILD, ROOT, until

ECHO = "def handler(event, context):\n    print('got', event)\n    return event\n"


def test_help_and_suggestions(wick):
    overview = wick.run("--help")
    assert overview.returncode == 0 and "deploy" in overview.stdout and "\033[" not in overview.stdout
    for command in ("serve", "env", "deploy", "invoke", "logs", "ls", "show", "rm", "bill", "events", "doctor", "top", "why", "dev"):
        text = wick.run(command, "--help")
        assert text.returncode == 0 and text.stdout.startswith(f"Usage: wick {command}"), text
        assert "Examples:" in text.stdout
    wrong = wick.run("dploy")
    assert wrong.returncode == 2 and "did you mean 'deploy'?" in wrong.stderr
    wrong = wick.run("invoke", "x", "--evnt", "{}")
    assert wrong.returncode == 2 and "did you mean --event?" in wrong.stderr
    assert wick.run("invoke").returncode == 2
    assert wick.run("invoke", "x", "--event").returncode == 2
    assert wick.run("ls", "extra").returncode == 2


def test_env(wick):
    env = {k: v for k, v in wick.env.items() if not k.startswith("AWS_")}
    text = wick.run("env", "--data", wick.data, env=env)
    shell = subprocess.run(["sh", "-c", f'{text.stdout}\nenv'], capture_output=True, text=True, env=env)
    assert f"AWS_ENDPOINT_URL={wick.url}\n" in shell.stdout
    assert f"AWS_SECRET_ACCESS_KEY={wick.keys[1]}\n" in shell.stdout
    assert json.loads(wick.run("env", "--data", wick.data, "--json", env=env).stdout)["AWS_REGION"] == "us-east-1"
    # Without AWS_* the data folder says all.
    assert wick.run("ls", "--data", wick.data, env=env).returncode == 0
    missing = wick.run("ls", "--data", "/nonexistent", env=env)
    assert missing.returncode == 1 and "wick serve" in missing.stderr


def test_nobody_answers(wick):
    answer = wick.run("ls", env={**wick.env, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"})
    assert answer.returncode == 1 and "is `wick serve` running?" in answer.stderr
    answer = wick.run("ls", env={**wick.env, "AWS_ENDPOINT_URL": "ftp://x"})
    assert answer.returncode == 1 and "http://" in answer.stderr
    answer = wick.run("ls", env={**wick.env, "AWS_SECRET_ACCESS_KEY": "wrong"})
    assert answer.returncode == 1 and "wick env" in answer.stderr and "wrong" not in answer.stderr


def test_invoke(wick, tmp_path):
    name = wick.deploy(ECHO)
    plain = wick.run("invoke", name, "--event", '{"a": 1}')
    assert plain.returncode == 0 and json.loads(plain.stdout) == {"a": 1}
    (tmp_path / "e.json").write_text('{"file": true}')
    assert json.loads(wick.run("invoke", name, "--event", f"@{tmp_path}/e.json").stdout) == {"file": True}
    with open(tmp_path / "e.json") as f:
        assert json.loads(wick.run("invoke", name, "--event", "-", stdin=f).stdout) == {"file": True}
    logged = wick.run("invoke", name, "--log")
    assert "REPORT RequestId" in logged.stderr and "STAGES" in logged.stderr and json.loads(logged.stdout) == {}
    full = json.loads(wick.run("invoke", name, "--json").stdout)
    assert full["status"] == 200 and full["payload"] == {} and "run-us" in full["stages"]
    queued = wick.run("invoke", name, "--async", "--event", '{"later": 1}')
    assert queued.returncode == 0 and queued.stdout.startswith("Queued: request ")
    until(lambda: "later" in wick.run("logs", name).stdout, "the asynchronous run")
    for event in ("{", "@/nonexistent", "[1,"):
        bad = wick.run("invoke", name, "--event", event)
        assert bad.returncode == 1 and "wick: invoke: " in bad.stderr and not bad.stdout
    missing = wick.run("invoke", "nobody-" + uuid.uuid4().hex)
    assert missing.returncode == 1 and "ResourceNotFoundException" in missing.stderr


def test_failed_function(wick):
    name = wick.deploy("def handler(event, context):\n    raise ValueError('no good')\n")
    failed = wick.run("invoke", name)
    assert failed.returncode == 1 and json.loads(failed.stdout)["errorType"] == "ValueError"


def test_record_and_replay(wick, tmp_path):
    name = wick.deploy("def handler(event, context):\n    print(context.client_context)\n"
                       "    return {'id': context.aws_request_id, 'n': event['n'] * 2}\n")
    file = tmp_path / "call.json"
    made = wick.run("invoke", name, "--event", '{"n": 21}', "--client-context", '{"custom": {"a": "b"}}', "--record", file)
    assert made.returncode == 0 and json.loads(made.stdout)["n"] == 42, made
    saved = json.loads(file.read_text())
    assert saved["function"] == name and saved["event"] == {"n": 21} and saved["answer"]["payload"]["n"] == 42
    assert saved["clientContext"] == {"custom": {"a": "b"}} and "run-us" in saved["answer"]["stages"]
    assert file.stat().st_mode & 0o777 == 0o600
    again = wick.run("invoke", "--replay", file, "--check")
    assert again.returncode == 0 and again.stdout == "The same answer\n", again
    other = wick.deploy("def handler(event, context):\n    return {'n': event['n'] * 3}\n")
    differs = wick.run("invoke", other, "--replay", file, "--check")
    assert differs.returncode == 1 and '-     "n": 42' in differs.stdout and '+     "n": 63' in differs.stdout
    assert wick.run("invoke", other, "--replay", file).returncode == 0
    report = json.loads(wick.run("invoke", other, "--replay", file, "--json").stdout)
    assert report["same"] is False and report["now"]["payload"] == {"n": 63}
    # A function that fails in the same way is the same.
    bad = wick.deploy("def handler(event, context):\n    raise ValueError('no')\n")
    assert wick.run("invoke", bad, "--record", file).returncode == 1
    assert wick.run("invoke", "--replay", file, "--check").returncode == 0
    file.write_text("{}")
    broken = wick.run("invoke", "--replay", file)
    assert broken.returncode == 1 and "is no recording" in broken.stderr
    assert wick.run("invoke", "--replay", tmp_path / "none").returncode == 1
    for args in (["--check"], ["--replay", file, "--event", "{}"], ["--async", "--record", file], ["--stream", "--json"]):
        assert wick.run("invoke", name, *args).returncode == 2, args


def test_ls_show_rm(wick):
    name = wick.deploy(ECHO, Environment={"Variables": {"COLOUR": "green"}}, Tags={"team": "a"})
    assert name in wick.run("ls").stdout
    assert name in [f["FunctionName"] for f in json.loads(wick.run("ls", "--json").stdout)]
    shown = wick.run("show", name).stdout
    assert "COLOUR = green" in shown and "team = a" in shown
    assert json.loads(wick.run("show", name, "--json").stdout)["Configuration"]["FunctionName"] == name
    gone = wick.run("rm", name, "nobody-" + name)
    assert gone.returncode == 1 and f"Deleted function {name}" in gone.stdout and "nobody" in gone.stderr
    assert wick.run("show", name).returncode == 1


def test_logs(wick):
    name = wick.deploy("def handler(event, context):\n    print('bell \\x07 and colour \\x1b[31m')\n")
    wick.run("invoke", name)
    text = wick.run("logs", name).stdout
    assert "\\x1b[31m" in text and "\x1b" not in text and "\x07" not in text
    records = [json.loads(line) for line in wick.run("logs", name, "--json").stdout.splitlines()]
    assert any(r["text"].startswith("REPORT ") for r in records) and all(r["at"] > 0 for r in records)
    assert wick.run("logs", name, "--since", "1h").stdout == text
    assert wick.run("logs", name, "--since", "2100-01-01").stdout == ""
    assert wick.run("logs", name, "--since", "soon").returncode == 2


def test_logs_follow(wick):
    name = wick.deploy(ECHO)
    wick.run("invoke", name, "--event", '"first"')
    follow = subprocess.Popen([BUILD / "wick", "logs", name, "-f"], stdout=subprocess.PIPE, text=True, env=wick.env)
    try:
        for wanted in ("first", "second", "third"):
            for line in follow.stdout:
                if "got " + wanted in line:
                    break
            wick.run("invoke", name, "--event", '"second"' if wanted == "first" else '"third"')
        follow.send_signal(signal.SIGINT)
        assert follow.wait(30) == 0
    finally:
        if follow.poll() is None:
            follow.kill()
            follow.wait()


def test_logs_follow_through_a_restart(new_wick):
    wick = new_wick()
    name = wick.deploy(ECHO)
    wick.run("invoke", name, "--event", '"first"')
    follow = subprocess.Popen([BUILD / "wick", "logs", name, "-f", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, env=wick.env)
    try:
        seen = [json.loads(follow.stdout.readline())["text"]]
        while not seen[-1].startswith("REPORT"):
            seen.append(json.loads(follow.stdout.readline())["text"])
        wick.stop()
        assert "the server is away" in follow.stderr.readline()
        wick.start()
        wick.run("invoke", name, "--event", '"second"')
        seen = [json.loads(follow.stdout.readline())["text"]]
        while not seen[-1].startswith("REPORT"):
            seen.append(json.loads(follow.stdout.readline())["text"])
        # Nothing twice, nothing lost.
        assert [t for t in seen if t.startswith("got")] == ["got second"] and seen[0].startswith("START")
    finally:
        follow.kill()
        follow.communicate()


def test_bill(wick):
    name = wick.deploy(ECHO)
    wick.run("invoke", name)
    table = wick.run("bill", "--function", name).stdout.splitlines()
    assert table[0].startswith("FUNCTION") and table[1].split()[:3] == [name, "1", "0"] and "$0.0000" in table[1]
    single = json.loads(wick.run("bill", "--invocations", "--function", name, "--json").stdout)["invocations"]
    assert len(single) == 1 and single[0]["cost_picousd"] > 0
    assert name in wick.run("bill", "--invocations", "--from", "1h", "--function", name).stdout
    assert name not in wick.run("bill", "--invocations", "--to", "2020-01-01").stdout
    assert wick.run("bill", "--from", "soon").returncode == 2


def test_events(new_wick):
    wick = new_wick(env={"WICK_RETRY_DELAY": "1ms"})
    name = wick.deploy("def handler(event, context):\n    raise ValueError('never')\n")
    assert "No events" in wick.run("events").stdout
    wick.run("invoke", name, "--async")
    failed = until(lambda: json.loads(wick.run("events", "--failed", "--json").stdout)["events"], "the event to fail")
    assert failed[0]["function"].startswith(name) and failed[0]["attempts"] == 3
    table = wick.run("events", "--failed").stdout
    assert name in table and "never" in table
    again = wick.run("events", "--redrive", failed[0]["id"])
    assert again.returncode == 0 and "Queued again: 1" in again.stdout
    until(lambda: json.loads(wick.run("events", "--failed", "--json").stdout)["events"], "the event to fail again")
    assert "Queued again: 1" in wick.run("events", "--redrive", "--function", name).stdout
    assert wick.run("events", "--redrive").returncode == 2
    assert wick.run("events", "--failed", "--queued").returncode == 2


def test_doctor_and_completion(wick):
    report = json.loads(wick.run("doctor", "--json").stdout)
    assert {"check": "keys", "verdict": "ok", "seen": "accepted"} in report
    assert "disk space" in wick.run("doctor").stdout
    for shell in ("bash", "zsh", "fish"):
        script = wick.run("completion", shell)
        assert script.returncode == 0 and "deploy" in script.stdout
    assert wick.run("completion", "tcsh").returncode == 2
    bash = wick.run("completion", "bash").stdout
    words = subprocess.run(["bash", "-c", bash + "\nCOMP_WORDS=(wick dep); COMP_CWORD=1; _wick; echo ${COMPREPLY[@]}"],
                           capture_output=True, text=True, env=os.environ)
    assert words.stdout == "deploy\n"
    assert wick.run("version").stdout.startswith("wick ")
    assert ".SH NAME" in wick.run("man", "wick.1").stdout


def test_settings_document_is_what_the_parser_knows(wick):
    """docs/settings.md is made by `wick man settings.md`."""
    assert wick.run("man", "settings.md").stdout == (ROOT / "docs" / "settings.md").read_text()
