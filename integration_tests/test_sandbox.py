"""The sandbox keeps to the two services' documents."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox import Fault, Sandbox, make_carts, make_events
from sandbox.data import FORMS, NO_DATE

from .conftest import HERE

ROOT = HERE.parent
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


def test_all_forms_of_dates_and_half_emoji_occur():
    documents = [cart.document for cart in make_carts(300)]
    dates = [document.get("modificationDate", "missing") for document in documents]
    assert {type(date) for date in dates} == {str, int, type(None)}
    assert {len(date) for date in dates if isinstance(date, str) and "T" in date} >= {
        len(str(form(make_carts(1)[0].modified))) for name, form in FORMS.items() if "iso" in name
    }
    assert {NO_DATE, "missing"} <= set(dates)
    text = json.dumps(documents)
    assert "\\ud83d\\ude00" in text
    assert "half an emoji \\ud83d" in text


def test_basic_auth_and_the_accept_header_are_checked(sandbox):
    url = f"{sandbox.url}/api/carts/abandoned"
    key = sandbox.snipcart_key
    assert requests.get(url, headers=JSON, timeout=10).status_code == 401
    assert requests.get(url, headers=JSON, auth=("", key), timeout=10).status_code == 401
    assert requests.get(url, headers=JSON, auth=(key, key), timeout=10).status_code == 401
    assert requests.get(url, auth=(key, ""), timeout=10).status_code == 406
    assert carts(sandbox).status_code == 200


def test_pages_follow_one_another_by_tokens_that_want_encoding(sandbox):
    found, token = [], None
    while True:
        page = carts(sandbox, limit=50, continuationToken=token).json()
        found += [cart["token"] for cart in page["items"]]
        token = page["continuationToken"]
        if not page["hasMoreResults"]:
            break
        assert set("|+/=") <= set(token)
    assert found == [cart.token for cart in sandbox.carts]
    assert token is None
    assert carts(sandbox, continuationToken="Cart|nonsense").status_code == 400


def test_the_default_is_20_carts(sandbox):
    assert len(carts(sandbox).json()["items"]) == 20


def test_filters_leave_carts_out(sandbox):
    sandbox.carts[0].touch(sandbox.now())
    sandbox.carts[1].document["total"] = 1_000_000
    document = sandbox.carts[2].document

    def found(**params: Any) -> list[str]:
        return [cart["token"] for cart in carts(sandbox, limit=500, **params).json()["items"]]

    assert found(timeRange="LessThan4Hours") == [sandbox.carts[0].token]
    assert found(minimalValue=999_999.5) == [sandbox.carts[1].token]
    assert sandbox.carts[2].token in found(email=document["email"])
    assert found(email="nobody@shop.example") == []
    assert sandbox.carts[2].token in found(productId=document["items"][0]["id"])
    assert 0 < len(found(productId="42")) < len(sandbox.carts)
    assert found(campaignId="unknown") == []
    assert carts(sandbox, timeRange="Never").status_code == 400


def test_one_cart_is_found_by_its_token(sandbox):
    cart = sandbox.carts[5]
    assert carts(sandbox, f"/{cart.token}").json() == json.loads(json.dumps(cart.document))
    assert carts(sandbox, "/unknown").status_code == 404


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


def test_it_misbehaves_as_told_and_then_no_more(sandbox):
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


def test_it_is_a_command_of_its_own():
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


def test_nothing_but_the_connector_is_in_the_wheel(tmp_path: Path):
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
