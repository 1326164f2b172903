"""Connections that fail, over real sockets: TLS servers and proxies on loopback."""

import datetime
import socket
import ssl
import threading
from contextlib import contextmanager, suppress

import pytest
from airbyte_cdk.models import FailureType
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from source_abandoned_carts.errors import ApiError
from source_abandoned_carts.http import RetryPolicy

from .helpers import ExampleClient

NOW = datetime.datetime.now(datetime.timezone.utc)
NO_PROXY = "HTTP/1.1 {} Reason\r\nContent-Length: 0\r\n\r\n"


@contextmanager
def server(respond):
    """Serve on loopback; `respond` is called with each connection. Return the port."""

    def accept():
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    respond(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]


def tls_server(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def respond(connection):
        with context.wrap_socket(connection, server_side=True) as encrypted:
            encrypted.recv(65536)
            encrypted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n5")

    return server(respond)


def proxy(response):
    def respond(connection):
        connection.recv(65536)
        connection.sendall(response)

    return server(respond)


@pytest.fixture
def certificate(tmp_path):
    """Make a self-signed certificate. Return the path of a file with it and its key."""

    def make(host="localhost", until=NOW + datetime.timedelta(days=1)):
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        names = x509.SubjectAlternativeName([x509.DNSName(host)])
        signed = (
            x509.CertificateBuilder(name, name, key.public_key(), 1)
            .not_valid_before(NOW - datetime.timedelta(days=9))
            .not_valid_after(until)
            .add_extension(names, critical=False)
            .sign(key, hashes.SHA256())
        )
        no_password = serialization.NoEncryption()
        pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        path = tmp_path / "certificate.pem"
        path.write_bytes(key.private_bytes(pem, pkcs8, no_password) + signed.public_bytes(pem))
        return str(path)

    return make


@pytest.fixture
def error_of(monkeypatch, waits):
    """Return the ApiError of a request, whose one attempt is the last; None if it succeeds."""

    def get(url=ExampleClient.default_url, **environment):
        for name, value in {"EXAMPLE_URL": url, **environment}.items():
            monkeypatch.setenv(name, value)
        error = None
        try:
            ExampleClient("s3cret", RetryPolicy(connect=5, read=5)).get("/x", {"key": "s3cret"})
        except ApiError as raised:
            error = raised
        assert "s3cret" not in str(error)
        return error

    return get


def assert_permanent(error, waits, *texts):
    assert waits == []
    assert error.failure_type == FailureType.system_error
    for text in ("Example could not be reached: ", *texts):
        assert text in error.message


def test_accepts_a_certificate_in_the_file_of_the_environment(certificate, error_of):
    path = certificate()
    with tls_server(path) as port:
        assert error_of(f"https://localhost:{port}", REQUESTS_CA_BUNDLE=path) is None


@pytest.mark.parametrize(
    ("host", "until", "is_trusted", "reason"),
    [
        ("localhost", NOW + datetime.timedelta(days=1), False, "self-signed certificate)."),
        ("elsewhere", NOW + datetime.timedelta(days=1), True, "not valid for 'localhost')."),
        ("localhost", NOW - datetime.timedelta(days=1), True, "certificate has expired)."),
    ],
)
def test_certificate_that_is_not_valid(
    certificate, error_of, waits, host, until, is_trusted, reason
):
    path = certificate(host, until)
    environment = {"REQUESTS_CA_BUNDLE": path} if is_trusted else {}
    with tls_server(path) as port:
        error = error_of(f"https://localhost:{port}", **environment)
    assert_permanent(error, waits, "its certificate is not valid", reason, "REQUESTS_CA_BUNDLE")


@pytest.mark.parametrize("content", [None, "", "x", "-----BEGIN CERTIFICATE-----\nx\n"])
def test_file_of_certificates_that_cannot_be_read(error_of, waits, tmp_path, content):
    path = tmp_path / "bundle.pem"
    if content is not None:
        path.write_text(content)
    with proxy(b"") as port:
        error = error_of(f"https://localhost:{port}", REQUESTS_CA_BUNDLE=str(path))
    assert_permanent(error, waits, "trusted certificates cannot be read. The environment variable")


@pytest.mark.parametrize(
    ("status", "texts"),
    [
        (407, ("the proxy requires a login (HTTP 407)", "http://USER:PASSWORD@HOST:PORT")),
        (403, ("the proxy refused the connection (HTTP 403)", "Allow the service's host name")),
    ],
)
def test_proxy_that_refuses(error_of, waits, status, texts):
    with proxy(NO_PROXY.format(status).encode()) as port:
        error = error_of(HTTPS_PROXY=f"http://user:s3cret@127.0.0.1:{port}")
    assert_permanent(error, waits, *texts)


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("socks5://user:s3cret@127.0.0.1:9", "does not support SOCKS proxies"),
        ("socks5h://127.0.0.1:9", "does not support SOCKS proxies"),
        ("ftp://127.0.0.1:9", "the address of the proxy is not a URL"),
        ("http://user:s3cret:port", "the address of the proxy is not a URL"),
    ],
)
def test_proxy_that_cannot_be_used(error_of, waits, address, text):
    assert_permanent(error_of(HTTPS_PROXY=address), waits, text, "HTTPS_PROXY")


def test_server_without_tls(error_of, waits):
    with proxy(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        error = error_of(f"https://localhost:{port}")
    assert_permanent(error, waits, "the response is not https")


@pytest.mark.parametrize(
    ("response", "reason"),
    [(NO_PROXY.format(502).encode(), "(HTTP 502 from the proxy)"), (b"", "Example could not be")],
)
def test_proxy_that_fails_is_transient(error_of, waits, response, reason):
    with proxy(response) as port:
        error = error_of(HTTPS_PROXY=f"http://127.0.0.1:{port}")
    assert error.failure_type == FailureType.transient_error
    assert reason in error.message
    assert len(waits) == 5


def test_proxy_that_is_not_there_is_transient(error_of, waits):
    error = error_of(HTTPS_PROXY="http://127.0.0.1:9")
    assert error.failure_type == FailureType.transient_error
    assert error.message.startswith("Example could not be reached (Connection refused).")
