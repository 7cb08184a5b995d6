"""Verdicts: the one place where a measurement is called over budget, regressed, unchanged or inconclusive."""
