"""Receivers of alerts on this machine: a web server and a mail server, which keep what they are sent."""

import contextlib
import http.server
import socketserver
import threading


class _Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.path, dict(self.headers), body))
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", self.server.location)
        self.end_headers()

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def receive_posts(*, statuses=(), location="file:///etc/passwd"):
    """Give a web server on loopback, which has `requests` and an `address`; it answers with `statuses`, then 200."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Hook)
    server.requests, server.statuses, server.location = [], list(statuses), location
    server.address = f"http://127.0.0.1:{server.server_port}"
    with _running(server):
        yield server


class _Mailbox(socketserver.StreamRequestHandler):
    def handle(self):
        self._say("220 ready")
        while line := self.rfile.readline():
            verb = line.split()[0].upper() if line.split() else b""
            if verb in (b"EHLO", b"HELO"):
                self._say("250 hello")
            elif verb == b"DATA":
                self._say("354 go on")
                lines = list(iter(self.rfile.readline, b".\r\n"))
                self.server.mails.append(b"".join(lines))
                self._say(self.server.answer)
            elif verb == b"QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 fine")

    def _say(self, line):
        self.wfile.write(f"{line}\r\n".encode())


class _MailServer(socketserver.ThreadingTCPServer):
    daemon_threads = True


@contextlib.contextmanager
def receive_mail(*, answer="250 taken"):
    """Give a mail server on loopback, which has `mails` and a `port`."""
    server = _MailServer(("127.0.0.1", 0), _Mailbox)
    server.mails, server.answer = [], answer
    server.port = server.server_address[1]
    with _running(server):
        yield server


@contextlib.contextmanager
def _running(server):
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
