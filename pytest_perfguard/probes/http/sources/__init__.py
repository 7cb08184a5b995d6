"""The libraries whose calls can be seen, one module each; none of them imports its library."""

from __future__ import annotations

from pytest_perfguard.probes.http.sources.aiohttp import AiohttpSource
from pytest_perfguard.probes.http.sources.client import ClientSource
from pytest_perfguard.probes.http.sources.httpcore import HttpcoreSource
from pytest_perfguard.probes.http.sources.httpx import HttpxSource
from pytest_perfguard.probes.http.sources.requests import RequestsSource
from pytest_perfguard.probes.http.sources.urllib3 import Urllib3Source
from pytest_perfguard.probes.watch.source import Source

SOURCES: tuple[Source, ...] = (
    ClientSource(),
    Urllib3Source(),
    RequestsSource(),
    HttpcoreSource("httpcore"),
    HttpcoreSource("httpcore2"),
    HttpxSource("httpx"),
    HttpxSource("httpx2"),
    AiohttpSource(),
)
"""Lower layers first."""

STANDARD = frozenset({"http.client"})
"""What is loaded in many processes that never call anybody."""
