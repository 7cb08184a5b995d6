"""The workloads as asv sees them."""
