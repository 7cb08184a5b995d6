"""The package under test: workloads whose size is a number in its code, so that another commit can be slower."""
