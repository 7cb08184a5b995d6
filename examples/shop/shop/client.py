"""Calls a WSGI application without a network, for tests."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from wsgiref.types import WSGIApplication, WSGIEnvironment
from wsgiref.util import setup_testing_defaults


@dataclass(frozen=True, slots=True)
class Answer:
    """What the application sent back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Sends requests to `application` in this process and thread."""

    def __init__(self, application: WSGIApplication) -> None:
        self.application = application

    def get(self, url: str) -> Answer:
        return self._send("GET", url)

    def post(self, url: str, value: object) -> Answer:
        return self._send("POST", url, json.dumps(value).encode())

    def _send(self, method: str, url: str, body: bytes = b"") -> Answer:
        parts = urlsplit(url)
        environ: WSGIEnvironment = {
            "REQUEST_METHOD": method,
            "PATH_INFO": parts.path,
            "QUERY_STRING": parts.query,
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
        }
        setup_testing_defaults(environ)
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Any:
            started.append((status, headers))

        content = b"".join(self.application(environ, start_response))
        status, headers = started[-1]
        return Answer(int(status.split()[0]), dict(headers), content)
