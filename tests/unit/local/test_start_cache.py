"""A cache for a server's start: made once, again when what it depends on changed, and never in the way."""

from collections.abc import Callable
from pathlib import Path

from local.servers.start_cache import Rehearsal, options


def _writes_a_cache(noting: tuple[str, ...]) -> None:
    Path(noting[0].partition("=")[2]).write_text("classes")


def _fails(noting: tuple[str, ...]) -> None:
    raise RuntimeError("no memory")


def _rehearsal(jar: Path, run: Callable[[tuple[str, ...]], None]) -> Rehearsal:
    return Rehearsal("server", [jar], run)


def test_one_rehearsal_serves_until_a_jar_changes(tmp_path: Path) -> None:
    jar, said = tmp_path / "server.jar", list[str]()
    jar.write_text("one")
    first = options(_rehearsal(jar, _writes_a_cache), said.append, tmp_path / "cache")
    assert options(_rehearsal(jar, _fails), said.append, tmp_path / "cache") == first
    assert len(said) == 1
    jar.write_text("another")
    assert options(_rehearsal(jar, _writes_a_cache), said.append, tmp_path / "cache") != first
    assert len(list((tmp_path / "cache").glob("*.aot"))) == 1


def test_a_server_starts_without_what_cannot_be_made(tmp_path: Path) -> None:
    jar, said = tmp_path / "server.jar", list[str]()
    jar.touch()
    assert options(_rehearsal(jar, _fails), said.append, tmp_path / "cache") == ()
    assert options(_rehearsal(jar, lambda _: None), said.append, tmp_path / "cache") == ()
    (tmp_path / "file").touch()
    assert options(_rehearsal(jar, _writes_a_cache), said.append, tmp_path / "file" / "cache") == ()
    assert "no memory" in said[1]
    assert len([line for line in said if "without a cache" in line]) == 3
