"""wick dev: deployed as it is saved, log and stages as they come, keys, and what is left at the end."""
import json
import os
import pty
import select
import signal
import subprocess
import time
import uuid

import pytest

from conftest import BUILD, until

FIRST = "def handler(event, context):\n    print('one', event)\n    return {'answer': 1}\n"


class Dev:
    """`wick dev` in a terminal of its own."""

    def __init__(self, wick, *args):
        self.text = ""
        self.status = None
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(BUILD / "wick", ["wick", "dev", *map(str, args)], {**wick.env, "NO_COLOR": "1", "TERM": "xterm"})

    def read(self, seconds=0.05):
        if select.select([self.fd], [], [], seconds)[0]:
            try:
                self.text += os.read(self.fd, 65536).decode(errors="replace").replace("\r\n", "\n")
            except OSError:
                return False
        return True

    def expect(self, wanted, limit=60):
        """Waits for a text and forgets everything up to its end."""
        end = time.monotonic() + limit
        while wanted not in self.text:
            if time.monotonic() > end or not self.read():
                pytest.fail(f"waited for {wanted!r}, have:\n{self.text}")
        before, _, self.text = self.text.partition(wanted)
        return before

    def key(self, keys):
        os.write(self.fd, keys.encode())

    def end(self, keys="q"):
        self.key(keys)
        while self.read(5):
            pass
        return self.wait()

    def wait(self):
        if self.status is None:
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            os.close(self.fd)
        return self.status


@pytest.fixture
def dev():
    started = []

    def start(*args):
        started.append(Dev(*args))
        return started[-1]

    yield start
    for d in started:
        if d.status is None:
            os.kill(d.pid, signal.SIGKILL)
            d.wait()


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / ("dev-" + uuid.uuid4().hex[:8])
    path.mkdir()
    (path / "app.py").write_text(FIRST)
    return path


def save(path, text):
    """As editors do it: a file beside it, moved over it."""
    new = path.with_name(path.name + "~")
    new.write_text(text)
    new.rename(path)


def test_save_invoke_and_quit(wick, dev, folder):
    d = dev(wick, folder)
    d.expect("deployed")
    d.expect(f"{folder.name}  python3.11  app.handler")
    d.expect("Enter invokes it")
    d.key("\n")
    d.expect("one {}")
    d.expect("run ")
    d.expect('answer    {"answer": 1}')
    save(folder / "app.py", FIRST.replace("one", "two"))
    d.expect("deployed")
    d.key("\n")
    d.expect("two {}")
    d.expect("answer")
    # Somebody else's invocations show up, too, with their stages.
    wick.run("invoke", folder.name, "--event", '{"else": 1}')
    d.expect("two {'else': 1}")
    d.expect("billed")
    assert d.end() == 0
    assert f"{folder.name} stays deployed" in d.text and f"wick rm {folder.name}" in d.text
    assert wick.run("show", folder.name).returncode == 0
    wick.run("rm", folder.name)


def test_syntax_errors_are_told_and_not_deployed(wick, dev, folder):
    d = dev(wick, folder, "--event", '{"k": 1}')
    d.expect("Enter invokes it")
    (folder / "app.py").write_text("def handler(event, context):\n    return (\n")
    d.expect("app.py:2: SyntaxError")
    d.expect("not deployed")
    d.key("\n")
    d.expect("one {'k': 1}")  # what was deployed before
    (folder / "app.py").write_text("def handler(event, context):\n    raise KeyError('gone')\n")
    d.expect("deployed")
    d.key("\n")
    d.expect("failed    KeyError")
    assert d.end("\x03") == 0
    wick.run("rm", folder.name)


def test_begins_with_a_syntax_error(wick, dev, folder):
    (folder / "app.py").write_text(FIRST + "def\n")
    d = dev(wick, folder)
    d.expect("app.py:4: SyntaxError")
    assert wick.run("show", folder.name).returncode == 1
    (folder / "app.py").write_text(FIRST)
    d.expect("Enter invokes it")
    assert d.end() == 0
    wick.run("rm", folder.name)


def test_new_folders_and_many_files(wick, dev, folder):
    d = dev(wick, folder, "--name", folder.name + "x")
    d.expect("Enter invokes it")
    (folder / "lib").mkdir()
    (folder / "lib" / "part.py").write_text("VALUE = 41\n")
    (folder / "app.py").write_text("from lib.part import VALUE\ndef handler(event, context):\n    return VALUE\n")
    d.expect("deployed")
    until(lambda: wick.run("invoke", folder.name + "x").stdout == "41", "the new folder to be deployed")
    (folder / "lib" / "part.py").write_text("VALUE = 42\n")
    until(lambda: wick.run("invoke", folder.name + "x").stdout == "42", "the saved file to be deployed")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "x.pyc").write_text("")
    assert d.end() == 0
    wick.run("rm", folder.name + "x")


