"""Opens a PostgreSQL database, and describes its errors.

No message quotes the PostgreSQL library about the address, because it may quote the password.
"""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
import psycopg2
from psycopg2.extensions import parse_dsn, quote_ident

from source_abandoned_carts.issues import REPORT

from .errors import SyncError, find, full_disk
from .load import Database
from .target import Target, reject

_CONNECT_TIMEOUT = 15  # seconds
_READ_ONLY = (
    "The database is read-only. If it is a replica, write the primary server into TO. Otherwise, "
    "set default_transaction_read_only to off for the database and the user."
)
_CHANGED = (
    f"If you changed the tables, undo the change, or drop the changed table. Otherwise: {REPORT}"
)

_REFUSED = {  # what the server or the library says when it refuses a connection, and the sentence
    "password authentication failed": "PostgreSQL refused the user or the password (password "
    "authentication failed). Check the user, and the password in PGPASSWORD, ~/.pgpass or TO.",
    "no password supplied": "PostgreSQL asks for a password. Set it in the environment variable "
    "PGPASSWORD, or in ~/.pgpass.",
    "permission denied for database": "The user may not connect to the database. Run GRANT "
    "CONNECT ON DATABASE {database} TO {user};",
    "database .* does not exist": "The database in TO does not exist on the server. Create it, or "
    "correct its name.",
    "role .* does not exist": "The user in TO does not exist on the server. Correct its name.",
    "could not translate host name": "The server's name in TO cannot be found. Correct it.",
    "pg_hba.conf": "The server does not accept this user, database or machine. Its administrator "
    "has to allow them in pg_hba.conf.",
    "SSL|certificate": "The encrypted connection to the server failed. Check sslmode in TO.",
    "too many|remaining connection slots": "The server has no connection left. Try again later.",
    "starting up|shutting down|recovery": "The server starts or stops. Try again in a minute.",
    "refused|timeout|timed out|unreachable|No route|No such file": "No PostgreSQL server answers "
    "at the address in TO. Check the host and the port, and whether the server is running.",
}

_GRANTS = """
WITH needed (name) AS (VALUES (%(main)s), (%(staging)s)),
schemas AS (SELECT needed.name, oid FROM needed LEFT JOIN pg_namespace ON nspname = needed.name)
SELECT FORMAT('GRANT CREATE ON DATABASE %%I TO %%I;', current_database(), current_user)
WHERE EXISTS (SELECT 1 FROM schemas WHERE oid IS NULL)
  AND NOT has_database_privilege(current_database(), 'CREATE')
UNION ALL
SELECT FORMAT('GRANT USAGE, CREATE ON SCHEMA %%I TO %%I;', name, current_user)
FROM schemas
WHERE NOT (has_schema_privilege(oid, 'USAGE') AND has_schema_privilege(oid, 'CREATE'))
"""

_OWNERS = """
SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class
WHERE relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname = %(main)s)
  AND relkind = 'r' AND NOT pg_has_role(relowner, 'USAGE')
"""


@contextlib.contextmanager
def open_postgresql(target: Target, folder: Path) -> Iterator[Database]:
    """Connect, and lock the database against other syncs until the connection ends."""
    with contextlib.closing(_connect(target)) as connection:
        connection.autocommit = True
        info = connection.info  # with the password from PGPASSWORD or ~/.pgpass
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT COALESCE(current_schema(), 'public'),"
                " current_setting('transaction_read_only'),"
                " pg_try_advisory_lock(hashtext('source-abandoned-carts'))"
            )
            schema, read_only, locked = cursor.fetchone()
            cursor.execute(_GRANTS, {"main": schema, "staging": f"{schema}_staging"})
            grants = " ".join(grant for (grant,) in cursor.fetchall())
        if not locked:
            raise SyncError(
                "Another sync is writing into this database. Try again when it has ended."
            )
        if read_only == "on":
            raise SyncError(_READ_ONLY)
        if grants:
            raise SyncError(_rights(grants))
        login = {"username": info.user, "password": info.password or "none"}
        where = {"database": info.dbname, "host": "see query", "query": info.dsn_parameters}
        destination = dlt.destinations.postgres(
            login | where, enable_dataset_name_normalization=False
        )
        location = f"{describe_address(target)}, schema {schema}"
        try:
            # By default, dlt would load CSV files, which turn empty strings into NULL.
            yield Database(destination, schema, folder, location, "insert_values")
        except SyncError:
            raise
        except Exception as error:
            if cause := find(error, psycopg2.Error):
                raise SyncError(_describe(cause, connection, schema)) from error
            raise


