"""The libraries whose statements can be seen, one module each."""
