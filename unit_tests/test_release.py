"""Version, streams, settings and messages are the same wherever they are told."""

import ast
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from source_abandoned_carts import retargeting, snipcart
from source_abandoned_carts.source import _STREAMS

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "source_abandoned_carts"
DOCS = (ROOT / "docs/abandoned-carts.md").read_text()
README = (ROOT / "README.md").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()
METADATA = yaml.safe_load((ROOT / "metadata.yaml").read_text())["data"]
SPEC = yaml.safe_load((PACKAGE / "spec.yaml").read_text())
PROPERTIES: dict[str, Any] = SPEC["connectionSpecification"]["properties"]

# In the order of Airbyte's template for the page of a connector.
HEADINGS = [
    "# Abandoned Carts",
    "## Prerequisites",
    "## Setup guide",
    "## Set up Abandoned Carts",
    "### For Airbyte Cloud:",
    "### For Airbyte Open Source:",
    "## Supported sync modes",
    "## Supported Streams",
    "### Performance considerations",
    "## Data type map",
    "## Limitations & Troubleshooting",
    "### Tutorials",
    "## IP allow list",
    "## Changelog",
]


def rows(text: str) -> list[list[str]]:
    """The cells of all rows of Markdown's tables."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" |")] for line in lines]


def test_the_version_is_the_same_everywhere():
    own = version("source-abandoned-carts")
    changelog = (ROOT / "CHANGELOG.md").read_text()
    tags = re.findall(r"source-abandoned-carts:(\d[\d.]*)", README)
    told = {
        "metadata.yaml": METADATA["dockerImageTag"],
        "Dockerfile": re.search(r"io\.airbyte\.version=(\S+)", DOCKERFILE)[1],
        "CHANGELOG.md": re.search(r"^## (\d\S*)", changelog, re.MULTILINE)[1],
        "docs, changelog": re.search(r"^\| (\d+\.\S+) \|", DOCS, re.MULTILINE)[1],
        "docs, tag": re.search(r"`source-abandoned-carts` and `([^`]+)`", DOCS)[1],
        **{f"README.md, tag {number}": tag for number, tag in enumerate(tags, 1)},
    }
    assert told == dict.fromkeys(told, own)


def test_metadata_is_valid():
    models = pytest.importorskip(
        "airbyte_connector_models.metadata.v0.connector_metadata_definition_v0",
        reason="airbyte-connector-models ends at Python 3.12",
    )
    metadata = yaml.safe_load((ROOT / "metadata.yaml").read_text())
    models.ConnectorMetadataDefinitionV0.model_validate(metadata)


def test_metadata_says_what_the_connector_is():
    assert METADATA["suggestedStreams"]["streams"] == list(_STREAMS)
    assert METADATA["documentationUrl"] == SPEC["documentationUrl"]
    assert METADATA["remoteRegistries"]["pypi"]["enabled"] is False
    hosts = [url.split("/")[2] for url in (snipcart.URL, retargeting.URL)]
    assert METADATA["allowedHosts"]["hosts"] == hosts
    assert all(host in DOCS for host in hosts)
    assert (
        METADATA["connectorBuildOptions"]["baseImage"]
        == re.search(r"^FROM (\S+@sha256:\S+) AS base$", DOCKERFILE, re.MULTILINE)[1]
    )
    assert METADATA["dockerRepository"] == re.search(r"io\.airbyte\.name=(\S+)", DOCKERFILE)[1]
    assert (ROOT / METADATA["icon"]).read_text().startswith("<svg ")


def test_every_address_outside_the_tests_is_https():
    """Airbyte's QA checks accept http only to localhost, and in lines that end in the marker."""
    lines = [
        f"{path.relative_to(ROOT)}: {line}"
        for path in (*ROOT.glob("*.*"), *ROOT.glob("[!.]*/*.*"))
        if path.suffix in {".md", ".py", ".toml", ".yaml", ".yml"}
        if not path.parent.name.endswith("_tests")
        for line in path.read_text().splitlines()
    ]
    accepted = r"http://(localhost|json-schema\.org)|# ignore-https-check$"
    assert len(lines) > 5_000
    assert [line for line in lines if "http://" in line and not re.search(accepted, line)] == []


