import pytest


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch):
    """Give what is printed a width of its own: workers of xdist have that of the terminal."""
    monkeypatch.setenv("COLUMNS", "100")
