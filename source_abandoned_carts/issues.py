"""Where users report problems. It imports no CDK, so that `sync` can use it, too."""

from importlib.metadata import metadata


def _issues_url() -> str:
    """Return the address from project_urls in setup.py."""
    urls = metadata("source-abandoned-carts").get_all("Project-URL", [])
    labels = dict(str(url).split(", ", 1) for url in urls)
    return labels["Issues"]


REPORT = f"Report this at {_issues_url()}, with the log."
