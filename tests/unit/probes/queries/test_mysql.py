from __future__ import annotations

import pytest

from pytest_perfguard.probes.queries.sources import mysql


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("SELECT 1", ["SELECT 1"]),
        ("SELECT 1;", ["SELECT 1;"]),
        ("SELECT ';'", ["SELECT ';'"]),
        ("SELECT 1; -- nothing; here", ["SELECT 1"]),
        ("SELECT `a;b`; # x;\nDO 1", ["SELECT `a;b`", " # x;\nDO 1"]),
        ('SELECT "a\\";b"; DO 1', ['SELECT "a\\";b"', " DO 1"]),
        ("CREATE DEFINER=`a`@`b` PROCEDURE p() BEGIN SELECT 1; SELECT 2; END", None),
        ("DO 1; CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW BEGIN SET @a = 1; SET @b = 2; END", 2),
        ("CREATE TABLE a (id INTEGER); INSERT INTO a VALUES (1)", 2),
        ("BEGIN NOT ATOMIC SELECT 1; SELECT 2; END", None),
        ("BEGIN; SELECT 1; COMMIT", 3),
        ("; ;", ["; ;"]),
        ("", [""]),
        ("SELECT 1; /*!50000 SELECT 2 */", 2),
        ("SELECT 1; /* nothing */", 1),
    ],
)
def test_statements_of_a_text(text, statements):
    found = mysql.split(text)
    if isinstance(statements, int):
        assert len(found) == statements
    else:
        assert found == (statements or [text])
