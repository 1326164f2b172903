"""The sandbox follows the two services' documents."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import requests

from sandbox import Fault, Sandbox, make_carts, make_events
from sandbox.data import FORMS, NO_DATE

from .conftest import HERE

ROOT = HERE.parent
SCHEMA = json.loads((ROOT / "source_abandoned_carts/schemas/abandoned_carts.json").read_text())
JSON = {"Accept": "application/json"}
THIRTY_DAYS = 30 * 86_400


def carts(sandbox: Sandbox, path: str = "", **params: Any) -> requests.Response:
    return requests.get(
        f"{sandbox.url}/api/carts/abandoned{path}",
        params=params,
        headers=JSON,
        auth=(sandbox.snipcart_key, ""),
        timeout=10,
    )


def listed(sandbox: Sandbox, limit: int = 500, **params: Any) -> list[str]:
    """The tokens of all carts on the list, read page by page."""
    found: list[str] = []
    page: dict[str, Any] = {"hasMoreResults": True, "continuationToken": None}
    while page["hasMoreResults"]:
        token = page["continuationToken"]
        page = carts(sandbox, limit=limit, continuationToken=token, **params).json()
        found += [cart["token"] for cart in page["items"]]
    return found


def stats(sandbox: Sandbox, **params: Any) -> Any:
    return requests.get(
        f"{sandbox.url}/v1/partners-api/shopping-carts", params=params, timeout=10
    ).json()


def test_the_same_seed_and_number_give_the_same_data():
    one, same, other = (
        [cart.document for cart in make_carts(90, seed)] for seed in (5, 5, 6)
    )  # fmt: skip
    assert one == same != other
    assert make_events(90, 5) == make_events(90, 5) != make_events(90, 6)


def test_all_forms_of_dates_and_unpaired_surrogates_occur():
    documents = [cart.document for cart in make_carts(300)]
    dates = [document.get("modificationDate", "missing") for document in documents]
    assert {type(date) for date in dates} == {str, int, type(None)}
    assert {len(date) for date in dates if isinstance(date, str) and "T" in date} >= {
        len(str(form(make_carts(1)[0].modified))) for name, form in FORMS.items() if "iso" in name
    }
    assert {NO_DATE, "missing"} <= set(dates)
    text = json.dumps(documents)
    assert "\\ud83d\\ude00" in text
    assert 'surrogate \\ud83d"' in text


def never_filled(schema: dict[str, Any], values: list[Any], path: str = "") -> Iterator[str]:
    """The properties that are missing, null, or an empty object or list in all these values."""
    for name, part in schema.get("properties", {}).items():
        found = [value[name] for value in values if value.get(name) not in (None, [], {})]
        if not found:
            yield path + name
        entries = [entry for value in found for entry in (value if "items" in part else [value])]
        objects = [entry for entry in entries if isinstance(entry, dict)]
        yield from never_filled(part.get("items", part), objects, f"{path}{name}/")


def test_fills_each_field_of_the_schema_with_valid_values(sandbox, connector):
    records = connector.read(sandbox.config, "abandoned_carts").records("abandoned_carts")
    assert len(records) == len(sandbox.carts)
    # A cart on the list is not completed yet: see test_a_completed_cart_keeps_its_address.
    assert list(never_filled(SCHEMA, records)) == ["completionDate"]
    validator = jsonschema.Draft7Validator(SCHEMA)
    assert [error.message for record in records for error in validator.iter_errors(record)] == []


def test_basic_auth_and_the_accept_header_are_checked(sandbox):
    url = f"{sandbox.url}/api/carts/abandoned"
    key = sandbox.snipcart_key
    assert requests.get(url, headers=JSON, timeout=10).status_code == 401
    assert requests.get(url, headers=JSON, auth=("", key), timeout=10).status_code == 401
    assert requests.get(url, headers=JSON, auth=(key, key), timeout=10).status_code == 401
    assert requests.get(url, auth=(key, ""), timeout=10).status_code == 406
    assert carts(sandbox).status_code == 200


def test_pages_follow_one_another_by_tokens_that_need_percent_encoding(sandbox):
    assert set("|+/=") <= set(carts(sandbox).json()["continuationToken"])
    assert listed(sandbox, limit=50) == [cart.token for cart in sandbox.carts]
    assert carts(sandbox, limit=500).json()["continuationToken"] is None
    assert carts(sandbox, continuationToken="Cart|nonsense").status_code == 400


def test_the_default_is_20_carts(sandbox):
    assert len(carts(sandbox).json()["items"]) == 20


def test_filters_leave_carts_out(sandbox):
    sandbox.carts[0].touch(sandbox.now())
    sandbox.carts[1].document["total"] = 1_000_000
    document = sandbox.carts[2].document

    assert listed(sandbox, timeRange="LessThan4Hours") == [sandbox.carts[0].token]
    assert listed(sandbox, minimalValue=999_999.5) == [sandbox.carts[1].token]
    assert sandbox.carts[2].token in listed(sandbox, email=document["email"])
    assert listed(sandbox, email="nobody@shop.example") == []
    assert sandbox.carts[2].token in listed(sandbox, productId=document["items"][0]["id"])
    assert 0 < len(listed(sandbox, productId="42")) < len(sandbox.carts)
    assert listed(sandbox, campaignId="unknown") == []
    assert carts(sandbox, timeRange="Never").status_code == 400


def test_one_cart_is_found_by_its_token(sandbox):
    cart = sandbox.carts[5]
    assert carts(sandbox, f"/{cart.token}").json() == json.loads(json.dumps(cart.document))
    assert carts(sandbox, "/unknown").status_code == 404


def test_a_limit_can_be_capped_or_refused_with_any_status(sandbox):
    sandbox.largest_page = 30
    assert len(carts(sandbox, limit=100).json()["items"]) == 30
    sandbox.largest_limit = 50
    assert carts(sandbox, limit=50).status_code == 200
    assert carts(sandbox, limit=51).status_code == 400
    sandbox.refused_limit_status = 500
    assert carts(sandbox, limit=51).status_code == 500
    assert carts(sandbox, limit=0).status_code == 400


def test_a_cart_can_be_listed_late(sandbox):
    cart = sandbox.carts[3]
    cart.touch(sandbox.now())
    assert listed(sandbox, timeRange="LessThanADay") == [cart.token]
    cart.listed_from = sandbox.now() + timedelta(minutes=30)
    assert listed(sandbox, timeRange="LessThanADay") == []
    assert cart.token not in listed(sandbox)
    sandbox.clock_offset = 31 * 60
    assert listed(sandbox, timeRange="LessThanADay") == [cart.token]
    assert listed(sandbox) == [cart.token for cart in sandbox.carts]


def test_a_completed_cart_keeps_its_address(sandbox):
    cart = sandbox.carts[3]
    cart.complete(sandbox.now(), "Shipped")
    assert cart.token not in listed(sandbox)
    document = carts(sandbox, f"/{cart.token}").json()
    assert document["status"] == "Shipped"
    assert document["completionDate"][:16] == f"{sandbox.now():%Y-%m-%dT%H:%M}"
    jsonschema.Draft7Validator(SCHEMA["properties"]["completionDate"]).validate(
        document["completionDate"]
    )
    cart.put_back()
    assert listed(sandbox) == [cart.token for cart in sandbox.carts]
    document = carts(sandbox, f"/{cart.token}").json()
    assert (document["status"], document["completionDate"]) == ("InProgress", None)


def test_a_deleted_cart_is_gone_until_it_is_put_back(sandbox):
    cart = sandbox.carts[3]
    cart.delete()
    assert cart.token not in listed(sandbox)
    assert carts(sandbox, f"/{cart.token}").status_code == 404
    sandbox.deleted_status = 410
    assert carts(sandbox, f"/{cart.token}").status_code == 410
    cart.put_back()
    assert listed(sandbox) == [cart.token for cart in sandbox.carts]
    assert carts(sandbox, f"/{cart.token}").status_code == 200


def test_a_cart_off_the_list_can_still_be_in_progress(sandbox):
    cart = sandbox.carts[3]
    cart.on_list = False
    assert cart.token not in listed(sandbox)
    assert carts(sandbox, f"/{cart.token}").json()["status"] == "InProgress"
    cart.on_list = True
    assert listed(sandbox) == [cart.token for cart in sandbox.carts]


def test_a_departure_during_a_scan_hides_a_later_cart_from_it(sandbox):
    def leave(request: Any) -> None:
        if "continuationToken" in request.query:
            sandbox.carts[0].on_list = False

    sandbox.before = leave
    found = listed(sandbox, limit=50)
    assert [cart.token for cart in sandbox.carts if cart.token not in found] == [
        sandbox.carts[50].token
    ]


def test_events_on_both_edges_are_counted(sandbox):
    sandbox.abandoned, sandbox.recovered = [99, 100, 150, 199, 200], [199]
    key = sandbox.retargeting_key
    assert stats(sandbox, rest_key=key, date_from=100, date_to=199) == {
        "status": "success",
        "data": {"abandoned": 3, "recovered": 1},
    }


@pytest.mark.parametrize(
    ("params", "answer"),
    [
        ({"rest_key": "other"}, {"status": "error", "message": "Incorrect rest key!"}),
        ({"date_from": 0, "date_to": THIRTY_DAYS + 1},
         {"status": "error", "message": "Interval is greater than 30 days"}),
        ({"date_to": 5}, {"status": "fail", "data": {"validator": {"date_from": [
            "The date from field is required when date to is present."]}}}),
    ],
)  # fmt: skip
def test_refusals_are_the_documented_ones(sandbox, params, answer):
    assert stats(sandbox, **{"rest_key": sandbox.retargeting_key, **params}) == answer


def test_an_account_may_be_inactive_and_30_days_are_allowed(sandbox):
    key = sandbox.retargeting_key
    assert stats(sandbox, rest_key=key, date_from=0, date_to=THIRTY_DAYS)["status"] == "success"
    assert stats(sandbox, rest_key=key)["status"] == "success"
    sandbox.account_active = False
    assert stats(sandbox, rest_key=key)["message"] == "Your account is not active!"


def test_each_fault_happens_as_often_as_requested(sandbox):
    sandbox.faults = [
        Fault("status", status=429, headers={"Retry-After": "3"}),
        Fault("reset"),
        Fault("cut"),
        Fault("html"),
    ]
    assert carts(sandbox).headers["Retry-After"] == "3"
    for _ in range(2):
        with pytest.raises(requests.RequestException):
            carts(sandbox)
    assert "<html>" in carts(sandbox).text
    assert carts(sandbox).status_code == 200


def test_runs_as_a_command():
    process = subprocess.Popen(
        [sys.executable, "-m", "sandbox", "--carts", "3", "--fault", "snipcart:503"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(3)]
    address = lines[0].strip().removeprefix("export SNIPCART_API_URL=")
    settings = json.loads(lines[2].removeprefix("# settings: "))
    statuses = [
        requests.get(
            f"{address}/carts/abandoned",
            headers=JSON,
            auth=(settings["snipcart_api_key"], ""),
            timeout=10,
        ).status_code
        for _ in range(2)
    ]
    process.terminate()
    process.communicate(timeout=10)
    assert statuses == [503, 200]


def test_the_wheel_contains_only_the_connector(tmp_path: Path):
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         "--wheel-dir", str(tmp_path), str(ROOT)],
        check=True,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    folders = {name.split("/")[0] for name in names}
    assert {folder for folder in folders if "dist-info" not in folder} == {"source_abandoned_carts"}
    assert {"spec.yaml", "py.typed", "schemas"} <= {name.split("/")[1] for name in names}
