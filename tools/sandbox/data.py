"""Makes carts and events. The same seed and number always make the same data.

The carts fill every field of the connector's schema with values of every kind that was seen. Their
dates have every format seen on Snipcart's carts, and their names are in several scripts.
"""

import base64
import json
import random
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

FIRST_DAY = datetime(2024, 1, 1, tzinfo=timezone.utc)
LAST_DAY = datetime(2025, 12, 31, tzinfo=timezone.utc)
NO_DATE = "0001-01-01T00:00:00"

_PRODUCTS = (
    ("42", "The Geek Shirt", 20.0, "apparel"),
    ("geek-mug", "Mug ☕", 12.5, "kitchen"),
    ("tasse-été", "Tasse d'été", 14.9, "kitchen"),
    ("poster/a2", "Poster A2 + frame", 35.0, "decoration"),
    ("0815", "Sticker set 🎉", 4.2, "stationery"),
)
_POPULARITY = (5, 4, 3, 2, 6)
_NAMES = (
    "Ada Lovelace", "Zoë Ångström", "山田太郎", "Олена Шевченко", "Nuala O'Hara",
    "Tim \"T\" O'Reilly", "عمر الخيام", "José Ñandú",
)  # fmt: skip
_NOTES = (
    "leave at the door",
    "merci 😀",
    "unpaired surrogate \ud83d",
    "\ude00 is one as well",
    "line\nbreak\tand \u0000 and \u202e",
    "",
)
_CITIES = (("Québec", "CA", "G1K3A9"), ("Kyiv", "UA", "01001"), ("Graz", "AT", "8010"))


@dataclass
class Cart:
    """A cart: the JSON document that the API returns, and its dates as datetimes.

    - `listed_from`: the list leaves the cart out until the server's clock reaches this time;
    - `on_list`: if false, the list leaves the cart out, but a request for this cart returns it;
    - `deleted`: if true, a request for this cart returns `Sandbox.deleted_status`.
    """

    document: dict[str, Any]
    modified: datetime | None
    created: datetime | None = None
    listed_from: datetime | None = None
    on_list: bool = True
    deleted: bool = False

    @property
    def token(self) -> str:
        return str(self.document["token"])

    def touch(self, moment: datetime, date_format: str = "iso3") -> None:
        """Set the time of the last change, written in one of the DATE_FORMATS."""
        self.modified = moment
        self.document["modificationDate"] = DATE_FORMATS[date_format](moment)

    def complete(self, moment: datetime, status: str = "Processed") -> None:
        """Take the cart off the list, and make it an order."""
        self.on_list = False
        self.document |= _make_order_fields(self.document)
        self.document |= {"status": status, "completionDate": DATE_FORMATS["iso3"](moment)}

    def delete(self) -> None:
        """Remove the cart from the list, and fail requests for it."""
        self.on_list, self.deleted = False, True

    def put_back(self) -> None:
        """Return a cart that was completed, deleted or off the list to the list, in progress."""
        self.on_list, self.deleted = True, False
        for name in _make_order_fields(self.document):
            self.document.pop(name, None)
        self.document |= {"status": "InProgress", "completionDate": None}


def _iso(moment: datetime, digits: int, suffix: str = "Z") -> str:
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f"{moment.microsecond:06d}0"[:digits]
    return f"{text}.{fraction}{suffix}" if digits else f"{text}{suffix}"


def _with_offset(moment: datetime) -> str:
    return _iso(moment.astimezone(timezone(timedelta(hours=-5))), 3, "-05:00")


DATE_FORMATS: dict[str, Callable[[datetime], str | int]] = {
    "iso0": lambda moment: _iso(moment, 0),
    "iso2": lambda moment: _iso(moment, 2),
    "iso3": lambda moment: _iso(moment, 3),
    "iso7": lambda moment: _iso(moment, 7),
    "no offset": lambda moment: _iso(moment, 3, ""),
    "offset": _with_offset,
    "seconds": lambda moment: int(moment.timestamp()),
    "seconds as text": lambda moment: str(int(moment.timestamp())),
}
"""The formats of dates. Each one formats a datetime and drops the digits that do not fit."""

