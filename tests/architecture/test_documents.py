"""Documents lead somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path

from settings import ROOT
from tests.architecture.tree import files

DECISIONS = Path("docs/decisions")


def _links() -> Iterator[tuple[Path, str]]:
    for path in files():
        if path.suffix == ".md":
            text = (ROOT / path).read_text(encoding="utf-8")
            for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
                if "://" not in target:
                    yield path, target


def test_every_link_between_documents_leads_to_a_file() -> None:
    broken = [f"{path}: {target}" for path, target in _links() if not (ROOT / path.parent / target).exists()]
    assert not broken


def test_every_decision_is_in_the_index() -> None:
    listed = {target for path, target in _links() if path == DECISIONS / "README.md"}
    kept = {path.name for path in files() if path.parent == DECISIONS and path.name != "README.md"}
    assert listed == kept


def test_every_guide_is_in_the_index() -> None:
    listed = {target for path, target in _links() if path == Path("docs/README.md")}
    kept = {path.name for path in files() if path.parent == Path("docs") and path.suffix == ".md"}
    assert kept - {"README.md"} <= listed
