"""Made-up carts and events: the same ones for the same seed and number.

Dates come in every form that Snipcart's carts were seen with, and people's names in every script.
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
    "half an emoji \ud83d",
    "\ude00 and the other half",
    "line\nbreak\tand \u0000 and \u202e",
    "",
)
_CITIES = (("Québec", "CA", "G1K3A9"), ("Kyiv", "UA", "01001"), ("Graz", "AT", "8010"))


@dataclass
class Cart:
    """A cart as the API tells it; the instants are what its dates mean."""

    document: dict[str, Any]
    modified: datetime | None
    created: datetime | None = None

    @property
    def token(self) -> str:
        return str(self.document["token"])

    def touch(self, moment: datetime, form: str = "iso3") -> None:
        """Change the cart at a moment, written in one of the FORMS."""
        self.modified = moment
        self.document["modificationDate"] = FORMS[form](moment)


def _iso(moment: datetime, digits: int, suffix: str = "Z") -> str:
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f"{moment.microsecond:06d}0"[:digits]
    return f"{text}.{fraction}{suffix}" if digits else f"{text}{suffix}"


def _with_offset(moment: datetime) -> str:
    return _iso(moment.astimezone(timezone(timedelta(hours=-5))), 3, "-05:00")


FORMS: dict[str, Callable[[datetime], str | int]] = {
    "iso0": lambda moment: _iso(moment, 0),
    "iso2": lambda moment: _iso(moment, 2),
    "iso3": lambda moment: _iso(moment, 3),
    "iso7": lambda moment: _iso(moment, 7),
    "no offset": lambda moment: _iso(moment, 3, ""),
    "offset": _with_offset,
    "seconds": lambda moment: int(moment.timestamp()),
    "seconds as text": lambda moment: str(int(moment.timestamp())),
}
"""The forms of a date, each from a moment; those with fewer digits lose the rest of it."""

_DIGITS = {"iso0": 0, "iso2": 2, "no offset": 3, "offset": 3, "iso3": 3, "iso7": 6}


def make_carts(
    number: int,
    seed: int = 1,
    first: datetime = FIRST_DAY,
    last: datetime = LAST_DAY,
    forms: Sequence[str] = tuple(FORMS),
) -> list[Cart]:
    """Make carts, their dates in these forms; a few have no date of change, or the empty one."""
    chance = random.Random(f"carts {seed} {number}")
    return [_make_cart(chance, index, first, last, forms) for index in range(number)]


def make_events(
    number: int, seed: int = 1, first: datetime = FIRST_DAY, last: datetime = LAST_DAY
) -> tuple[list[int], list[int]]:
    """Make Unix seconds at which carts were abandoned, and those at which some were recovered."""
    chance = random.Random(f"events {seed} {number}")
    start, end = int(first.timestamp()), int(last.timestamp())
    abandoned = sorted(chance.randint(start, end) for _ in range(number))
    recovered = sorted(
        moment + chance.randint(600, 20 * 86_400) for moment in abandoned if chance.random() < 0.3
    )
    return abandoned, recovered


def _make_cart(
    chance: random.Random, index: int, first: datetime, last: datetime, forms: Sequence[str]
) -> Cart:
    token = str(uuid.UUID(int=chance.getrandbits(128), version=4))
    span = (last - first).total_seconds()
    created = first + timedelta(microseconds=chance.randrange(int(span * 1e6)))
    modified = created + timedelta(microseconds=chance.randrange(int(72 * 3600 * 1e6)))
    modified = min(modified, last)
    form = chance.choice(forms)
    digits = _DIGITS.get(form, 0)
    modified = modified.replace(
        microsecond=modified.microsecond // 10 ** (6 - digits) * 10 ** (6 - digits)
    )
    name = chance.choice(_NAMES)
    city, country, postal_code = chance.choice(_CITIES)
    address = {
        "fullName": name,
        "firstName": None,
        "name": name,
        "company": chance.choice([None, "Snip & Söhne"]),
        "address1": f"{chance.randint(1, 400)} Rue Saint-Joseph Est",
        "address2": "",
        "city": city,
        "country": country,
        "postalCode": postal_code,
        "province": "",
        "phone": "(555)555-5555",
    }
    items = [
        _make_item(chance, token, created, form) for _ in range(chance.choice([1, 1, 1, 2, 3]))
    ]
    total = round(sum(item["totalPrice"] for item in items), 2)
    campaign = chance.choice([None, None, "c0ffee00-0000-4000-8000-000000000001"])
    document: dict[str, Any] = {
        "token": token,
        "email": f"customer{index % 97}@shop.example",
        "mode": "Test",
        "status": "InProgress",
        "creationDate": FORMS[form](created),
        "modificationDate": FORMS[form](modified),
        "completionDate": chance.choice([None, NO_DATE]),
        "shipToBillingAddress": True,
        "billingAddress": address,
        "shippingAddress": dict(address),
        "invoiceNumber": chance.choice(["", f"{index:05d}"]),
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
        "metadata": chance.choice([{}, None, [], {"source": {"utm": ["a", 1, None, {"b": True}]}}]),
        "user": None,
        "items": items,
        "discounts": [],
        "customFields": [
            {
                "name": "note",
                "value": chance.choice(_NOTES),
                "displayValue": "",
                "placeholder": None,
                "type": "textbox",
                "options": "",
                "required": False,
                "operation": chance.choice([None, "+10.00", 10]),
            }
        ],
        "plans": [],
        "refunds": [],
        "campaignId": campaign,
        "currency": chance.choice(["cad", "eur"]),
        "total": round(total + 10, 2),
        "totalWeight": 20,
        "lang": "en",
        "userAgent": "Mozilla/5.0",
        "ipAddress": "192.0.2.1",
        "isRecurringInvoice": False,
    }
    cart = Cart(document, modified, created)
    if index % 41 == 7:
        cart.modified = None
        document["modificationDate"] = chance.choice([None, NO_DATE, "soon"])
    elif index % 41 == 8:
        cart.modified = None
        del document["modificationDate"]
    return cart


def _make_item(chance: random.Random, token: str, created: datetime, form: str) -> dict[str, Any]:
    identifier, name, price, category = chance.choices(_PRODUCTS, _POPULARITY)[0]
    quantity = chance.choice([1, 1, 2, 5])
    return {
        "uniqueId": str(uuid.UUID(int=chance.getrandbits(128), version=4)),
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
        "totalPrice": round(price * quantity, 2),
        "addedOn": FORMS[form](created),
        "modificationDate": FORMS[form](created),
        "hasTaxesIncluded": False,
    }


def make_token(offset: int, generation: int, filters: dict[str, str]) -> str:
    """Make a continuation token with all the characters that want percent-encoding."""
    text = json.dumps({"offset": offset, "generation": generation, "filters": filters})
    return f"Cart|+//+{base64.b64encode(f'{text}~'.encode()).decode().rstrip('=')}=="


def read_token(token: str) -> tuple[int, int, dict[str, str]] | None:
    """Read what a token was made of; None for one that was never made."""
    try:
        place = token.removeprefix("Cart|+//+").rstrip("=")
        text = base64.b64decode(place + "=" * (-len(place) % 4), validate=True).decode()
        read = json.loads(text.removesuffix("~"))
        found = int(read["offset"]), int(read["generation"]), dict(read["filters"])
    except (ValueError, KeyError, TypeError):
        return None
    return found if make_token(*found) == token else None
