"""Numbers in, numbers out: spread between runs, comparison of runs, intervals of one run. No project vocabulary."""
