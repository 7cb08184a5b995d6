"""A real server on this machine, which knows what it was asked."""

from __future__ import annotations

import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server:
    def __init__(self):
        self.asked = []
        self._fails = Counter()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                length = int(self.headers.get("Content-Length") or 0)
                self.rfile.read(length)
                outer.asked.append((self.command, self.path))
                path = self.path.partition("?")[0]
                status, headers = 200, {}
                if path.startswith("/redirect/"):
                    left = int(path.rpartition("/")[2])
                    status, headers = 302, {"Location": f"/redirect/{left - 1}" if left > 1 else "/ok"}
                elif path == "/private" and "Authorization" not in self.headers:
                    status, headers = (
                        401,
                        {"WWW-Authenticate": 'Digest realm="r", nonce="n", qop="auth", algorithm=MD5'},
                    )
                elif path.startswith("/fails/"):
                    outer._fails[path] += 1
                    status = 503 if outer._fails[path] <= int(path.rpartition("/")[2]) else 200
                body = b"ok"
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_PUT = do_DELETE = do_GET

            def log_message(self, *_args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
