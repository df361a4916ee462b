"""Rules of style that no linter knows."""

import ast
import re
import sys
from pathlib import Path

from settings import ROOT
from tests.architecture.tree import GROUND, files, parsed, python_files, texts

LONGEST = 600
CODE = {".py", ".js", ".mjs", ".css", ".html", ".sql", ".lua", ".sh"}
FORBIDDEN_NAMES = {"utils", "util", "common", "helpers", "helper", "misc", "manager"}

# A statement, not the word: "select a match" is for people.
SQL = re.compile(
    r"\b(SELECT\s.+\sFROM\s|INSERT\s+INTO\s|UPDATE\s+\w+\s+SET\s|DELETE\s+FROM\s"
    r"|(CREATE|ALTER|DROP)\s+(TABLE|INDEX|FUNCTION)\s|COPY\s+\w+\s*\()",
    re.DOTALL,
)


def test_no_file_is_longer_than_a_module_should_be() -> None:
    """One object, one file; beyond 600 lines it is two objects, or holds its tables."""
    long = {}
    for path in files():
        if path.suffix in CODE:
            lines = (ROOT / path).read_text(encoding="utf-8").count("\n")
            if lines > LONGEST:
                long[str(path)] = lines
    assert not long


def test_sql_lives_only_in_storage() -> None:
    """Whoever changes a table finds every statement in one folder."""
    found = [
        f"{path}:{line}"
        for path in python_files()
        if path.parts[0] not in (*GROUND, "storage")
        for line, text in texts(path)
        if SQL.search(text)
    ]
    assert not found


def test_the_environment_is_read_only_by_settings() -> None:
    """A variable that something reads on its own is no documented setting."""
    found = [
        f"{path}: {ast.unparse(node)}"
        for path in python_files()
        if path.parts[0] not in (*GROUND, "settings.py")
        for node in ast.walk(parsed(path))
        if _reads_environment(node)
    ]
    assert not found


def _reads_environment(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
        return node.attr in ("environ", "environb", "getenv", "getenvb")
    if isinstance(node, ast.ImportFrom) and node.module == "os":
        return any(alias.name.startswith(("environ", "getenv")) for alias in node.names)
    return False


def test_a_module_is_called_by_its_subject() -> None:
    vague = [str(path) for path in python_files() if {*path.parts[:-1], path.stem} & FORBIDDEN_NAMES]
    assert not vague


def test_no_module_is_called_like_one_of_the_standard_library() -> None:
    """`import queue` must mean one thing to every reader."""
    shadowing = [str(path) for path in python_files() if _name(path) in sys.stdlib_module_names]
    assert not shadowing


def _name(path: Path) -> str:
    return path.parent.name if path.stem in ("__init__", "__main__") else path.stem


def test_no_test_patches_our_code() -> None:
    """A fake passes the same contract suite as the real thing; a patch passes none."""
    patched = [
        f"{path}:{node.lineno}"
        for path in python_files()
        if path.parts[0] == "tests"
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ImportFrom | ast.Import) and "mock" in _imported(node)
    ]
    assert not patched


def _imported(node: ast.ImportFrom | ast.Import) -> set[str]:
    module = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
    names = (f"{module}.{alias.name}" for alias in node.names)
    return {part for name in names for part in name.split(".")}


def test_no_file_names_a_machine() -> None:
    """A path of somebody's home would work for nobody else."""
    pattern = re.compile(r"(?<![\w.~-])/(root|home/\w+|work)/")
    found = [
        f"{path}:{number}"
        for path in files()
        if path.suffix in CODE | {".toml", ".md", ".yaml", ".json"} or path.suffix == ""
        for number, line in enumerate((ROOT / path).read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found
