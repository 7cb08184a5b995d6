"""How many pieces of work each workload does; the scripts commit this file with other numbers."""

UNITS = 100
