"""The connector's records into DuckDB or PostgreSQL on this machine, by PyAirbyte."""

import os
import warnings

# Read when airbyte is imported: ask no registry, send no usage data, and keep out of a folder for
# temporary files that others may read.
os.environ.update(AIRBYTE_OFFLINE_MODE="1", DO_NOT_TRACK="1")
os.environ.pop("AIRBYTE_TEMP_DIR", None)

# Google's libraries, which PyAirbyte imports, tell of Python versions to come.
warnings.filterwarnings("ignore", category=FutureWarning, module="google")
