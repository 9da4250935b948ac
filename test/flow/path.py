"""The way between a node and its gateway, as a TCP proxy whose faults a test chooses: late bytes, lost bytes, a peer that
does not read, connections that end or are reset, at a byte of the test's choice. One thread, an event loop in it."""
import asyncio
import collections
import socket
import struct
import threading

UP, DOWN = "up", "down"  # from the node to the gateway, and back
PIECE, QUEUE_MAX = 1 << 16, 64 << 20


class Way:
    """One direction of one connection: what came and is not sent on yet."""

    def __init__(self):
        self.queue, self.size, self.over = collections.deque(), 0, False
        self.changed = asyncio.Event()


class Pair:
    def __init__(self, near, far):
        self.sockets, self.ways, self.tasks = (near, far), (Way(), Way()), []

    def way(self, name):
        return self.ways[name == DOWN]


class Path:
    def __init__(self, to):
        host, port = to.rsplit(":", 1)
        self.to = (host, int(port))
        self.delay = 0.0            # seconds, each way
        self.passed = {UP: 0, DOWN: 0}
        self.came = {UP: 0, DOWN: 0}  # read, sent on or not
        self.connections = 0
        self.open = True
        self.held, self.deaf, self.lossy = set(), set(), False
        self.cut_at = {}            # direction -> what `passed` is then
        self.pairs = []
        self.loop = asyncio.new_event_loop()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    # ---- what a test asks for; from its own thread ----

    def call(self, fn, *args):
        async def do():
            return fn(*args)
        return asyncio.run_coroutine_threadsafe(do(), self.loop).result(30)

    def cut(self, reset=False):
        """Ends what there is and takes no more until mend(). What is held is lost."""
        self.call(self.close_all, False, reset)

    def drop(self, reset=False):
        """Ends what there is; the next connection is taken."""
        self.call(self.close_all, True, reset)

    def mend(self):
        def do():
            self.open, self.lossy = True, False
            self.held.clear()
            self.deaf.clear()
            self.wake()
        self.call(do)

    def lose(self):
        """A half-open connection: whatever is sent is gone, and nobody is told. New ones are as bad."""
        self.call(lambda: setattr(self, "lossy", True))

    def hold(self, *ways):
        """Bytes of this direction are read but stay here."""
        self.call(lambda: self.held.update(ways))

    def let_go(self):
        def do():
            self.held.clear()
            self.wake()
        self.call(do)

    def stop_reading(self, *ways):
        """Who sends in this direction finds the way full."""
        self.call(lambda: self.deaf.update(ways))

    def cut_after(self, way, n):
        """As cut(), once n more bytes have passed this way."""
        self.call(lambda: self.cut_at.update({way: self.passed[way] + n}))

    def holds(self, way):
        return self.came[way] - self.passed[way]

    def close(self):
        if not self.thread.is_alive():
            return

        def do():
            self.close_all(False, False)
            self.listener.close()
            for task in asyncio.all_tasks(self.loop):
                if task is not asyncio.current_task(self.loop):
                    task.cancel()
            self.loop.call_later(0, self.loop.stop)
        self.call(do)
        self.thread.join(30)
        self.loop.close()

    # ---- in the loop ----

    def run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.create_task(self.accept())
        self.loop.run_forever()

    def wake(self):
        for pair in self.pairs:
            for w in pair.ways:
                w.changed.set()

    def close_all(self, again, reset):
        self.open = again
        self.cut_at.clear()
        for pair in list(self.pairs):
            self.end(pair, reset)
        self.came = dict(self.passed)

    def end(self, pair, reset):
        if pair not in self.pairs:
            return
        self.pairs.remove(pair)
        for s in pair.sockets:
            self.loop.remove_reader(s)
            self.loop.remove_writer(s)
            if reset:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.close()
        for task in pair.tasks:
            task.cancel()

    async def accept(self):
        while True:
            near, _ = await self.loop.sock_accept(self.listener)
            near.setblocking(False)
            self.connections += 1
            if self.open:
                self.loop.create_task(self.serve(near))
            else:
                near.close()

    async def serve(self, near):
        far = socket.socket()
        far.setblocking(False)
        try:
            await self.loop.sock_connect(far, self.to)
        except OSError:
            far.close()
        if far.fileno() < 0 or not self.open:
            near.close()
            far.close()
            return
        for s in (near, far):
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = Pair(near, far)
        self.pairs.append(pair)
        for work in (self.read(near, pair, UP), self.write(far, pair, UP), self.read(far, pair, DOWN),
                     self.write(near, pair, DOWN)):
            pair.tasks.append(self.loop.create_task(work))

    async def wait(self, w, condition):
        while condition():
            w.changed.clear()
            await w.changed.wait()

    async def read(self, s, pair, way):
        w, data = pair.way(way), b"-"
        while data:
            await self.wait(w, lambda: way in self.deaf or w.size > QUEUE_MAX)
            try:
                data = await self.loop.sock_recv(s, PIECE)
            except OSError:
                self.end(pair, True)
                return
            self.came[way] += len(data)
            w.queue.append((self.loop.time() + self.delay, data))
            w.size += len(data)
            w.changed.set()

    async def write(self, s, pair, way):
        w = pair.way(way)
        while True:
            await self.wait(w, lambda: not w.queue or way in self.held)
            due, data = w.queue[0]
            if due > self.loop.time():
                await asyncio.sleep(due - self.loop.time())
                continue
            w.queue.popleft()
            w.size -= len(data)
            w.changed.set()
            room = self.cut_at.get(way, self.passed[way] + len(data)) - self.passed[way]
            try:
                if not data:
                    s.shutdown(socket.SHUT_WR)
                    break
                if not self.lossy:
                    await self.loop.sock_sendall(s, data[:room])
            except OSError:
                self.end(pair, True)
                return
            self.passed[way] += min(len(data), room)
            if room < len(data) or way in self.cut_at and room == len(data):
                self.close_all(False, False)
                return
        w.over = True
        if all(w.over for w in pair.ways):
            self.end(pair, False)
