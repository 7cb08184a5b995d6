"""Measuring: how often to call a piece of code, between which readings, and in which passes."""
