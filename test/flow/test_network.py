"""wick-net, the network of a worker with wick:network=internet, between three network namespaces: a box, a machine (in
which wick-net runs) and the world. The world has a public address with a web and a name server, and a private one
on the network it shares with the machine.
Needs: root, iproute2, util-linux, /dev/net/tun; the built wick-net."""
import fcntl
import http.server
import os
import pathlib
import select
import socket
import subprocess
import sys
import threading
import time

import pytest

import lane
from conftest import until

PROGRAM = lane.BUILD / "src/node/wick-net"
PUBLIC, WORLD, MACHINE, RESOLVER = "93.184.216.34", "192.168.77.2", "192.168.77.1", "10.0.2.3"
pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not os.path.exists("/dev/net/tun"),
                                reason="needs root and /dev/net/tun")

SERVERS = """
import http.server, socket, socketserver, sys, threading
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        n = int(self.path[1:] or 0)
        self.send_response(200)
        self.send_header("Content-Length", str(n + 5))
        self.end_headers()
        self.wfile.write(b"hello" + b"x" * n)
    def do_POST(self):
        n = len(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", str(len(str(n))))
        self.end_headers()
        self.wfile.write(str(n).encode())
    def log_message(self, *args): pass
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 256
http = Server(("0.0.0.0", 80), Handler)
threading.Thread(target=http.serve_forever, daemon=True).start()
tcp = socket.create_server(("0.0.0.0", 53))
def names(address):
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind((address, 53))
    while True:
        query, who = udp.recvfrom(4096)
        udp.sendto(b"udp:" + query, who)
def names_tcp():
    while True:
        c, _ = tcp.accept()
        c.sendall(b"tcp:" + c.recv(4096))
        c.close()
for address in sys.argv[1:]:
    threading.Thread(target=names, args=(address,), daemon=True).start()
threading.Thread(target=names_tcp, daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"""

# What is tried from within the box: one line of answer each.
PROBE = """
import http.client, socket, sys, time
what, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
begun = time.monotonic()
try:
    if what == "get":
        c = http.client.HTTPConnection(address, port, timeout=20)
        c.request("GET", "/" + sys.argv[4])
        print("ok", len(c.getresponse().read()))
    elif what == "post":
        c = http.client.HTTPConnection(address, port, timeout=20)
        c.request("POST", "/", bytes(int(sys.argv[4])))
        print("ok", c.getresponse().read().decode())
    elif what == "udp":
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.settimeout(20)
        s.connect((address, port))
        s.send(b"question")
        print("ok", s.recv(100).decode())
    elif what == "tcp":
        s = socket.create_connection((address, port), timeout=20)
        s.sendall(b"question")
        print("ok", s.recv(100).decode())
except OSError as e:
    print(type(e).__name__, e)
"""


