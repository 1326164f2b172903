"""The sandbox behaves as the two services' documents describe."""

import base64
import json
import os
import random
import re
import shlex
import signal
import socket
import subprocess
import sys
import sysconfig
from datetime import datetime, timedelta, timezone
from importlib.metadata import distributions

import duckdb
import pytest
import requests

from source_abandoned_carts.json_schemas import read_schema
from tools.sandbox import Fault, make_carts, make_events
from tools.sandbox.changes import change, fill
from tools.sandbox.data import DATE_FORMATS, FIRST_DAY, NO_DATE

from .harness import ROOT

SCHEMA = read_schema("abandoned_carts")
DEPARTED = read_schema("departed_carts")["properties"]["cart"]
JSON = {"Accept": "application/json"}
THIRTY_DAYS = 30 * 86_400


def carts(sandbox, path="", **params):
    url, auth = f"{sandbox.url}/api/carts/abandoned{path}", (sandbox.snipcart_key, "")
    return requests.get(url, params=params, headers=JSON, auth=auth, timeout=10)


def listed(sandbox, limit=500, **params):
    """Return the tokens of all carts on the list, read page by page."""
    tokens = []
    page = {"hasMoreResults": True, "continuationToken": None}
    while page["hasMoreResults"]:
        token = page["continuationToken"]
        page = carts(sandbox, limit=limit, continuationToken=token, **params).json()
        tokens += [cart["token"] for cart in page["items"]]
    return tokens


def stats(sandbox, **params):
    url = f"{sandbox.url}/v1/partners-api/shopping-carts"
    params = {"rest_key": sandbox.retargeting_key, **params}
    return requests.get(url, params=params, timeout=10).json()


def never_filled(schema, values, path=""):
    """Yield the properties that are missing, null or empty in all these values."""
    for name, part in schema.get("properties", {}).items():
        found = [value[name] for value in values if value.get(name) not in (None, [], {})]
        if not found:
            yield path + name
        entries = [entry for value in found for entry in (value if "items" in part else [value])]
        objects = [entry for entry in entries if isinstance(entry, dict)]
        yield from never_filled(part.get("items", part), objects, f"{path}{name}/")


@pytest.fixture(scope="module")
def documents():
    return [cart.document for cart in make_carts(300)]


def test_same_seed_makes_the_same_carts_and_events():
    carts = [[cart.document for cart in make_carts(30, seed)] for seed in (5, 5, 6)]
    assert carts[0] == carts[1] != carts[2]
    assert make_events(90, 5) == make_events(90, 5) != make_events(90, 6)


def test_carts_have_all_fields(documents):
    assert list(never_filled(SCHEMA, documents)) == []


def test_carts_have_dates_in_all_formats(documents):
    dates = [document.get("modificationDate", "missing") for document in documents]
    assert {type(date) for date in dates} == {str, int, type(None)}
    assert {len(date) for date in dates if isinstance(date, str) and "T" in date} >= {
        len(str(write(FIRST_DAY))) for name, write in DATE_FORMATS.items() if "iso" in name
    }
    assert {NO_DATE, "missing"} <= set(dates)


def test_carts_hold_emoji_and_unpaired_surrogates(documents):
    text = json.dumps(documents)
    assert "\\ud83d\\ude00" in text
    assert 'surrogate \\ud83d"' in text


def test_bought_carts_have_all_fields_of_orders():
    carts = make_carts(300)
    for cart in carts:
        cart.complete(FIRST_DAY)
    assert list(never_filled(DEPARTED, [cart.document for cart in carts])) == []
    for cart in carts:
        cart.put_back()
    documents = [cart.document for cart in carts]
    assert {*never_filled(DEPARTED, documents)} == {
        "completionDate",
        *(DEPARTED["properties"].keys() - SCHEMA["properties"].keys()),
    }


def test_carts_hold_each_kind_of_value(documents):
    items = [item for document in documents for item in document["items"]]
    for values, name, kinds in (
        (documents, "metadata", {dict, list, str}),
        (documents, "recoveryCampaignStatus", {str, dict}),
        (documents, "shippingCharged", {bool, float}),
        (documents, "paymentMethod", {int, str}),
        (items, "metadata", {dict, list, str}),
        (items, "stackable", {bool, str}),
    ):
        found = {type(value[name]) for value in values if value.get(name) is not None}
        assert found == kinds, name