_DIGITS = {"iso0": 0, "iso2": 2, "no offset": 3, "offset": 3, "iso3": 3, "iso7": 6}


def make_carts(
    number: int,
    seed: int = 1,
    first: datetime = FIRST_DAY,
    last: datetime = LAST_DAY,
    date_formats: Sequence[str] = tuple(DATE_FORMATS),
) -> list[Cart]:
    """Make carts with dates in these formats. A few carts have no readable modification date."""
    rng = random.Random(f"carts {seed} {number}")
    return [_make_cart(rng, index, first, last, date_formats) for index in range(number)]


def make_events(
    number: int, seed: int = 1, first: datetime = FIRST_DAY, last: datetime = LAST_DAY
) -> tuple[list[int], list[int]]:
    """Make the Unix times at which carts were abandoned and at which some were recovered."""
    rng = random.Random(f"events {seed} {number}")
    start, end = int(first.timestamp()), int(last.timestamp())
    abandoned = sorted(rng.randint(start, end) for _ in range(number))
    recovered = sorted(
        moment + rng.randint(600, 20 * 86_400) for moment in abandoned if rng.random() < 0.3
    )
    return abandoned, recovered


def _make_cart(
    rng: random.Random, index: int, first: datetime, last: datetime, date_formats: Sequence[str]
) -> Cart:
    token = str(uuid.UUID(int=rng.getrandbits(128), version=4))
    span = (last - first).total_seconds()
    created = first + timedelta(microseconds=rng.randrange(int(span * 1e6)))
    modified = created + timedelta(microseconds=rng.randrange(int(72 * 3600 * 1e6)))
    modified = min(modified, last)
    date_format = rng.choice(date_formats)
    digits = _DIGITS.get(date_format, 0)
    modified = modified.replace(
        microsecond=modified.microsecond // 10 ** (6 - digits) * 10 ** (6 - digits)
    )
    name = rng.choice(_NAMES)
    city, country, postal_code = rng.choice(_CITIES)
    street = f"{rng.randint(1, 400)} Rue Saint-Joseph Est"
    address = {
        "fullName": name,
        "firstName": rng.choice([None, name.split()[0]]),
        "name": name,
        "company": rng.choice([None, "Snip & Söhne"]),
        "address1": street,
        "address2": rng.choice(["", "2nd floor"]),
        "fullAddress": rng.choice([None, f"{street}, {city}"]),
        "city": city,
        "country": country,
        "postalCode": postal_code,
        "province": rng.choice(["", "QC"]),
        "phone": "(555)555-5555",
        "vatNumber": rng.choice([None, "ATU12345678"]),
    }
    creation_date = DATE_FORMATS[date_format](created)
    items = [_make_item(rng, token, creation_date) for _ in range(rng.choice([1, 1, 1, 2, 3]))]
    total = round(sum(item["totalPrice"] for item in items), 2)
    campaign = rng.choice([None, None, "c0ffee00-0000-4000-8000-000000000001"])
    document: dict[str, Any] = {
        "token": token,
        "email": f"customer{index % 97}@shop.example",
        "mode": "Test",
        "status": "InProgress",
        "creationDate": creation_date,
        "modificationDate": DATE_FORMATS[date_format](modified),
        "completionDate": rng.choice([None, NO_DATE]),
        "shipToBillingAddress": True,
        "billingAddress": address,
        "shippingAddress": dict(address),
        "invoiceNumber": rng.choice(["", f"{index:05d}"]),
        "shippingInformation": {"provider": None, "fees": 10, "method": "Fast custom shipping"},
        "paymentMethod": 0,
        "summary": {
            "subtotal": total,
            "taxableTotal": total,
            "total": total + 10,
            "payableNow": total + 10,
            "paymentMethod": 0,
            "taxes": [],
            "adjustedTotal": total + 10,
        },
        "metadata": rng.choice([{}, None, [], {"source": {"utm": ["a", 1, None, {"b": True}]}}]),
        "user": None,
        "items": items,
        "discounts": [],
        "customFields": [
            _make_field("note", rng.choice(_NOTES), rng.choice([None, "+10.00", 10])),
        ],
        "plans": [],
        "refunds": [],
        "campaignId": campaign,
        "currency": rng.choice(["cad", "eur"]),
        "total": round(total + 10, 2),
        "totalWeight": 20,
        "lang": "en",
        "userAgent": "Mozilla/5.0",
        "ipAddress": "192.0.2.1",
        "isRecurringInvoice": False,
    }
    if rng.random() < 0.1:
        document |= _make_undocumented_fields(rng, document)
    cart = Cart(document, modified, created)
    if index % 41 == 7:
        cart.modified = None
        document["modificationDate"] = rng.choice([None, NO_DATE, "soon"])
    elif index % 41 == 8:
        cart.modified = None
        del document["modificationDate"]
    return cart


