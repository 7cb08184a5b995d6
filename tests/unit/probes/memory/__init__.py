"""Memory probes on code whose truth is known."""
