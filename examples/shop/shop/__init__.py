"""A small web shop over SQLite: the application that the perfguard examples measure."""
