"""What must not be seen: keys in every form they may take, people's e-mail addresses."""

import base64
import html
import json
import re
from urllib.parse import quote, quote_plus

# The whole word around the sign: too much hidden does no harm.
_EMAIL = re.compile(r"[^\s<>]*(?:@|%40|%2540|&#64;|\\u0040)[^\s<>]*")
_UNPRINTABLE = re.compile(r"[^\S ]+|[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")
_LONGEST = 300


def forms(secret: str) -> list[str]:
    """Give the texts by which a secret could be recognised in a log, the longest first.

    As it is, percent-encoded, in Base64 (alone and as in an Authorization header), escaped for
    JSON, Python and HTML, and escaped once more, as in a log line that is itself JSON.
    """
    plain = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret)}
    plain.add(quote_plus(secret, safe="/"))
    plain |= {re.sub("%..", lambda code: code[0].lower(), text) for text in plain}
    plain |= {quote(text, safe="") for text in plain}
    for text in (secret, f"{secret}:", f":{secret}"):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            encoded = encode(text.encode()).decode()
            plain |= {encoded, encoded.rstrip("="), quote(encoded, safe="")}
    plain |= {html.escape(secret), html.escape(secret, quote=False)}
    for _ in ("once", "twice"):
        for text in list(plain):
            plain |= {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
            plain |= {repr(text)[1:-1], text.replace("/", "\\/")}
    return sorted(plain - {""}, key=len, reverse=True)


def presentable(text: str) -> str:
    """Give a service's own words fit for a log: one printable line, no addresses, not too long."""
    text = _EMAIL.sub("***", " ".join(_UNPRINTABLE.sub(" ", text).split()))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
