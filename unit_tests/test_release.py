"""Version, streams and settings are the same in all files."""

import re
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from source_abandoned_carts.abandoned_carts import AbandonedCarts
from source_abandoned_carts.cart_stats import CartStats
from source_abandoned_carts.departed_carts import DepartedCarts
from source_abandoned_carts.issues import REPORT
from source_abandoned_carts.retargeting import Retargeting
from source_abandoned_carts.snipcart import Snipcart

ROOT = Path(__file__).parent.parent
STREAMS = (AbandonedCarts, CartStats, DepartedCarts)
DOCS = (ROOT / "docs/abandoned-carts.md").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()
METADATA = yaml.safe_load((ROOT / "metadata.yaml").read_text())["data"]
SPEC = yaml.safe_load((ROOT / "source_abandoned_carts/spec.yaml").read_text())
SETTINGS = SPEC["connectionSpecification"]["properties"]


def rows(text):
    """Return the cells of all rows of the Markdown tables in a text."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" |")] for line in lines]


def test_version_is_in_metadata_and_described_in_both_changelogs():
    installed = version("source-abandoned-carts")
    changelog = (ROOT / "CHANGELOG.md").read_text()
    found = {
        "metadata.yaml": METADATA["dockerImageTag"],
        "CHANGELOG.md": re.search(r"^## (\d\S*)", changelog, re.MULTILINE)[1],
        "docs, changelog": re.search(r"^\| (\d+\.\S+) \|", DOCS, re.MULTILINE)[1],
    }
    assert found == dict.fromkeys(found, installed)


def test_metadata_is_valid():
    models = pytest.importorskip(
        "airbyte_connector_models.metadata.v0.connector_metadata_definition_v0",
        reason="airbyte-connector-models ends at Python 3.12",
    )
    metadata = yaml.safe_load((ROOT / "metadata.yaml").read_text())
    models.ConnectorMetadataDefinitionV0.model_validate(metadata)


def test_metadata_describes_the_connector():
    names = [stream.name for stream in STREAMS if stream is not DepartedCarts]
    assert METADATA["suggestedStreams"]["streams"] == names
    assert METADATA["documentationUrl"] == SPEC["documentationUrl"]
    assert METADATA["remoteRegistries"]["pypi"]["enabled"] is False
    hosts = [api.default_url.split("/")[2] for api in (Snipcart, Retargeting)]
    assert METADATA["allowedHosts"]["hosts"] == hosts
    assert all(host in DOCS for host in hosts)
    base_image = re.search(r"^FROM (\S+@sha256:\S+) AS base$", DOCKERFILE, re.MULTILINE)[1]
    assert METADATA["connectorBuildOptions"]["baseImage"] == base_image
    workflow = (ROOT / ".github/workflows/ci.yml").read_text()
    assert f"--label io.airbyte.name={METADATA['dockerRepository']}\n" in workflow
    assert (ROOT / METADATA["icon"]).read_text().startswith("<svg ")


def test_every_address_is_https():
    """Airbyte's QA checks accept http only to localhost, and in lines that end in the marker."""
    accepted = r"http://(localhost|json-schema\.org)|# ignore-https-check$"
    for path in (*ROOT.glob("*.*"), *ROOT.glob("[!.]*/*.*"), *ROOT.glob("tools/*/*.*")):
        if path.suffix in {".md", ".py", ".yaml", ".yml"} and "_tests" not in path.parent.name:
            for line in path.read_text().splitlines():
                assert "http://" not in line or re.search(accepted, line), f"{path}: {line}"


def test_docs_list_each_stream_and_each_setting():
    listed = {row[0]: row[1:3] for row in rows(DOCS) if len(row) == 4}
    for stream in STREAMS:
        assert listed[f"`{stream.name}`"] == [f"`{stream.primary_key}`", f"`{stream.cursor_field}`"]
    listed = {row[1]: row for row in rows(DOCS) if len(row) == 3}
    for name, schema in SETTINGS.items():
        title, _, meaning = listed[f"`{name}`"]
        assert title == schema["title"]
        for bound in ("minimum", "maximum", "default"):
            if schema["type"] == "integer" and bound in schema:
                assert str(schema[bound]) in meaning


