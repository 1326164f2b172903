"""The documented queries, compared with what Python computes from the sandbox's carts."""

import re
from collections import Counter, defaultdict
from datetime import datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal

import pytest

from .databases import PostgreSQL
from .harness import CARTS, ROOT, STATS

QUERIES = ROOT / "docs/queries"
PAGE = (ROOT / "docs/abandoned-carts.md").read_text()
DAY = timedelta(days=1)


class Shop:
    """A sandbox whose carts were bought, deleted, ended otherwise, and bought but active again."""

    def __init__(self, sandbox):
        self.sandbox, self.carts = sandbox, sandbox.carts
        dated = [cart for cart in self.carts if cart.modified]
        undated = [cart for cart in self.carts if not cart.modified]
        self.bought = {cart.token: cart for cart in [*dated[:20], undated[0]]}
        self.deleted = {cart.token: cart for cart in dated[20:26]}
        self.otherwise = {cart.token: cart for cart in dated[26:29]}
        self.active_again = dated[29]
        dated[0].document["currency"] = None
        dated[21].document["currency"] = ""
        dated[2].document |= {"currency": "EUR", "total": 10.114}
        dated[4].document["total"] = dated[41].document["total"] = None
        dated[3].document["items"][0].update(name=None, id="nameless")
        del dated[40].document["items"]

    def change(self):
        """Make the carts leave the list that are to leave it."""
        for cart in [*self.bought.values(), self.active_again]:
            cart.complete((cart.modified or cart.created) + 2.5 * DAY)
        for cart in self.otherwise.values():
            cart.complete(self.sandbox.now(), "Cancelled")
            cart.document["completionDate"] = None
        for cart in self.deleted.values():
            cart.delete()

    def change_back(self):
        self.active_again.put_back()
        self.active_again.touch(self.sandbox.now())

    def outcome(self, cart):
        for name in ("bought", "deleted", "otherwise"):
            if cart.token in getattr(self, name):
                return {"otherwise": "ended otherwise"}.get(name, name)
        return "still abandoned"


def currency_of(cart):
    return (cart.document["currency"] or "no currency").replace("eur", "EUR").replace("cad", "CAD")


def cents(value):
    return float(Decimal(str(value)).quantize(Decimal("0.01"), ROUND_HALF_UP))


def count_and_add(carts, *keys):
    """Return a row for each group of carts: its keys, the number of carts, and their value."""
    groups = defaultdict(list)
    for cart in carts:
        groups[tuple(key(cart) for key in keys)].append(Decimal(str(cart.document["total"] or 0)))
    return [(*group, len(totals), cents(sum(totals))) for group, totals in groups.items()]


def carts_by_week(shop):
    def week(cart):
        if cart.modified is None:
            return "no date"
        return f"{cart.modified - cart.modified.weekday() * DAY:%Y-%m-%d}"

    return count_and_add(shop.carts, week, currency_of)


def outcomes(shop):
    return count_and_add(shop.carts, shop.outcome, currency_of)


def products(shop):
    tokens, values, names = defaultdict(set), Counter(), {}
    for cart in shop.carts:
        for item in cart.document.get("items", []):
            group = item["id"], currency_of(cart)
            names[item["id"]] = item["name"] or item["id"]
            tokens[group].add(cart.token)
            values[group] += Decimal(str(item["totalPrice"]))
    return [
        (product, names[product], currency, len(found), cents(values[product, currency]))
        for (product, currency), found in tokens.items()
    ]


def bought_by_campaign(shop):
    # A cart that is active again was bought once, and departed_carts still says so.
    departed = [*shop.bought.values(), shop.active_again]
    return count_and_add(
        departed, lambda cart: cart.document["campaignId"] or "no campaign", currency_of
    )


def days_to_purchase(shop):
    dated = [cart for cart in shop.bought.values() if cart.modified]
    return [(2, len(dated))]


def recovered_by_window(shop):
    rows, first = [], datetime(2024, 1, 1, tzinfo=timezone.utc)
    while first < (now := shop.sandbox.now()):
        last = min(first + 30 * DAY - timedelta(seconds=1), now)
        abandoned, recovered = (
            sum(first.timestamp() <= moment <= last.timestamp() for moment in moments)
            for moments in (shop.sandbox.abandoned, shop.sandbox.recovered)
        )
        percent = round(100 * recovered / abandoned, 1) if abandoned else None
        rows.append((first.date(), last.date(), abandoned, recovered, percent))
        first += 30 * DAY
    return rows


EXPECTED = {
    "carts_by_week": carts_by_week,
    "outcomes": outcomes,
    "products": products,
    "bought_by_campaign": bought_by_campaign,
    "days_to_purchase": days_to_purchase,
    "recovered_by_window": recovered_by_window,
}


@pytest.fixture
def shop(sync, database, sandbox):
    """A shop that was synced into the database after each change."""
    sync.config["snipcart_departed_carts"] = True
    shop = Shop(sandbox)
    sync(database.url)
    shop.change()
    sync(database.url)
    shop.change_back()
    sync(database.url)
    return shop


def run(database, statement):
    """Return how often each row appears."""
    rows = [tuple(row.values()) for row in database.rows(statement)]
    as_float = [[float(each) if isinstance(each, Decimal) else each for each in r] for r in rows]
    return Counter(map(tuple, as_float))


def test_queries_return_what_python_computes(database, shop):
    files = {path.stem: path.read_text() for path in QUERIES.glob("*.sql")}
    files["products"] = files.pop(f"products.{database.name}")
    expected = {name: Counter(compute(shop)) for name, compute in EXPECTED.items()}
    found = {name: run(database, files[name]) for name in expected}
    assert found == expected
    if isinstance(database, PostgreSQL):
        # The names and types of the columns that Airbyte writes.
        database.rows(
            f"""CREATE SCHEMA airbyte;
            CREATE VIEW airbyte.abandoned_carts AS SELECT token, currency, items,
                total::numeric AS total, modification_date AS "modificationDate" FROM {CARTS};
            CREATE VIEW airbyte.departed_carts AS SELECT * FROM departed_carts;
            CREATE VIEW airbyte.cart_stats AS SELECT * FROM {STATS}"""
        )
        on_page = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
        found = [run(database, f"SET search_path = airbyte; {query}") for query in on_page]
        assert found == list(expected.values())


def test_page_has_the_queries_of_the_files():
    """Airbyte keeps the API's names. The files have them in snake case, and a comment."""
    on_page = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    assert len(on_page) == len(EXPECTED)
    files = [path.read_text() for path in QUERIES.glob("*.sql")]
    for query in on_page:
        snake = query.replace('"modificationDate"', "modification_date")
        assert [text for text in files if re.sub("--.*\n", "", text) == snake]


def test_products_differ_only_in_how_they_unnest():
    duckdb, postgresql = (
        (QUERIES / f"products.{name}.sql").read_text() for name in ("duckdb", "postgresql")
    )
    replaced = duckdb.replace("unnest(items::json[])", "jsonb_array_elements(items)")
    assert replaced.replace("DuckDB", "PostgreSQL") == postgresql


def test_every_query_is_expected():
    stems = {path.stem.partition(".")[0] for path in QUERIES.glob("*.sql")}
    assert stems == EXPECTED.keys()
