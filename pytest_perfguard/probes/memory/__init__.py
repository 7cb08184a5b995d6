"""Instruments for memory: its peak, what a call leaves behind, the size of what it returns, and the collector."""
