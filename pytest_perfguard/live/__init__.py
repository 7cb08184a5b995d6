"""Base and head side by side, in pairs of processes that take turns on one processor."""
