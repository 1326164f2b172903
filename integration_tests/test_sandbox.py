"""The sandbox behaves as the two services' documents describe."""

import json
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from datetime import timedelta
from importlib.metadata import distributions
from typing import Any

import requests

from tools.sandbox import Sandbox, make_carts, make_events
from tools.sandbox.data import DATE_FORMATS, FIRST_DAY, NO_DATE

from .conftest import ROOT

SCHEMA = json.loads((ROOT / "source_abandoned_carts/schemas/abandoned_carts.json").read_text())
JSON = {"Accept": "application/json"}
THIRTY_DAYS = 30 * 86_400


def carts(sandbox: Sandbox, path: str = "", **params: Any) -> requests.Response:
    url, auth = f"{sandbox.url}/api/carts/abandoned{path}", (sandbox.snipcart_key, "")
    return requests.get(url, params=params, headers=JSON, auth=auth, timeout=10)


def listed(sandbox: Sandbox, limit: int = 500, **params: Any) -> list[str]:
    """Return the tokens of all carts on the list, read page by page."""
    tokens: list[str] = []
    page: dict[str, Any] = {"hasMoreResults": True, "continuationToken": None}
    while page["hasMoreResults"]:
        token = page["continuationToken"]
        page = carts(sandbox, limit=limit, continuationToken=token, **params).json()
        tokens += [cart["token"] for cart in page["items"]]
    return tokens


def stats(sandbox: Sandbox, **params: Any) -> Any:
    url = f"{sandbox.url}/v1/partners-api/shopping-carts"
    params = {"rest_key": sandbox.retargeting_key, **params}
    return requests.get(url, params=params, timeout=10).json()


def never_filled(schema: dict[str, Any], values: list[Any], path: str = "") -> Iterator[str]:
    """Yield the properties that are missing, null or empty in all these values."""
    for name, part in schema.get("properties", {}).items():
        found = [value[name] for value in values if value.get(name) not in (None, [], {})]
        if not found:
            yield path + name
        entries = [entry for value in found for entry in (value if "items" in part else [value])]
        objects = [entry for entry in entries if isinstance(entry, dict)]
        yield from never_filled(part.get("items", part), objects, f"{path}{name}/")


def test_same_seed_makes_the_same_carts_with_all_fields():
    documents, same, other = (
        [cart.document for cart in make_carts(300, seed)] for seed in (5, 5, 6)
    )  # fmt: skip
    assert documents == same != other
    assert make_events(90, 5) == make_events(90, 5) != make_events(90, 6)
    assert list(never_filled(SCHEMA, documents)) == []
    dates = [document.get("modificationDate", "missing") for document in documents]
    assert {type(date) for date in dates} == {str, int, type(None)}
    assert {len(date) for date in dates if isinstance(date, str) and "T" in date} >= {
        len(str(write(FIRST_DAY))) for name, write in DATE_FORMATS.items() if "iso" in name
    }
    assert {NO_DATE, "missing"} <= set(dates)
    text = json.dumps(documents)
    assert "\\ud83d\\ude00" in text
    assert 'surrogate \\ud83d"' in text


def test_checks_basic_auth_and_the_accept_header(sandbox):
    key = sandbox.snipcart_key
    for headers, auth, status in (
        (JSON, None, 401), (JSON, ("", key), 401), (JSON, (key, key), 401), ({}, (key, ""), 406),
        (JSON, (key, ""), 200),
    ):  # fmt: skip
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
    assert stats(sandbox, date_to=5) == {"status": "fail", "data": {"validator": {"date_from": [
        "The date from field is required when date to is present."]}}}  # fmt: skip
    assert stats(sandbox, rest_key="other")["message"] == "Incorrect rest key!"
    sandbox.account_active = False
    assert stats(sandbox)["message"] == "Your account is not active!"


def test_runs_as_a_command():
    command = [sys.executable, "-m", "tools.sandbox", "--carts", "3", "--fault", "snipcart:503"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(3)]
    url = lines[0].strip().removeprefix("export SNIPCART_API_URL=") + "/carts/abandoned"
    auth = (json.loads(lines[2].removeprefix("# settings: "))["snipcart_api_key"], "")
    responses = [requests.get(url, headers=JSON, auth=auth, timeout=10) for _ in range(2)]
    process.terminate()
    process.communicate(timeout=30)
    assert [response.status_code for response in responses] == [503, 200]


def test_installed_package_contains_only_the_connector():
    site = sysconfig.get_path("purelib")
    (distribution,) = distributions(name="source-abandoned-carts", path=[site])
    names = [file.parts for file in distribution.files or []]
    folders = {parts[0] for parts in names if ".." not in parts and "dist-info" not in parts[0]}
    assert folders == {"source_abandoned_carts"}
    assert {"spec.yaml", "py.typed", "schemas"} <= {parts[1] for parts in names}