class Space:
    """A process with namespaces of its own, in which others run."""

    def __init__(self, *flags, prefix=()):
        self.process = subprocess.Popen([*prefix, "unshare", *flags, "sh", "-c", "echo; exec cat"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == b"\n"
        self.pid = self.process.pid

    def command(self, *command, mount=False):
        return ["nsenter", "-t", str(self.pid), "-n", *(["-m"] if mount else []), *map(str, command)]

    def run(self, *command, **kw):
        return subprocess.run(self.command(*command, **kw), check=True, capture_output=True, text=True).stdout.strip()

    def stop(self):
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """A machine with servers of its own, in a world with servers."""
    world, machine = Space("-n"), Space("-n", "-m")
    conf = tmp_path_factory.mktemp("net") / "resolv.conf"
    conf.write_text("nameserver %s\n" % WORLD)
    subprocess.run(["ip", "link", "add", "world", "netns", str(machine.pid), "type", "veth", "peer", "name", "machine",
                    "netns", str(world.pid)], check=True)
    for space, name, addresses in ((world, "machine", (WORLD, PUBLIC)), (machine, "world", (MACHINE,))):
        for address in addresses:
            space.run("ip", "addr", "add", address + "/24" if address != PUBLIC else address + "/32", "dev", name)
        space.run("ip", "link", "set", name, "up")
        space.run("ip", "link", "set", "lo", "up")
    machine.run("ip", "route", "add", "default", "via", WORLD)
    machine.run("mount", "--make-rprivate", "/", mount=True)
    machine.run("mount", "--bind", conf, os.path.realpath("/etc/resolv.conf"), mount=True)
    servers = []
    for space, addresses in ((world, (WORLD, PUBLIC)), (machine, (MACHINE, "127.0.0.1"))):
        s = subprocess.Popen(space.command(sys.executable, "-c", SERVERS, *addresses), stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)
        servers.append(s)
        assert s.stdout.readline() == b"ready\n"
    yield machine
    for s in servers:
        s.stdin.close()
        s.stdout.close()
        s.kill()
        s.wait()
    machine.stop()
    world.stop()


class Net:
    """A box, and wick-net as the node starts it."""

    def __init__(self, machine, *args, prefix=(), box_prefix=()):
        self.box = Space("-U", "-n", prefix=box_prefix)
        pidfd = os.pidfd_open(self.box.pid)
        self.go, go = os.pipe()
        self.lifetime, lifetime = socket.socketpair()
        moved = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in (pidfd, go, lifetime.fileno())]

        def fds():
            for i, fd in enumerate(moved):
                os.dup2(fd, 3 + i)
                os.close(fd)

        command = [*prefix, str(PROGRAM), *args]
        self.process = subprocess.Popen(machine.command(*command, mount=True), preexec_fn=fds, close_fds=False,
                                        stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        for fd in (pidfd, go, *moved):
            os.close(fd)
        lifetime.close()

    def up(self):
        """True once the network is; False where it never will be."""
        assert select.select([self.go], [], [], 20)[0]
        self.said = os.read(self.go, 4096)
        return self.said == b"\0"

    def probe(self, *what):
        return self.box.run(sys.executable, "-c", PROBE, *what)

    def wait(self):
        self.process.wait(20)
        return self.process.stderr.read().decode()

    def stop(self):
        self.lifetime.close()
        try:
            self.process.wait(20)
        finally:
            self.process.kill()
            self.process.wait()
        self.process.stderr.close()
        os.close(self.go)
        self.box.stop()


@pytest.fixture
def net(machine):
    made = []

    def make(*args, up=True, **kw):
        made.append(Net(machine, *args, **kw))
        assert made[-1].up() == up
        return made[-1]

    yield make
    for n in made:
        n.stop()


def test_public_addresses_are_reached(net):
    n = net()
    assert n.probe("get", PUBLIC, 80, 0) == "ok 5"
    assert n.probe("get", PUBLIC, 80, 30000000) == "ok 30000005"
    assert n.probe("post", PUBLIC, 80, 30000000) == "ok 30000000"
    assert n.probe("udp", PUBLIC, 53) == "ok udp:question"
    addresses = n.box.run("ip", "-br", "addr")
    assert "10.0.2.100/24" in addresses and "65520" in n.box.run("ip", "link")


REFUSED = "OSError [Errno 113] No route to host"


@pytest.mark.parametrize("address", [WORLD, MACHINE, "10.0.2.2", "169.254.169.254", "172.17.0.1", "10.1.2.3"])
def test_private_addresses_are_refused_at_once(net, address):
    n = net()
    begun = time.monotonic()
    assert n.probe("get", address, 80, 0) == REFUSED
    assert n.probe("udp", address, 53) == REFUSED
    assert time.monotonic() - begun < 15  # a connect that nobody answers takes two minutes


def test_loopback_of_the_machine(net):
    n = net("--allow", "0.0.0.0/0")
    assert n.probe("get", MACHINE, 80, 0) == "ok 5"  # allowed by name
    assert n.probe("get", "127.0.0.1", 80, 0).startswith(("OSError", "ConnectionRefusedError"))
    assert n.probe("get", "10.0.2.2", 80, 0) != "ok 5"  # the stack's own address is nobody's


# A frame on the device itself, as no function can make it.
FRAME = """
import socket, struct, sys
def checksum(b):
    s = sum(struct.unpack(">%dH" % (len(b) // 2), b))
    return ~((s & 0xffff) + (s >> 16)) & 0xffff
to = socket.inet_aton(sys.argv[1])
ours = socket.inet_aton("10.0.2.100")
tcp = struct.pack(">HHIIBBHHH", 40000, 80, 1, 0, 0x50, 2, 65535, 0, 0)
tcp = tcp[:16] + struct.pack(">H", checksum(ours + to + struct.pack(">HH", 6, len(tcp)) + tcp)) + tcp[18:]
ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 40, 1, 0, 64, 6, 0, ours, to)
ip = ip[:10] + struct.pack(">H", checksum(ip)) + ip[12:]
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.bind(("eth0", 0))
s.settimeout(20)
s.send(b"\\x52\\x55\\x0a\\0\\2\\2" + s.getsockname()[4] + b"\\x08\\0" + ip + tcp)
while True:
    frame = s.recv(2000)
    if frame[12:14] == b"\\x08\\0" and frame[30:34] == ours:
        print("icmp %d %d" % (frame[34], frame[35]) if frame[23] == 1 else "tcp %#x" % frame[47])
        break
"""


@pytest.mark.parametrize("address, answer", [
    (PUBLIC, "tcp 0x12"), ("127.0.0.1", "icmp 3 13"), ("127.255.255.254", "icmp 3 13"), ("0.0.0.0", "icmp 3 13"),
    (MACHINE, "icmp 3 13"), (WORLD, "icmp 3 13"), ("10.0.2.2", "icmp 3 13")])
def test_frames_made_by_hand(net, address, answer):
    n = net("--allow", "127.0.0.0/8")
    assert n.box.run(sys.executable, "-c", FRAME, address) == answer


def test_networks_that_are_allowed(net):
    n = net("--allow", "172.30.0.0/16, 192.168.77.2/32")
    assert n.probe("get", WORLD, 80, 0) == "ok 5"
    assert n.probe("get", MACHINE, 80, 0) == REFUSED
    assert n.probe("get", PUBLIC, 80, 0) == "ok 5"


def test_resolver(net):
    n = net()
    assert n.probe("udp", RESOLVER, 53) == "ok udp:question"
    assert n.probe("tcp", RESOLVER, 53) == "ok tcp:question"
    assert n.probe("get", RESOLVER, 80, 0) == REFUSED


def test_many_connections(net):
    n = net()
    script = ("import socket\nall = [socket.create_connection(('%s', 80), timeout=20) for _ in range(200)]\n"
              "for s in all: s.sendall(b'GET /0 HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n')\n"
              "print(sum(b'hello' in b''.join(iter(lambda: s.recv(4096), b'')) for s in all))" % PUBLIC)
    assert n.box.run(sys.executable, "-c", script) == "200"


def test_has_no_rights(net):
    n = net()
    pid = n.process.pid
    status = pathlib.Path("/proc/%d/status" % pid).read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines())
    assert fields["CapEff"] == fields["CapPrm"] == "0" * 16
    assert fields["NoNewPrivs"] == "1" and fields["Seccomp"] == "2"
    assert set(fields["Uid"].split()) == {"65534"} and fields["Groups"].strip() == ""
    assert len(os.listdir("/proc/%d/fd" % pid)) < 12


def test_ends_with_its_worker(net):
    n = net()
    n.box.process.kill()
    assert n.wait() == "" and n.process.returncode == 0


def test_ends_with_the_node(net):
    n = net()
    n.lifetime.shutdown(socket.SHUT_RDWR)
    assert n.wait() == "" and n.process.returncode == 0


@pytest.mark.parametrize("args, words", [
    (["--allow", "10.0.0.0/33"], "--allow: 10.0.0.0/33: a prefix has 0 to 32 bits"),
    (["--allow", "intranet"], "--allow: intranet is no network: 10.1.0.0/16 or fd00::/8 would be"),
    (["--allow"], "--allow needs networks, with commas between"),
    (["--nonsense"], "unknown argument --nonsense (this program is started by wick-node)")])
def test_bad_arguments(net, args, words):
    n = net(*args, up=False)
    assert n.wait() == words + "\n" and n.process.returncode == 1
    assert n.said.decode() == words


def test_device_that_cannot_be_opened(net):
    hide = ("unshare", "-m", "sh", "-c", 'mount -t tmpfs none /dev/net && exec "$@"', "-")
    n = net(up=False, prefix=hide)
    assert n.wait() == ("open /dev/net/tun: the kernel module is missing (modprobe tun): No such file or directory\n")
    assert n.process.returncode == 1
    n = net(up=False, prefix=ORDINARY)
    assert n.wait().startswith("enter the network of the box: ")  # it is not his


ORDINARY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")


def test_as_an_ordinary_user(net, tmp_path):
    """Who may open the device, and owns the box."""
    n = net(up=False, prefix=ORDINARY, box_prefix=ORDINARY)
    assert n.wait() == ("open /dev/net/tun: who runs Wick may not (chmod 0666 /dev/net/tun): Permission denied\n")
    device = tmp_path / "tun"
    os.mknod(device, 0o20666, os.makedev(10, 200))
    os.chmod(device, 0o666)
    n = net(prefix=("unshare", "-m", "sh", "-c", 'mount --bind %s /dev/net/tun && exec "$@"' % device, "-", *ORDINARY),
            box_prefix=ORDINARY)
    assert n.probe("get", PUBLIC, 80, 0) == "ok 5"
    assert n.probe("get", WORLD, 80, 0) == REFUSED


# --- through a server ---

HANDLER = """
import json, socket, subprocess
def handler(event, context):
    answers = []
    for host, port in event:
        try:
            with socket.create_connection((host, port), timeout=20) as s:
                s.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
                answers.append(s.recv(100).decode().split(" ")[1])
        except OSError as e:
            answers.append(type(e).__name__ + " " + str(e.errno))
    return answers
"""


@pytest.fixture
def server_here():
    """A web server on every address of this machine: [(one that is not loopback, port)]."""
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        probe.connect((PUBLIC, 53))
    except OSError:
        pytest.skip("this machine has no address but its loopback")
    address = probe.getsockname()[0]
    probe.close()
    server = http.server.ThreadingHTTPServer(("0.0.0.0", 0), http.server.SimpleHTTPRequestHandler)
    server.RequestHandlerClass.log_message = lambda *args: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield address, server.server_port
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("network", ["internet", "gateway", "none"])
def test_function(new_wick, server_here, network):
    address, port = server_here
    wick = new_wick("--internet-allow", address + "/32")
    name = wick.deploy(HANDLER, Tags={"wick:network": network})
    here, loopback, private, metadata = wick.invoke(
        name, [[address, port], ["127.0.0.1", port], ["10.0.2.2", port], ["169.254.169.254", 80]])[0]
    if network == "internet":
        assert here == "200"
        assert (private, metadata) == ("OSError 113", "OSError 113")
    else:
        assert (here, private, metadata) == ("OSError 101",) * 3  # no network at all
    assert loopback == "ConnectionRefusedError 111"  # the box's own, where nobody listens


def helpers(wick):
    """The wick-net processes of a server."""
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            name, rest = stat.read_text().split("(", 1)[1].rsplit(")", 1)
        except OSError:
            continue
        if name == "wick-net" and int(rest.split()[1]) in wick.pids("wick-node"):
            found.append(int(stat.parent.name))
    return found


def test_function_without_allowed_networks(new_wick, server_here):
    address, port = server_here
    wick = new_wick()
    name = wick.deploy(HANDLER, Tags={"wick:network": "internet"})
    assert wick.invoke(name, [[address, port]])[0] == ["OSError 113"]
    assert len(helpers(wick)) == 1
    wick.client("lambda").delete_function(FunctionName=name)
    until(lambda: not helpers(wick), "the end of the worker's helper")



def test_function_whose_network_fails(new_wick):
    """The reason is the invocation's."""
    wick = new_wick("--internet-allow", "intranet")
    payload, answer = wick.invoke(wick.deploy("def handler(e, c): return 1", Tags={"wick:network": "internet"}))
    assert answer["FunctionError"] and payload["errorType"] == "Sandbox.NetworkFailed"
    assert "intranet is no network" in payload["errorMessage"]
    assert wick.invoke(wick.deploy("def handler(e, c): return 1"))[0] == 1
