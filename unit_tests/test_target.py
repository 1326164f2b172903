"""TO: which forms are accepted, what is suggested for others, and that no password is shown."""

from pathlib import Path

import pytest

from sync.errors import SyncError
from sync.target import Target, parse


@pytest.mark.parametrize(
    ("to", "target"),
    [
        ("duckdb:///data/x.duckdb", Target("duckdb", "data/x.duckdb")),
        ("duckdb:////tmp/x.duckdb", Target("duckdb", "/tmp/x.duckdb")),
        ("DuckDB:///x", Target("duckdb", "x")),
        ("duckdb:///~/x", Target("duckdb", str(Path("~/x").expanduser()))),
        (" postgresql://u:p@h/d\n", Target("postgresql", "postgresql://u:p@h/d")),
        ("postgres://u:p[#?:!@h:1/d", Target("postgresql", "postgresql://u:p[#?:!@h:1/d")),
        ("postgresql://[::1]:5432/d", Target("postgresql", "postgresql://[::1]:5432/d")),
        ("postgresql://a:1,b:2/d", Target("postgresql", "postgresql://a:1,b:2/d")),
        (
            "postgresql://h/d?sslmode=require",
            Target("postgresql", "postgresql://h/d?sslmode=require"),
        ),
        ("postgresql://", Target("postgresql", "postgresql://")),
        ("BigQuery", Target("bigquery")),
    ],
)
def test_accepts(to, target):
    assert parse(to) == target


@pytest.mark.parametrize(
    ("to", "suggestion"),
    [
        ("data/x.duckdb", "duckdb:///data/x.duckdb"),
        ("x.db", "duckdb:///x.db"),
        ("/tmp/x.duckdb", "duckdb:////tmp/x.duckdb"),
        ("duckdb", "duckdb:///data/abandoned_carts.duckdb"),
        ("duckdb://", "duckdb:///data/abandoned_carts.duckdb"),
        ("duckdb:x.duckdb", "duckdb:///x.duckdb"),
        ("duckdb://data/x.duckdb", "duckdb:///data/x.duckdb"),
        ("duckbd:///x.duckdb", "duckdb:///x.duckdb"),
        ("postgres", "postgresql://USER@HOST/DATABASE"),
        ("postgresql:/u:s3cret@h/d", "postgresql://u@h/d"),
        ("postgressql://u:s3cret@h/d", "postgresql://u@h/d"),
        ("postgresql+psycopg2://u:s3cret@h:5432/d", "postgresql://u@h:5432/d"),
        ("u:s3cret@h/d", "postgresql://u@h/d"),
        ("postgresql://u:s3%cret@h/d", "postgresql://u@h/d"),
        ("postgresql://u:s3@cret@h/d", "postgresql://u@h/d"),
        ("postgresql://u:s3/cret@h/d", "postgresql://u@h/d"),
        ("postgresql://u:s3 cret@h/d", "postgresql://u@h/d"),
        ("bigquery://project", "bigquery"),
        ("snowflake://u:s3cret@account", "snowflake"),
    ],
)
def test_suggests_the_right_form(to, suggestion):
    with pytest.raises(SyncError, match=r"TO is not valid\. Write TO=") as raised:
        parse(to)
    assert f"TO={suggestion}," in str(raised.value)


@pytest.mark.parametrize(
    "to",
    [
        "postgres:u:s3cret@h/d",
        "postgres:s3cret@h/d",
        "postgresql://u:s3cret",
        "postgresql://u:s3cret@h:port/d",
        "postgresql://h/d?user=u&password=s3%cret",
        "postgresql://h/d@?password=s3@cret",
        "s3cret@",
        "//s3cret@h/d",
        "host=h dbname=d password=s3cret",
        "jdbc:postgresql://h/d?user=u&password=s3cret",
        "mysql://u:s3cret@h/d",
        "sqlite:///s3cret.db",
        "",
    ],
)
def test_shows_no_password_where_the_parts_are_uncertain(to):
    with pytest.raises(SyncError, match="postgresql://USER@HOST/DATABASE") as raised:
        parse(to)
    assert "s3" not in str(raised.value)
    assert "cret" not in str(raised.value)