def describe_address(target: Target) -> str:
    """Return which database this is, without the user and the password."""
    try:
        parts = parse_dsn(target.address)
    except psycopg2.ProgrammingError:
        reject(target)
    place = parts.get("host") or "localhost"
    database = parts.get("dbname") or "of the user's name"
    return f"the PostgreSQL database {database} on {place}"


def _connect(target: Target) -> Any:
    options: dict[str, Any] = {"connect_timeout": _CONNECT_TIMEOUT}
    if "connect_timeout" in target.address:
        options.clear()
    try:
        # With the encoding of the database, psycopg2 could not read a password with an umlaut.
        return psycopg2.connect(target.address, client_encoding="utf8", **options)
    except psycopg2.ProgrammingError:
        reject(target)
    except (psycopg2.Error, UnicodeError) as error:
        text = str(error)
        for pattern, sentence in _REFUSED.items():
            if re.search(pattern, text):
                raise SyncError(sentence.format(**_names(target))) from None
        raise SyncError(
            f"PostgreSQL did not accept the connection ({type(error).__name__}). Connect with "
            "psql and the same address: it shows why."
        ) from None


def _names(target: Target) -> dict[str, str]:
    """Return the quoted names of the database and the user in the address."""
    parts = parse_dsn(target.address)
    user = parts.get("user", "the user")
    names = {"user": user, "database": parts.get("dbname", user)}
    return {key: '"' + name.replace('"', '""') + '"' for key, name in names.items()}


def _rights(grants: str) -> str:
    return f"The database user lacks rights. As the database's owner, run: {grants}"


def _describe(error: psycopg2.Error, connection: Any, schema: str) -> str:  # noqa: PLR0911 one for each
    """Describe an error by its code, because servers speak many languages."""
    name = type(error).__name__
    user = quote_ident(connection.info.user, connection)
    match error.pgcode or "":
        case "42501" if "owner" in str(error):
            with connection.cursor() as cursor:
                cursor.execute(_OWNERS, {"main": schema})
                owners = [quote_ident(owner, connection) for (owner,) in cursor.fetchall()]
            return _rights(" ".join(f"GRANT {owner} TO {user};" for owner in owners))
        case "42501":
            names = (schema, f"{schema}_staging")
            schemas = ", ".join(quote_ident(name, connection) for name in names)
            return _rights(
                "GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA "
                f"{schemas} TO {user};"
            )
        case "25006":
            return _READ_ONLY
        case "53100":
            return full_disk("of the database server")
        case "22P05" | "22021":
            return (
                "The database cannot store some characters of the carts, because its encoding is "
                "not UTF-8. Create a database with CREATE DATABASE carts ENCODING 'UTF8' TEMPLATE "
                "template0; and sync into it."
            )
        case "23503":
            constraint = f"{error.diag.constraint_name} of the table {error.diag.table_name}"
            return (
                f"The foreign key {constraint} refuses that a row is replaced. Drop it, or run "
                f"ALTER TABLE {error.diag.table_name} ALTER CONSTRAINT "
                f"{error.diag.constraint_name} DEFERRABLE INITIALLY DEFERRED;"
            )
        case code if code.startswith("23"):
            constraint = error.diag.constraint_name or f"of the column {error.diag.column_name}"
            return f"The constraint {constraint} refuses rows of the connector. Drop it."
        case "40P01" | "55P03" | "57014":
            return (
                f"PostgreSQL canceled a statement ({name}). Another program may lock the tables, "
                "or a timeout be too short. Run the sync again: it resumes."
            )
        case code if code.startswith(("08", "57P")) or isinstance(error, psycopg2.OperationalError):
            return (
                f"The connection to PostgreSQL broke ({name}). Check that the server is running, "
                "and run the sync again: it resumes from the last saved state."
            )
    return f"PostgreSQL refused a statement ({name}). {_CHANGED}"
