"""A node behind a NAT: it lives in a network namespace of its own, behind a router in another that rewrites its addresses;
links of the kernel that go down and come back. Needs: root, network namespaces, veth, nft."""
import os
import shutil
import subprocess
import uuid

import pytest

from conftest import Wick, until
from remote import APP, Node, in_background, nodes, token, up


# What ip and nft say where the kernel has no namespaces, no veth, no NAT, or will not let us.
LACKING = ("not permitted", "not supported", "Unknown device type", "Could not process rule", "Invalid argument")


def run(*words, **kw):
    return subprocess.run(words, check=True, capture_output=True, text=True, **kw).stdout


class Net:
    """gateway here -- router -- node: 198.18.0.0/30 (RFC 2544's, for tests) on this side of the router, and on the other."""

    def __init__(self):
        tag = uuid.uuid4().hex[:6]
        octet = int(tag[:2], 16)
        self.router, self.home = f"wickr{tag}", f"wickh{tag}"
        self.here, self.near = f"wka{tag}", f"wkb{tag}"  # this machine's end, the router's
        self.far, self.end = f"wkc{tag}", f"wkd{tag}"    # the router's other end, the node's
        self.gate, self.public = f"198.18.{octet}.1", f"198.18.{octet}.2"
        self.made = []
        try:
            self.make()
        except subprocess.CalledProcessError as e:
            self.close()
            if any(words in e.stderr for words in LACKING):
                pytest.skip(f"this kernel has no network namespaces with NAT: {e.stderr}")
            raise

    def make(self):
        for space in (self.router, self.home):
            run("ip", "netns", "add", space)
            self.made.append(space)
        run("ip", "link", "add", self.here, "type", "veth", "peer", "name", self.near, "netns", self.router)
        run("ip", "-n", self.router, "link", "add", self.far, "type", "veth", "peer", "name", self.end, "netns", self.home)
        run("ip", "addr", "add", self.gate + "/30", "dev", self.here)
        run("ip", "link", "set", self.here, "up")
        for space, device, address in ((self.router, self.near, self.public + "/30"), (self.router, self.far, "198.19.0.1/30"),
                                       (self.home, self.end, "198.19.0.2/30")):
            run("ip", "-n", space, "addr", "add", address, "dev", device)
            run("ip", "-n", space, "link", "set", device, "up")
            run("ip", "-n", space, "link", "set", "lo", "up")
        run("ip", "-n", self.home, "route", "add", "default", "via", "198.19.0.1")
        run("ip", "netns", "exec", self.router, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
        run("ip", "netns", "exec", self.router, "nft", "-f", "-",
            input=f"table ip nat {{ chain out {{ type nat hook postrouting priority 100; oifname {self.near} masquerade; }}; }}\n")

    def set(self, space, device, state):
        run("ip", *(["-n", space] if space else []), "link", "set", device, state)
        if device == self.end and state == "up":
            run("ip", "-n", self.home, "route", "replace", "default", "via", "198.19.0.1")

    def close(self):
        for space in self.made:
            subprocess.run(["ip", "netns", "del", space], capture_output=True)
        subprocess.run(["ip", "link", "del", self.here], capture_output=True)


class NodeThere(Node):
    """`wick node` in a namespace; its own processes are found as everywhere."""

    def __init__(self, space, *args):
        self.space = space
        super().__init__(*args)

    def command(self):
        return ["ip", "netns", "exec", self.space]


@pytest.fixture
def net():
    if os.getuid() or not shutil.which("ip") or not shutil.which("nft"):
        pytest.skip("needs root, ip and nft")
    n = Net()
    yield n
    n.close()


@pytest.fixture
def pair(net, tmp_path):
    """A gateway on the near side, and a node of it behind the router."""
    wick = node = None
    try:
        wick = Wick(tmp_path / "gate", "--nodes", net.gate + ":0", "--worker-memory", "1m")
        words = token(wick)
        words[words.index("--join") + 1] = net.gate + ":" + words[words.index("--join") + 1].rsplit(":", 1)[1]
        node = NodeThere(net.home, tmp_path / "gpu1", *words, "--name", "gpu1")
        up(wick, "gpu1")
        yield wick, node
    finally:
        if node:
            node.stop()
        if wick:
            wick.stop()
    assert not node.reports() and not wick.sanitizer_reports()


def test_behind_a_nat(pair, net):
    wick, node = pair
    assert nodes(wick)["gpu1"]["address"].rsplit(":", 1)[0] == net.public
    name = wick.deploy(APP)
    assert wick.invoke(name)[0]["id"]


@pytest.mark.waits
@pytest.mark.parametrize("where", ["gateway's", "node's"])
def test_a_link_goes_down(pair, net, where):
    """No connection is closed by it: both sides find out by their keepalive."""
    wick, node = pair
    link = (None, net.here) if where == "gateway's" else (net.home, net.end)
    name = wick.deploy(APP, Timeout=60)
    before = wick.invoke(name)[0]["id"]
    box, t = in_background(lambda: wick.invoke(name, {"sleep": 1, "n": "during"}))
    until(lambda: "ran during" in wick.run("logs", name).stdout, "it to run")
    net.set(*link, "down")
    until(lambda: nodes(wick)["gpu1"]["state"] == "away", "the node to be away")
    net.set(*link, "up")
    t.join(60)
    assert box and box[0][0]["id"] == before
    assert wick.run("logs", name).stdout.count("ran during") == 1
    up(wick, "gpu1")
    assert wick.invoke(name)[0]["id"] == before
