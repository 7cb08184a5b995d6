"""How statements and requests of libraries are seen: what every watched library shares."""