def test_checks_basic_auth_and_the_accept_header(sandbox):
    key = sandbox.snipcart_key
    for headers, auth, status in (
        (JSON, (key, ""), 200),
        (JSON, None, 401),
        (JSON, ("", key), 401),
        (JSON, (key, key), 401),
        ({}, (key, ""), 406),
    ):
        url = f"{sandbox.url}/api/carts/abandoned"
        assert requests.get(url, headers=headers, auth=auth, timeout=10).status_code == status


def test_tokens_link_the_pages_and_need_percent_encoding(sandbox):
    page = carts(sandbox).json()
    assert len(page["items"]) == 20  # by default
    assert set("|+/=") <= set(page["continuationToken"])
    assert listed(sandbox, limit=50) == [cart.token for cart in sandbox.carts]
    assert carts(sandbox, limit=500).json()["continuationToken"] is None
    assert carts(sandbox, continuationToken="Cart|nonsense").status_code == 400


def test_lists_a_cart_late(sandbox):
    cart = sandbox.carts[3]
    cart.touch(sandbox.now())
    cart.listed_from = sandbox.now() + timedelta(minutes=30)
    assert listed(sandbox, timeRange="LessThanADay") == []
    sandbox.clock_offset = 31 * 60
    assert listed(sandbox, timeRange="LessThanADay") == [cart.token]
    assert listed(sandbox) == [cart.token for cart in sandbox.carts]


def test_counts_both_edges_and_returns_the_documented_errors(sandbox):
    sandbox.abandoned, sandbox.recovered = [99, 100, 150, 199, 200], [199]
    counts = {"status": "success", "data": {"abandoned": 3, "recovered": 1}}
    assert stats(sandbox, date_from=100, date_to=199) == counts
    assert stats(sandbox, date_from=0, date_to=THIRTY_DAYS)["status"] == "success"
    message = stats(sandbox, date_from=0, date_to=THIRTY_DAYS + 1)["message"]
    assert message == "Interval is greater than 30 days"
    missing = {"date_from": ["The date from field is required when date to is present."]}
    assert stats(sandbox, date_to=5) == {"status": "fail", "data": {"validator": missing}}
    assert stats(sandbox, rest_key="other")["message"] == "Incorrect rest key!"
    sandbox.account_active = False
    assert stats(sandbox)["message"] == "Your account is not active!"


def respond(sandbox, fault):
    """Return what the sandbox sends for a request until it closes the connection."""
    sandbox.faults = [fault]
    credentials = base64.b64encode(f"{sandbox.snipcart_key}:".encode()).decode()
    lines = ["GET /api/carts/abandoned?limit=3 HTTP/1.1", "Accept: application/json"]
    lines += [f"Authorization: Basic {credentials}", "", ""]
    with socket.create_connection(("127.0.0.1", int(sandbox.url.rpartition(":")[2]))) as connection:
        connection.sendall("\r\n".join(lines).encode())
        return b"".join(iter(lambda: connection.recv(2**16), b""))