def test_the_docs_follow_the_template():
    found = [line for line in DOCS.splitlines() if re.match("#{1,4} ", line)]
    assert [line for line in found if line in HEADINGS] == HEADINGS
    assert {line for line in found if line not in HEADINGS} == {
        "### Connector limitations", "### Messages",
    }  # fmt: skip


def test_the_docs_name_each_stream_with_its_keys():
    told = {row[0]: row[1:3] for row in rows(DOCS) if len(row) == 4}
    for name, stream in _STREAMS.items():
        assert told[f"`{name}`"] == [f"`{stream.primary_key}`", f"`{stream.cursor}`"]


def test_docs_and_readme_name_each_setting():
    told = {row[1]: row for row in rows(DOCS) if len(row) == 3}
    for name, schema in PROPERTIES.items():
        title, _, meaning = told[f"`{name}`"]
        assert title == schema["title"]
        for bound in ("minimum", "maximum", "default"):
            if schema["type"] == "integer":
                assert str(schema[bound]) in meaning
        assert f"| `{name}` |" in README


# What is told to a person: the arguments of these, as they stand in the code.
TELLING = {"Problem", "ApiError", "ConfigError", "_config_error", "_UnansweredError", "_unusable",
           "AirbyteTracedException", "AirbyteConnectionStatus", "warning"}  # fmt: skip


def messages() -> list[str]:
    """All sentences of the connector, with … for what varies; the first one of each."""
    found = []
    for path in sorted(PACKAGE.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            told = isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "message"
            if told or isinstance(node, ast.DictComp):
                found += [text_of(node.value) or ""]
            elif isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if name in TELLING:
                    texts = [*node.args, *(k.value for k in node.keywords if k.arg == "message")]
                    found += [text for text in map(text_of, texts) if text]
    return [text for text in found if text]


def text_of(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = [part.value if isinstance(part, ast.Constant) else "…" for part in node.values]
        return "".join(parts)
    return None


def first_sentence(text: str) -> str:
    return re.split(r"(?<=[.…)])\s+(?=[A-Z…])", text)[0]


TABLE = DOCS.split("### Messages")[1].split("</details>")[0]
CURES = {row[0]: row[1] for row in rows(TABLE)[2:]}


@pytest.mark.parametrize("message", sorted({first_sentence(text) for text in messages()}))
def test_the_docs_know_each_message(message):
    words = max(message.split("…"), key=len).strip(" .(:")
    assert words in TABLE, message


@pytest.mark.parametrize("told", CURES)
def test_each_message_in_the_docs_is_one_of_the_connectors(told):
    fragments = [part.strip(" .():") for part in told.split("…")]
    code = "".join(re.sub(r'"\s*f?"', "", path.read_text()) for path in PACKAGE.glob("*.py"))
    longest = max(fragments, key=len)
    for service in ("Snipcart ", "Retargeting "):
        longest = longest.removeprefix(service)
    longest = longest.removesuffix(" (HTTP 401").removesuffix(" (HTTP 403")
    assert longest.strip() in code, told
    assert CURES[told]


def test_the_image_installs_what_the_tests_ran_with():
    def pins(name):
        text = (ROOT / name).read_text()
        return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", text, re.MULTILINE))

    image, tested = pins("requirements.txt"), pins("constraints.txt")
    assert {"airbyte-cdk", "requests", "pendulum"} <= set(image)
    assert {name: tested.get(name) for name in image} == image


def test_all_that_the_image_installs_has_hashes():
    lines = (ROOT / "requirements.txt").read_text().replace("\\\n", " ").splitlines()
    pinned = [line for line in lines if not line.startswith("#")]
    assert len(pinned) > 40
    assert all("--hash=sha256:" in line for line in pinned)


def test_the_tests_that_security_names_exist():
    named = re.findall(r"`(test_\w+)`", (ROOT / "SECURITY.md").read_text())
    files = [*ROOT.glob("unit_tests/*.py"), *ROOT.glob("integration_tests/*.py")]
    there = set(re.findall(r"def (test_\w+)", "".join(path.read_text() for path in files)))
    assert len(named) > 20
    assert set(named) <= there
