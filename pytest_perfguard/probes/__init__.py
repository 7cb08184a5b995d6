"""Instruments around a call, one a file: each sees one thing and leaves nothing behind."""