def test_docs_and_form_use_the_same_titles():
    titles = {each["title"].split(" (")[0] for each in SETTINGS.values()}
    lower = {title.lower() for title in titles}
    bold = re.findall(r"\*\*([^*`]+)\*\*", DOCS)
    named = {text for text in bold if text.lower() in lower}
    assert {"Start date", "Full scan interval"} <= named <= titles


def test_each_setting_has_its_place_in_the_form():
    orders = [schema["order"] for schema in SETTINGS.values()]
    assert orders == list(range(len(SETTINGS)))
    groups = {group["id"] for group in SPEC["connectionSpecification"]["groups"]}
    assert {schema["group"] for schema in SETTINGS.values()} == groups


def test_titles_say_which_keys_are_needed():
    titles = {name: schema["title"] for name, schema in SETTINGS.items()}
    assert titles["snipcart_api_key"].endswith("key (this or the Retargeting key)")
    assert titles["retargeting_rest_key"].endswith("key (this or the Snipcart key)")
    assert titles["snipcart_departed_carts"].endswith("(needs the Snipcart key)")


@pytest.mark.parametrize("measured", ["CPU per cart, 50", "20,000 carts", "start-up"])
def test_figures_in_the_readme_were_measured(measured):
    """After `make bench`, copy the figures."""
    readme, results = (
        next(row for row in rows((ROOT / path).read_text()) if row[0].startswith(measured))
        for path in ("README.md", "tools/benchmarks/RESULTS.md")
    )
    for shown, exact in zip(readme[1:3], results[2:4], strict=True):
        (number, unit), (exact_number, exact_unit) = shown.split(), exact.split()
        digits = len(number.partition(".")[2])
        assert (number, unit) == (f"{float(exact_number):.{digits}f}", exact_unit)


def test_memory_in_the_docs_was_measured():
    results = rows((ROOT / "tools/benchmarks/RESULTS.md").read_text())
    (row,) = (row for row in results if row[0].startswith("memory, 100,000 carts"))
    measured = max(int(cell.split()[-2]) for cell in row[1:3])
    assert f"{measured} MB for 5,000 or 100,000 carts" in " ".join(DOCS.split())


def test_only_one_module_asks_users_to_report():
    """It gives the address. The others use its sentence."""
    paths = [*ROOT.glob("source_abandoned_carts/*.py"), *ROOT.glob("sync/*.py")]
    asking = [path.name for path in paths if re.search(r"[Rr]eport (this|it)\b", path.read_text())]
    assert asking == ["issues.py"]
    assert re.search(r" at https://\S+/issues, ", REPORT)


def test_image_installs_the_tested_versions():
    def pins(name):
        text = (ROOT / name).read_text()
        return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", text, re.MULTILINE))

    image, tested = pins("requirements.txt"), pins("constraints.txt")
    assert {"airbyte-cdk", "requests", "pendulum"} <= set(image)
    assert {name: tested.get(name) for name in image} == image


def test_image_requirements_have_hashes():
    lines = (ROOT / "requirements.txt").read_text().replace("\\\n", " ").splitlines()
    pinned = [line for line in lines if "==" in line]
    assert len(pinned) > 40
    assert all("--hash=sha256:" in line for line in pinned)


@pytest.mark.parametrize("page", ["SECURITY.md", "docs/design.md"])
def test_tests_named_in_a_document_exist(page):
    named = re.findall(r"`(test_\w+)`", (ROOT / page).read_text())
    files = [*ROOT.glob("unit_tests/*.py"), *ROOT.glob("integration_tests/*.py")]
    defined = set(re.findall(r"def (test_\w+)", "".join(path.read_text() for path in files)))
    assert len(named) > 10
    assert set(named) <= defined
