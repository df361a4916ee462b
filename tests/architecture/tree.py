"""The repository as files: what the architecture tests look at."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from settings import ROOT

# Rooms that run the platform on one machine or measure it: no part of the product's own processes.
GROUND = ("local", "bench", "tests")


@cache
def files() -> tuple[Path, ...]:
    """Every file that is or would be committed, relative to the root."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        found = [Path(line) for line in listed.stdout.splitlines()]
    else:  # an unpacked archive
        found = [path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file()]
    return tuple(sorted(path for path in found if (ROOT / path).is_file() and not _is_hidden(path)))


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") or part in ("__pycache__", "node_modules") for part in path.parts)


def folders() -> set[str]:
    """The folders at top level."""
    return {path.parts[0] for path in files() if len(path.parts) > 1}


def python_files() -> Iterator[Path]:
    return (path for path in files() if path.suffix == ".py")


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), str(path))


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Line and value of every text in a module that is no docstring; of f-strings, the fixed parts."""
    tree = parsed(path)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def rooms() -> dict[str, set[str] | None]:
    """The table of docs/architecture.md: room -> what it may import; None for anything."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    found: dict[str, set[str] | None] = {}
    for name, allowed in re.findall(
        r"^\| `([a-z]+)(?:/|\.py)` \|[^|\n]*\| ([^|\n]*) \|$", text, re.MULTILINE
    ):
        found[name] = None if allowed == "anything" else set(re.findall(r"`([a-z]+)`", allowed))
    return found
