"""Any program that listens on PORT is a function. / greets, /count streams a line at a time, POST / echoes an event."""
import http.server
import json
import os
import time


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, document):
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path != "/count":
            return self.answer({"greeting": "Hello, web!", "path": self.path})
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for n in range(5):
            line = b"%d\n" % n
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            time.sleep(0.1)
        self.wfile.write(b"0\r\n\r\n")

    def do_POST(self):
        self.answer({"you sent": json.loads(self.rfile.read(int(self.headers["Content-Length"])))})


http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
