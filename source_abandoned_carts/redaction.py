"""What must not be seen: keys in whatever form, people's e-mail addresses."""

import base64
import html
import json
import re
import unicodedata
from urllib.parse import quote, quote_plus, unquote

_LONGEST_SHOWN = 300  # characters
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_INVISIBLE = re.compile(r"[\xad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
_AROUND_AT = re.compile(r"\s*([@\uff20\ufe6b])\s*")
_ESCAPE = re.compile(r"\\+(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2}))")
_QUOTED_ADDRESS = re.compile(r'"[^"]*"@\S+')
_BASE64 = re.compile(r"[\w+/-]{6,}", re.ASCII)


def forms(secret: str) -> list[str]:
    """Give the texts by which a log line of a library may tell a secret, the longest first.

    As it is, percent-encoded as in a URL, in Base64 as in a header, and each of them as it stands
    in JSON or in a repr, and in a log line that is itself JSON.
    """
    found = {
        secret,
        *(encode(secret, safe) for encode in (quote, quote_plus) for safe in ("", "/")),
    }
    for text in (secret, f"{secret}:"):
        encoded = base64.b64encode(text.encode()).decode()
        found |= {encoded, encoded.rstrip("=")}
    for _ in ("once", "twice"):
        for text in list(found):
            found |= {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
            found.add(repr(text)[1:-1])
    return sorted(found - {""}, key=len, reverse=True)


def reveals(text: str, secret: str) -> bool:
    """Tell whether a text written by others holds a secret, however it may be escaped there."""
    wanted = {bare for level in _levels(secret) if len(bare := _bare(level)) >= 4}
    for level in _levels(text):
        seen = [level, *_decoded(level)]
        if any(one in _bare(other) for one in wanted for other in seen):
            return True
    return False


def shorten(text: str, length: int = 2_000) -> str:
    """Cut a text to what is worth looking at: some ways of looking take long on a long one."""
    return text[:length]


def presentable(text: str) -> str:
    """Give a service's own words fit for a log: one printable line, no addresses, not too long."""
    text = _UNPRINTABLE.sub(" ", _INVISIBLE.sub("", shorten(text)))
    text = _QUOTED_ADDRESS.sub("***", _AROUND_AT.sub(r"\1", text))
    # The whole word around the sign: too much hidden does no harm.
    text = " ".join("***" if _is_address(word) else word for word in text.split())
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def _is_address(word: str) -> bool:
    return any(sign in level for level in _levels(word) for sign in "@\uff20\ufe6b")


def _levels(text: str) -> list[str]:
    """Give a text, and what it is with one to three layers of escapes taken off."""
    levels = [text]
    for _ in range(3):
        plain = _ESCAPE.sub(lambda code: chr(int(code[1] or code[2], 16)), levels[-1])
        levels.append(unquote(html.unescape(plain)))
    return levels


def _bare(text: str) -> str:
    # A space may be written as plus, and anything may stand behind a backslash.
    text = _UNPRINTABLE.sub("", _INVISIBLE.sub("", unicodedata.normalize("NFKC", text)))
    return re.sub(r"[\s\\+]", "", text)


def _decoded(text: str) -> list[str]:
    """Give what may be read from a text as Base64, which may begin at any of its characters."""
    found = []
    for run in _BASE64.findall(re.sub(r"[\r\n]", "", text)):
        for start in range(4):
            part = run[start:].replace("+", "-").replace("/", "_")
            part = part[: len(part) - (len(part) % 4 == 1)]
            decoded = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
            found.append(decoded.decode(errors="replace"))
    return found