def _make_undocumented_fields(rng: random.Random, document: dict[str, Any]) -> dict[str, Any]:
    """Make fields and kinds of values that appear only in API clients and public samples."""
    # This generator is separate, so that new fields do not change the carts made after this one.
    kinds = random.Random(document["token"])
    subtotal = document["summary"]["subtotal"]
    taxes = [{"taxName": "VAT", "taxRate": 0.2, "amount": 4.0, "numberForInvoice": "VAT 42"}]
    user_id = str(uuid.UUID(int=rng.getrandbits(128), version=4))
    return {
        "id": document["token"],
        "accountId": "5d1e0f00-0000-4000-8000-000000000002",
        "parentCartId": "5d1e0f00-0000-4000-8000-000000000003",
        "userId": user_id,
        "partitionKey": "5d1e0f00-0000-4000-8000-000000000002",
        "_etag": '"0a00-4f2b-0000"',
        "version": kinds.choice(["3.0", 3]),
        "location": kinds.choice(["CA", {"country": "CA", "province": "QC"}]),
        "user": {"id": user_id, "email": document["email"], "statistics": {"ordersCount": 2}},
        "guest": rng.choice([True, False]),
        "exported": False,
        "hasItemsShippable": True,
        "billingAddress": document["billingAddress"]
        | {"hasMinimalRequiredInfo": False, "validationErrors": {"phone": "too long"}},
        "shippingAddress": document["shippingAddress"]
        | {"hasMinimalRequiredInfo": False, "validationErrors": {"phone": "too long"}},
        "shippingInformation": {"provider": "Shippo", "fees": 10.5, "method": "Standard"},
        "shippingDetails": {"method": "Standard", "status": 2},
        "metadata": kinds.choice(["a text", document["metadata"]]),
        "paymentMethod": kinds.choice(["CreditCard", 1]),
        "paymentGatewayUsed": kinds.choice(["Stripe", 2]),
        "paymentGatewayTransactionId": "ch_0123456789",
        "paymentGatewayInvoiceId": "in_0123456789",
        "gatewayResponseData": kinds.choice(["approved", {"code": 100, "approved": True}]),
        "card": {"last4Digits": "4242", "type": "Visa"},
        "summary": document["summary"]
        | {
            "paymentMethod": kinds.choice(["CreditCard", 1]),
            "taxes": taxes,
            "discountInducedTaxesVariation": -0.5,
            "shipping": rng.choice([10.5, {"fees": 10.5, "method": "Standard"}]),
        },
        "taxes": taxes,
        "defaultTaxes": taxes,
        "taxProvider": kinds.choice(["Default", 0]),
        "discounts": [
            {
                "id": "5d1e0f00-0000-4000-8000-000000000004",
                "discountId": "5d1e0f00-0000-4000-8000-000000000005",
                "name": "Back to school",
                "trigger": "Code",
                "type": rng.choice(["FixedAmount", "Rate"]),
                "code": "SCHOOL",
                "amount": 5,
                "rate": 10,
                "amountSaved": 5,
                "normalizedRate": 0.1,
                "totalToReach": 20,
                "combinable": False,
                "hasSavedAmount": True,
                "maxDiscountsPerItem": 1,
                "productIds": kinds.choice(["42,geek-mug", ["42", "geek-mug"]]),
                "categories": kinds.choice(["apparel,kitchen", ["apparel", "kitchen"]]),
                "numberOfUsages": 3,
                "appliesOnAllRecurringOrders": False,
                "creationDate": kinds.choice(["2024-01-01T00:00:00.1234567Z", 1704067200]),
                "modificationDate": kinds.choice(["2024-01-01T00:00:00.1234567Z", 1704067200]),
            }
        ],
        "plans": [{"id": "monthly", "name": "Coffee every month", "interval": "Month"}],
        "refunds": [{"amount": 2.5, "comment": "broken handle", "notifyCustomer": True}],
        "notifications": [{"type": "Comment", "message": "called back", "notifyCustomer": False}],
        "recoveryCampaignStatus": rng.choice(["NotStarted", {"step": 1, "emailSent": True}]),
        "compatibilitySwitches": {"use_taxes_v2": True},
        "subtotal": subtotal,
        "baseTotal": subtotal,
        "itemsTotal": subtotal,
        "itemsTotalWithoutTaxes": subtotal,
        "discountsTotal": 5,
        "taxesTotal": 4.0,
        "plansTotal": 0,
        "discountInducedTaxesVariation": -0.5,
        "totalPriceWithoutDiscountsAndTaxes": subtotal,
        "shippingCharged": kinds.choice([10.5, True, False]),
    }


