"""Keep credentials and customers' e-mail addresses out of logs and messages."""

import base64
import json
import re
from urllib.parse import quote, quote_plus, unquote, unquote_plus

_MAX_LENGTH = 300  # characters
_MAX_SEARCHED = 1_000_000  # characters
_EMAIL = re.compile(r'(?:"[^"]*"|\S*)(?:@|%40)\S*')


def encodings(*secrets: str) -> list[str]:
    """Return the forms in which a log line may hold these credentials, the longest first.

    They are plain, percent-encoded and Base64 as in HTTP Basic, with and without JSON escapes.
    """
    found = set()
    for secret in secrets:
        basic = base64.b64encode(f"{secret}:".encode()).decode()
        found |= {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), basic}
    for ensure_ascii in (True, False):
        found |= {json.dumps(text, ensure_ascii=ensure_ascii)[1:-1] for text in found}
    return sorted(found, key=len, reverse=True)


def error_summary(text: str, secret: str) -> str:
    """Return a service's error text as one printable line without e-mail addresses.

    It has at most 300 characters. It is empty if the text contains the credential, or if it is too
    long to be searched in a short time.
    """
    if len(text) > _MAX_SEARCHED:
        return ""
    variants = (text, unquote(text), unquote_plus(text))
    if any(encoding in variant for variant in variants for encoding in encodings(secret)):
        return ""
    # Masking is slow, so cut the text first. Masking also shortens it, so keep more than needed.
    start = text[: 10 * _MAX_LENGTH]
    if len(text) > len(start):
        start = start.rpartition(" ")[0] or start  # not a part of an address
    text = "".join(one if one.isprintable() else " " for one in start)
    text = _EMAIL.sub("***", " ".join(text.split()))
    return text if len(text) <= _MAX_LENGTH else f"{text[: _MAX_LENGTH - 1]}…"
