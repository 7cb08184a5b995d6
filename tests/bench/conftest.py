"""Keeps the suites that the scripts measure out of the project's own test run; the scripts run copies of them."""

from __future__ import annotations

collect_ignore = ["duel", "workloads"]