def _make_order_fields(document: dict[str, Any]) -> dict[str, Any]:
    """Make the fields that a cart has only after it became an order."""
    total, address = document["total"], document["billingAddress"]
    flat = {
        "FirstName": address["firstName"] or "Ada",
        "Name": address["name"],
        "CompanyName": address["company"] or "Snip & Söhne",
        "Address1": address["address1"],
        "Address2": address["address2"] or "2nd floor",
        "City": address["city"],
        "Country": address["country"],
        "Province": address["province"] or "QC",
        "PostalCode": address["postalCode"],
        "Phone": address["phone"],
        "Complete": True,
    }
    return {
        **{f"billingAddress{name}": value for name, value in flat.items()},
        **{f"shippingAddress{name}": value for name, value in flat.items()},
        "shippingAddressSameAsBilling": True,
        "paymentStatus": "Paid",
        "paymentTransactionId": "ch_0123456789",
        "paymentDetails": {"iconUrl": None, "display": "Visa", "instructions": None},
        "willBePaidLater": False,
        "cardType": "Visa",
        "cardHolderName": address["name"],
        "creditCardLast4Digits": "4242",
        "grandTotal": total,
        "finalGrandTotal": total,
        "adjustedAmount": total,
        "savedAmount": 0,
        "refundsAmount": 2.5,
        "taxableTotal": total,
        "totalRebateRate": 0,
        "itemsCount": len(document["items"]),
        "numberOfItemsInOrder": len(document["items"]),
        "totalNumberOfItems": sum(item["quantity"] for item in document["items"]),
        "shippingEnabled": True,
        "shippingFees": 10,
        "shippingMethod": "Fast custom shipping",
        "shippingLocalizedMethod": "Livraison rapide",
        "shippingProvider": "Shippo",
        "shippingRateUserDefinedId": "fast",
        "shippingMethodComplete": True,
        "trackingNumber": "1Z 999",
        "trackingUrl": "https://shop.example/track/1Z999",
        "recoveredFromCampaignId": "c0ffee00-0000-4000-8000-000000000001",
        "isRecurringOrder": False,
        "isRecurringV3Order": False,
        "hasSubscriptions": False,
        "subscriptionId": "5d1e0f00-0000-4000-8000-000000000007",
        "parentToken": "5d1e0f00-0000-4000-8000-000000000008",
        "parentInvoiceNumber": "SNIP-1001",
        "notes": "leave at the door",
        "customFieldsJson": json.dumps(document["customFields"]),
    }


