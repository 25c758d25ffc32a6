"""axe-core, the checker of accessibility: its script from npm's registry, kept in the user's cache."""

from __future__ import annotations

import tarfile
from typing import Any

import pytest

from auricle.core.errors import AuricleError
from auricle.core.io import writable_cache
from auricle.hub.download import fetch

VERSION = "4.14.1"
URL = f"https://registry.npmjs.org/axe-core/-/axe-core-{VERSION}.tgz"
BYTES = 708405
SHA256 = "e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745"


def axe_script() -> str:
    """Return the source of axe-core; the test is skipped where it cannot be downloaded."""
    try:
        archive = fetch([URL], writable_cache()[0] / f"axe-core-{VERSION}.tgz", size=BYTES, sha256=SHA256, quiet=True)
    except AuricleError as error:
        pytest.skip(f"the check of accessibility needs axe-core: {error}")
    with tarfile.open(archive) as members:
        source = members.extractfile("package/axe.min.js")
        assert source is not None
        return source.read().decode()


def accessibility_problems(page: Any) -> list[str]:
    """Return what axe-core finds on a page of playwright: "rule: description (elements)"."""
    page.evaluate(axe_script())  # not a script element: the policy of the page forbids those
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']}).then(({violations}) => violations)")
    return [
        f"{rule['id']} ({rule['impact']}): {rule['help']}: "
        + "; ".join(node["html"][:160] for node in rule["nodes"][:4])
        for rule in found
    ]