def test_faults_damage_the_response_as_described(sandbox):
    sandbox.sends_date = False  # so that all responses are equal
    whole = respond(sandbox, Fault("close"))
    head, _, body = whole.partition(b"\r\n\r\n")
    assert len(json.loads(body)["items"]) == 3
    assert respond(sandbox, Fault("cut", at=5)) == whole[:5]
    assert respond(sandbox, Fault("cut", seconds=0.1)) == whole[: len(head) + 4 + len(body) // 2]
    assert respond(sandbox, Fault("raw", body="SSH-2.0")) == b"SSH-2.0"
    with pytest.raises(ConnectionResetError):
        respond(sandbox, Fault("reset", at=5))
    with pytest.raises(ConnectionResetError):
        respond(sandbox, Fault("reset"))


def test_faults_change_headers_and_compression(sandbox):
    page = carts(sandbox, limit=3).json()
    sandbox.faults = [
        Fault("gzip"),
        Fault("headers", headers={"Content-Type": None, "Location": "elsewhere"}),
    ]
    compressed, changed = carts(sandbox, limit=3), carts(sandbox, limit=3)
    assert compressed.headers["Content-Encoding"] == "gzip"
    assert compressed.json() == changed.json() == page
    assert changed.headers["Location"] == "elsewhere"
    assert "Content-Type" not in changed.headers
    sandbox.faults = [Fault("headers", headers={"Content-Encoding": "gzip"})]
    with pytest.raises(requests.exceptions.ContentDecodingError):
        carts(sandbox)


def test_endless_body_does_not_end(sandbox):
    page = len(carts(sandbox).content)
    sandbox.faults = [Fault("endless")]
    url, auth = f"{sandbox.url}/api/carts/abandoned", (sandbox.snipcart_key, "")
    with requests.get(url, headers=JSON, auth=auth, timeout=10, stream=True) as response:
        assert len(response.raw.read(10 * page)) == 10 * page


def test_time_passes_in_the_shop(sandbox):
    fill(sandbox, carts=50, seed=3)
    before = {cart.token: json.dumps(cart.document) for cart in sandbox.carts}
    counts = len(sandbox.abandoned), len(sandbox.recovered)
    chance = random.Random(3)
    for _ in range(100):
        change(sandbox, chance)
    new = [cart for cart in sandbox.carts if cart.token not in before]
    changed = [
        cart
        for cart in sandbox.carts
        if cart.on_list and cart not in new and json.dumps(cart.document) != before[cart.token]
    ]
    bought = [cart for cart in sandbox.carts if cart.document["status"] == "Processed"]
    deleted = [cart for cart in sandbox.carts if cart.deleted]
    assert min(len(new), len(changed), len(bought), len(deleted)) >= 5
    assert len(sandbox.abandoned) == counts[0] + len(new)
    assert len(sandbox.recovered) == counts[1] + len(bought)
    assert all(sandbox.now() - cart.modified < timedelta(minutes=1) for cart in changed)


@pytest.fixture
def printed():
    """Start the sandbox as a command. Yield the lines that it prints."""
    options = ["--carts", "30", "--change-every", "0.1", "--fault", "snipcart:503"]
    command = [sys.executable, "-m", "tools.sandbox", *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield [process.stdout.readline() for _ in range(9)]
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0


def test_printed_lines_sync_a_shop_that_changes(printed, tmp_path):
    """They are run as printed, but in another folder and without make."""
    make = re.fullmatch(r"make sync CONFIG=(\S+) TO=(\S+)\n", printed[-2])
    sync = f"{shlex.quote(sys.executable)} -m sync --config {make[1]} --to {make[2]}"
    script = f"exec 2>&1\n{''.join(printed[:-2])}{sync}\nsleep 1\n{sync}\n"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    output = subprocess.check_output(
        ["sh", "-ec", script], cwd=tmp_path, env=environment, text=True, timeout=120
    )
    assert "HTTP 503" in output
    path = tmp_path / make[2].removeprefix("duckdb:///")
    with duckdb.connect(path, read_only=True) as database:
        newest, left = database.execute(
            "SELECT max(modification_date), (SELECT count(*) FROM departed_carts) "
            "FROM abandoned_carts"
        ).fetchone()
    assert datetime.now(timezone.utc) - newest < timedelta(minutes=2)
    assert left > 0


def test_installed_package_contains_only_the_connector():
    site = sysconfig.get_path("purelib")
    (distribution,) = distributions(name="source-abandoned-carts", path=[site])
    names = [file.parts for file in distribution.files or []]
    folders = {parts[0] for parts in names if ".." not in parts and "dist-info" not in parts[0]}
    assert folders == {"source_abandoned_carts"}
    assert {"spec.yaml", "py.typed", "schemas"} <= {parts[1] for parts in names}


def test_rate_limit_applies_to_each_service(sandbox):
    sandbox.rate_limit, sandbox.rate_limit_headers = (2, 60), {"Retry-After": "7"}
    responses = [carts(sandbox) for _ in range(3)]
    assert [response.status_code for response in responses] == [200, 200, 429]
    assert responses[2].headers["Retry-After"] == "7"
    assert stats(sandbox)["status"] == "success"