def _make_item(rng: random.Random, token: str, added_on: str | int) -> dict[str, Any]:
    identifier, name, price, category = rng.choices(_PRODUCTS, _POPULARITY)[0]
    quantity = rng.choice([1, 1, 2, 5])
    total = round(price * quantity, 2)
    item = {
        "uniqueId": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
        "token": token,
        "id": identifier,
        "name": name,
        "price": price,
        "description": "Be the coolest geek in town.",
        "url": "https://shop.example/",
        "image": None,
        "quantity": quantity,
        "minQuantity": None,
        "maxQuantity": None,
        "stackable": True,
        "shippable": True,
        "taxable": True,
        "taxes": [],
        "customFields": [],
        "duplicatable": False,
        "alternatePrices": {},
        "dimensions": {"width": None, "height": None, "length": None, "weight": 20},
        "categories": [category],
        "metadata": None,
        "unitPrice": price,
        "totalPrice": total,
        "addedOn": added_on,
        "modificationDate": added_on,
        "hasTaxesIncluded": False,
    }
    if rng.random() < 0.1:
        kinds = random.Random(str(item["uniqueId"]))
        item |= {
            "image": "https://shop.example/image.png",
            "fileGuid": "5d1e0f00-0000-4000-8000-000000000006",
            "minQuantity": 1,
            "maxQuantity": 10,
            "downloadLink": "https://shop.example/download",
            "quantityStep": 1,
            "stock": 5,
            "stackable": kinds.choice(["auto", False]),
            "taxes": kinds.choice([["VAT"], [{"name": "VAT", "rate": 0.2}]]),
            "customFields": [_make_field("size", "L", rng.choice([None, "+10.00", 2.5]))],
            "customFieldsJson": "[]",
            "initialData": "{}",
            "state": {"committing": False},
            "alternatePrices": {"vip": price / 2},
            "dimensions": {"width": 10, "height": 2.5, "length": 30, "weight": 20},
            "metadata": kinds.choice(["black", rng.choice([{"color": "black"}, ["black"]])]),
            "weight": 20.5,
            "width": 10,
            "height": 2.5,
            "length": 30,
            "hasDimensions": True,
            "parcels": [{"weight": 20.5}],
            "originalPrice": price,
            "totalPriceWithoutTaxes": total,
            "totalPriceWithoutDiscountsAndTaxes": total,
            "totalWeight": 20 * quantity,
            "paymentSchedule": {
                "interval": rng.choice([0, "Day"]),
                "intervalCount": 1,
                "trialPeriodInDays": 14,
                "startsOn": "2026-01-01T00:00:00Z",
            },
            "startsOn": kinds.choice(["2026-01-01T00:00:00Z", 1767225600]),
            "subscriptionId": "5d1e0f00-0000-4000-8000-000000000007",
            "availablePlans": [{"id": "monthly"}],
            "selectedPlanId": "monthly",
            "pausingAction": "None",
            "cancellationAction": "EndOfPeriod",
        }
    return item


def _make_field(name: str, value: str, operation: str | float | None) -> dict[str, Any]:
    return {
        "name": name,
        "value": value,
        "displayValue": value.strip(),
        "placeholder": None if operation else "Type here",
        "type": "textbox",
        "options": "S|L",
        "optionsArray": ["S", "L"],
        "required": False,
        "operation": operation,
    }


def make_token(offset: int, generation: int, filters: dict[str, str]) -> str:
    """Make a continuation token. It holds every character that a URL must percent-encode."""
    text = json.dumps({"offset": offset, "generation": generation, "filters": filters})
    return f"Cart|+//+{base64.b64encode(f'{text}~'.encode()).decode().rstrip('=')}=="


def read_token(token: str) -> tuple[int, int, dict[str, str]] | None:
    """Return the arguments with which `make_token` made a token, or None if it did not."""
    try:
        encoded = token.removeprefix("Cart|+//+").rstrip("=")
        text = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True).decode()
        read = json.loads(text.removesuffix("~"))
        found = int(read["offset"]), int(read["generation"]), dict(read["filters"])
    except (ValueError, KeyError, TypeError):
        return None
    return found if make_token(*found) == token else None
