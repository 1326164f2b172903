"""An emulator of BigQuery, and a sync that logs in to it as a service account."""

import json
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from integration_tests.conftest import connector, make_sandbox, pytest_configure, sandbox, sync
from integration_tests.harness import ROOT

from .emulator import PROJECT

__all__ = ["connector", "make_sandbox", "pytest_configure", "sandbox", "sync"]

DATASET = f"{PROJECT}.carts"


class BigQuery:
    """The dataset that syncs write into."""

    name = url = "bigquery"

    def __init__(self, host):
        self.client = bigquery.Client(
            PROJECT, AnonymousCredentials(), client_options={"api_endpoint": host}
        )

    def rows(self, statement):
        """Run a statement, and return its rows."""
        config = bigquery.QueryJobConfig(default_dataset=DATASET)
        job = self.client.query(statement, job_config=config)
        return [dict(row.items()) for row in job.result()]


@pytest.fixture(scope="session")
def ports():
    """Start an emulator. Return the ports of the API and of the token server."""
    command = [sys.executable, "-m", "bigquery_tests.emulator"]
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **output) as process:
        assert process.stdout is not None
        line = next(line for line in process.stdout if line.startswith("PORTS "))
        _, api, tokens = line.split()
        with subprocess.Popen(["cat"], stdin=process.stdout, stdout=subprocess.DEVNULL):
            yield api, tokens
            process.terminate()


@pytest.fixture(scope="session")
def service_account(ports):
    """The JSON key of a service account."""
    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return {
        "type": "service_account",
        "project_id": PROJECT,
        "client_email": "sync@test-project.iam.gserviceaccount.com",
        "private_key": key.decode(),
        "token_uri": f"http://127.0.0.1:{ports[1]}/token",
    }


@pytest.fixture
def database(sync, ports, service_account):
    """An empty project. Syncs find it and their credentials in the environment."""
    host = f"http://127.0.0.1:{ports[0]}"
    sync.environment |= {
        "BIGQUERY_EMULATOR_HOST": host,
        "DATA_WRITER__DISABLE_COMPRESSION": "true",  # the emulator does not read gzip
        "DESTINATION__BIGQUERY__CREDENTIALS": json.dumps(service_account),
        "NO_GCE_CHECK": "true",  # or Google's library looks for a server of its cloud
    }
    database = BigQuery(host)
    for name in (DATASET, f"{DATASET}_staging"):
        database.client.delete_dataset(name, delete_contents=True, not_found_ok=True)
    return database
