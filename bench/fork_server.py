"""The floor for Python: an HTTP server that has loaded what it needs and forks a child for each request, with no box, no
signature, no log. `python3 fork_server.py PORT [MODULES]`; the body's "s" is how long a request sleeps."""
import importlib
import json
import os
import signal
import socket
import sys
import time


def serve(connection):
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            while len(body) < int(line.split(b":")[1]):
                body += connection.recv(65536)
    event = json.loads(body or b"{}")
    time.sleep(event.get("s", 0))
    answer = json.dumps(event).encode()
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(answer), answer))


def main():
    for module in sys.argv[2:]:
        importlib.import_module(module)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=4096) as listening:
        while True:
            connection, _ = listening.accept()
            if os.fork() == 0:
                serve(connection)
                os._exit(0)
            connection.close()


if __name__ == "__main__":
    main()