TEMPLATE = """
Resources:
  F:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: {name}
      Runtime: python3.11
      Handler: app.handler
      CodeUri: src/
      Timeout: {timeout}
"""


def test_template(wick, dev, tmp_path):
    name = "dev-" + uuid.uuid4().hex[:8]
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "app.py").write_text(FIRST)
    (tmp_path / "template.yaml").write_text(TEMPLATE.format(name=name, timeout=5))
    d = dev(wick, tmp_path)
    d.expect("Enter invokes it")
    save(tmp_path / "src" / "app.py", FIRST.replace("one", "two"))
    d.expect("deployed")
    d.key("\n")
    d.expect("two {}")
    d.expect("answer")
    save(tmp_path / "template.yaml", TEMPLATE.format(name=name, timeout=9))
    d.expect("deployed")
    lambda_ = wick.client("lambda")
    assert lambda_.get_function_configuration(FunctionName=name)["Timeout"] == 9
    save(tmp_path / "template.yaml", TEMPLATE.format(name=name, timeout="soon"))
    d.expect("template.yaml:10: Resources.F.Properties.Timeout: must be a whole number above 0")
    # Somebody deletes it: the next save makes it again.
    save(tmp_path / "template.yaml", TEMPLATE.format(name=name, timeout=9))
    d.expect("there")
    lambda_.delete_function(FunctionName=name)
    save(tmp_path / "src" / "app.py", FIRST.replace("one", "three"))
    d.expect("deployed")
    assert lambda_.get_function_configuration(FunctionName=name)["Timeout"] == 9
    assert d.end() == 0
    wick.run("rm", name)


def test_template_of_several_functions(wick, tmp_path):
    (tmp_path / "app.py").write_text(FIRST)
    text = TEMPLATE.format(name="a", timeout=5).replace("src/", ".")
    (tmp_path / "template.yaml").write_text(text + text.split("Resources:")[1].replace("  F:", "  G:").replace(": a\n", ": b\n"))
    done = wick.run("dev", tmp_path)
    assert done.returncode == 1 and "has 2 functions" in done.stderr, done


def test_goes_on_through_a_restart_and_removes(new_wick, dev, folder):
    wick = new_wick()
    d = dev(wick, folder, "--rm")
    d.expect("Enter invokes it")
    wick.stop()
    d.expect("the server is away")
    save(folder / "app.py", FIRST.replace("one", "three"))
    d.expect("cannot reach")
    wick.start()
    d.expect("deployed")
    d.key("\n")
    d.expect("three {}")
    d.expect("answer")
    assert d.end() == 0
    assert "is deleted" in d.text and wick.run("show", folder.name).returncode == 1


def test_without_a_terminal(wick, folder):
    """Lines of standard input are keys; the terminal of a script is left alone."""
    with subprocess.Popen([BUILD / "wick", "dev", folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                          env=wick.env) as p:
        for line in p.stdout:
            if "Enter invokes it" in line:
                break
        p.stdin.write("\n")
        p.stdin.flush()
        for line in p.stdout:
            if "answer" in line and '{"answer": 1}' in line:
                break
        p.send_signal(signal.SIGTERM)
        assert "stays deployed" in p.stdout.read()
        assert p.wait() == 0
    wick.run("rm", folder.name)


def test_json(wick, folder):
    with subprocess.Popen([BUILD / "wick", "dev", folder, "--json", "--rm"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True, env=wick.env) as p:
        seen = []
        for line in p.stdout:
            seen.append(json.loads(line))
            if "Enter invokes" in seen[-1]["text"]:
                p.stdin.write("\n")
                p.stdin.flush()
            elif seen[-1]["what"] == "answer":
                p.stdin.write("q")
                p.stdin.close()
                break
        seen += [json.loads(line) for line in p.stdout]
        assert p.wait() == 0
    assert all(s["at"] > 0 for s in seen) and [s["what"] for s in seen if s["what"]][0] == "deployed"
    assert any(s["text"] == "one {}" for s in seen) and seen[-1]["what"] == "end"


def test_wrong_use(wick, tmp_path):
    assert wick.run("dev").returncode == 2
    assert wick.run("dev", tmp_path, "--event", "-").returncode == 2
    empty = wick.run("dev", tmp_path)
    assert empty.returncode == 1 and "no handler found" in empty.stderr
    missing = wick.run("dev", tmp_path / "none")
    assert missing.returncode == 1 and "none" in missing.stderr
