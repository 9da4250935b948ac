"""wick serve: settings, the data folder, restarts, and how it ends."""
import os
import pathlib
import signal
import socket
import stat
import subprocess

import pytest

from conftest import BUILD, until

SLOW = "import time\ndef handler(event, context):\n    print('began', flush=True)\n    time.sleep(1)\n    return 'whole'\n"


def serve(*args, **kw):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "WICK_"))}
    env.update(kw.pop("env", {}))
    return subprocess.run([BUILD / "wick", "serve", *map(str, args)], capture_output=True, text=True, timeout=60, env=env,
                          stdin=subprocess.DEVNULL, **kw)


def test_data_folder(new_wick):
    wick = new_wick()
    assert stat.S_IMODE(wick.data.stat().st_mode) == 0o700
    for name in ("credentials", "master.key"):
        assert stat.S_IMODE((wick.data / name).stat().st_mode) == 0o600
    access, secret = wick.keys
    assert len(access) == 20 and access.startswith("AKIA") and len(secret) == 40
    assert secret not in wick.log()
    wick.stop()
    wick.start()
    assert wick.keys == (access, secret)


def test_second_start(new_wick):
    wick = new_wick()
    second = serve("--data", wick.data, "--listen", "127.0.0.1:0")
    assert second.returncode == 1
    assert f"wick is already running on {wick.data} (pid {wick.process.pid})" in second.stderr
    assert wick.run("ls").returncode == 0


def test_port_in_use(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = serve("--data", tmp_path / "d", "--listen", f"127.0.0.1:{port}")
    assert done.returncode == 1 and f"127.0.0.1:{port} is in use" in done.stderr and "--listen" in done.stderr


def test_bad_data_folder(tmp_path):
    (tmp_path / "file").write_text("x")
    done = serve("--data", tmp_path / "file")
    assert done.returncode == 1 and "is not a folder" in done.stderr
    done = serve("--data", tmp_path / "file" / "below")
    assert done.returncode == 1 and "cannot be made" in done.stderr
    done = serve("--data", tmp_path / ("x" * 120), "--listen", "127.0.0.1:0")
    assert done.returncode == 1 and "too long" in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_data_folder(tmp_path):
    folder = tmp_path / "d"
    folder.mkdir(mode=0o500)
    done = serve("--data", folder)
    assert done.returncode == 1 and "cannot be used" in done.stderr


def test_settings(tmp_path, new_wick):
    config = tmp_path / "wick.yaml"
    for text, message in (("listn: x\n", "did you mean 'listen'?"), ("drain: soon\n", "drain"), ("- a\n", "NAME: VALUE"),
                          ("a: [\n", "wick.yaml"), ("log_level: loud\n", "loud"), ("account: 12\n", "12 digits"),
                          ("data: x\n", "--data")):
        config.write_text(text)
        done = serve("--config", config, "--data", tmp_path / "d")
        assert done.returncode == 2 and message in done.stderr, done
    assert "did you mean --listen?" in serve("--lisen", "x").stderr
    assert serve("--config", tmp_path / "missing").returncode == 2
    assert "--price-request" in serve("--help").stdout
    # A flag wins over the environment, that over the file.
    config.write_text("region: from-file\naccount: 111111111111\nconcurrency: 77\n")
    wick = new_wick("--config", config, "--region", "from-flag", env={"WICK_ACCOUNT": "222222222222"})
    access, secret = wick.keys
    env = {**wick.env, "AWS_REGION": "from-flag"}
    assert '"AWS_REGION": "from-flag"' in wick.run("env", "--data", wick.data, "--json").stdout
    settings = wick.data / "run"
    assert (settings / "account").read_text().strip() == "222222222222"
    assert wick.run("ls", env=env).returncode == 0


@pytest.mark.parametrize("program", ["wick-gate", "wick-node"])
def test_restart(new_wick, program):
    wick = new_wick()
    name = wick.deploy("def handler(event, context):\n    return 1\n")
    old = until(lambda: wick.pids(program), program)
    os.kill(old[0], signal.SIGKILL)
    until(lambda: [p for p in wick.pids(program) if p != old[0]], f"{program} to be started again")
    until(lambda: wick.run("invoke", name).stdout == "1", "an invocation after the restart")
    assert f"{program} was killed by signal 9 (Killed); starting it again in 100 ms" in wick.log()


def test_killed_supervisor(new_wick):
    wick = new_wick()
    name = wick.deploy("def handler(event, context):\n    return 1\n")
    children = wick.pids("wick-gate") + wick.pids("wick-node")
    assert len(children) == 2
    wick.process.kill()
    wick.process.wait()

    def gone(pid):
        try:
            return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
        except OSError:
            return True

    until(lambda: all(gone(pid) for pid in children), "gate and node to end with their supervisor")
    wick.start()
    assert wick.run("invoke", name).stdout == "1"


def test_term_drains(new_wick):
    wick = new_wick()
    name = wick.deploy(SLOW)
    call = subprocess.Popen([BUILD / "wick", "invoke", name], stdout=subprocess.PIPE, text=True, env=wick.env)
    until(lambda: "began" in wick.run("logs", name).stdout, "the function to begin")
    wick.process.send_signal(signal.SIGTERM)
    assert call.communicate(timeout=60)[0] == '"whole"'
    assert wick.process.wait(60) == 0
    assert "stopped" in wick.log()


def test_second_signal_ends_at_once(new_wick):
    wick = new_wick()
    name = wick.deploy("import time\ndef handler(event, context):\n    print('began', flush=True)\n    time.sleep(600)\n",
                       Timeout=900)
    call = subprocess.Popen([BUILD / "wick", "invoke", name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=wick.env)
    until(lambda: "began" in wick.run("logs", name).stdout, "the function to begin")
    wick.process.send_signal(signal.SIGTERM)
    until(lambda: "stopping" in wick.log(), "the first signal to be seen")
    wick.process.send_signal(signal.SIGTERM)
    wick.process.wait(20)
    call.communicate(timeout=20)
    assert call.returncode == 1 and "ending at once" in wick.log()


def test_notify(tmp_path, new_wick):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(str(tmp_path / "notify"))
        s.settimeout(60)
        wick = new_wick(env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert s.recv(100) == b"READY=1"
        wick.stop()
        assert s.recv(100) == b"STOPPING=1"
