"""Explain why a request got no response: an exception of requests becomes an ApiError (pure).

The exceptions' own texts are never quoted, because they hold URLs, and these hold credentials.
"""

import re
import ssl
from collections.abc import Iterator

import requests
from airbyte_cdk.models import FailureType

from .errors import ApiError

_CHECK_BUNDLE = (
    "The environment variable REQUESTS_CA_BUNDLE must be the path of a file with certificates in "
    "PEM format that the connector can read."
)
_TRUST_PROXY = (
    "If a proxy decrypts https, write its certificate into a file, and set the environment "
    "variable REQUESTS_CA_BUNDLE to the path of the file."
)
_CHECK_PROXY = "Check the proxy in the environment variable HTTPS_PROXY."
_LOG_IN = (
    f"{_CHECK_PROXY} With a login, it is http://USER:PASSWORD@HOST:PORT."  # ignore-https-check
)
_ALLOW_HOST = "Allow the service's host name in the proxy."


def explain(service: str, error: Exception) -> ApiError:
    """Return a transient_error, or a system_error if another attempt would fail, too."""
    if cause := _permanent_cause(error):
        what_happened, what_to_do = cause
        message = f"{service} could not be reached: {what_happened}. {what_to_do}"
        return ApiError(message, FailureType.system_error)
    reason = ""
    if status := _proxy_status(error):
        reason = f" (HTTP {status} from the proxy)"
    elif errors := [one for one in _chain(error) if isinstance(one, OSError) and one.strerror]:
        # The operating system's reason. requests raises its own OSErrors without one.
        reason = f" ({errors[0].strerror})"
    return ApiError(f"{service} could not be reached{reason}.", FailureType.transient_error)


def _permanent_cause(error: Exception) -> tuple[str, str] | None:
    """Return what happened and what to do, if waiting does not help."""
    root = list(_chain(error))[-1]
    status = _proxy_status(error)
    cause = None
    if isinstance(error, requests.exceptions.InvalidSchema):
        cause = ("the connector does not support SOCKS proxies", _CHECK_PROXY)
    elif isinstance(error, requests.exceptions.InvalidURL):  # the service's own URL is validated
        cause = ("the address of the proxy is not a URL", _CHECK_PROXY)
    elif isinstance(root, ssl.SSLCertVerificationError):
        cause = (f"its certificate is not valid ({root.verify_message.rstrip('.')})", _TRUST_PROXY)
    elif _is_about_trusted_certificates(error, root):
        cause = ("the file of trusted certificates cannot be read", _CHECK_BUNDLE)
    elif isinstance(root, ssl.SSLError) and root.reason == "WRONG_VERSION_NUMBER":
        cause = ("the response is not https", _CHECK_PROXY)
    elif status == 407:
        cause = ("the proxy requires a login (HTTP 407)", _LOG_IN)
    elif 400 <= status < 500 and status not in (408, 429):
        cause = (f"the proxy refused the connection (HTTP {status})", _ALLOW_HOST)
    return cause


def _is_about_trusted_certificates(error: Exception, root: BaseException) -> bool:
    if isinstance(root, ssl.SSLError):
        return root.library in ("X509", "PEM")
    # requests raises a bare OSError for a missing file, and an SSLError for an unreadable one.
    return type(error) is OSError or isinstance(error, requests.exceptions.SSLError)


def _proxy_status(error: Exception) -> int:
    """Return the HTTP status of a proxy that refused to connect, which is only in a text; or 0."""
    match = re.match("Tunnel connection failed: ([0-9]{3})", str(list(_chain(error))[-1]))
    return int(match[1]) if match else 0


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error:
        yield error
        error = error.__context__
