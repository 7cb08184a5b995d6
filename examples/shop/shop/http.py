"""As much of HTTP as the shop needs: requests, responses and a router for WSGI."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs
from wsgiref.types import WSGIEnvironment


class HttpError(Exception):
    """Ends a request with this status and message."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class Request:
    """A request, with the numbers that its path holds."""

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    numbers: dict[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, environ: WSGIEnvironment) -> Request:
        size = int(environ.get("CONTENT_LENGTH") or 0)
        return cls(
            method=environ["REQUEST_METHOD"],
            path=environ.get("PATH_INFO") or "/",
            query={name: values[-1] for name, values in parse_qs(environ.get("QUERY_STRING", "")).items()},
            body=environ["wsgi.input"].read(size) if size else b"",
        )

    def number(self, name: str, default: int, *, least: int = 1, most: int = 10_000) -> int:
        """Return a query parameter as a number between `least` and `most`."""
        text = self.query.get(name, str(default))
        if not text.isdecimal() or not least <= int(text) <= most:
            raise HttpError(HTTPStatus.BAD_REQUEST, f"{name} is {text!r}, not a number from {least} to {most}")
        return int(text)

    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise HttpError(HTTPStatus.BAD_REQUEST, f"the body is not JSON: {error}") from error


@dataclass(frozen=True, slots=True)
class Response:
    """A status, a body and its type."""

    body: bytes
    content_type: str
    status: HTTPStatus = HTTPStatus.OK

    @classmethod
    def json(cls, value: object, status: HTTPStatus = HTTPStatus.OK) -> Response:
        return cls(json.dumps(value).encode(), "application/json", status)

    @classmethod
    def html(cls, text: str) -> Response:
        return cls(text.encode(), "text/html; charset=utf-8")

    @classmethod
    def csv(cls, text: str) -> Response:
        return cls(text.encode(), "text/csv; charset=utf-8")


Handler = Callable[[Request], Response]


class Router:
    """Finds the handler of a request; `{name}` in a template stands for a number."""

    def __init__(self) -> None:
        self._routes: list[tuple[str, re.Pattern[str], Handler]] = []

    def add(self, method: str, template: str, handler: Handler) -> None:
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>\\d{1,9})", re.escape(template))
        self._routes.append((method, re.compile(pattern), handler))

    def respond(self, request: Request) -> Response:
        allowed = []
        for method, pattern, handler in self._routes:
            match = pattern.fullmatch(request.path)
            if match and method == request.method:
                numbers = {name: int(text) for name, text in match.groupdict().items()}
                return handler(
                    Request(request.method, request.path, query=request.query, body=request.body, numbers=numbers)
                )
            if match:
                allowed.append(method)
        if allowed:
            raise HttpError(HTTPStatus.METHOD_NOT_ALLOWED, f"{request.path} answers {', '.join(allowed)}")
        raise HttpError(HTTPStatus.NOT_FOUND, f"there is no {request.path}")
