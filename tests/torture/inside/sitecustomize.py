"""Runs at the start of each process under torture: puts crash points and sabotage into its modules.

Python imports a module of this name by itself when it is on PYTHONPATH.
The product has no hooks for it; a function is wrapped as soon as its module
was imported, before anybody else gets hold of it.
"""

import importlib.abc
import importlib.machinery
import inspect
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.torture.crash_points import FOLDER, PART, POINTS, SABOTAGE, CrashPoint


def _die_if_armed(folder: Path, point: CrashPoint) -> Callable[[], None]:
    armed, fired = folder / "armed" / point.key, folder / "fired" / point.key
    passed = 0

    def come_by() -> None:
        nonlocal passed
        if not armed.exists():
            return
        try:
            passes = int(armed.read_text())
            passed += 1
            if passed <= passes:
                return
            armed.rename(fired)  # whoever renames it dies, and nobody else
        except FileNotFoundError:
            return
        os.kill(os.getpid(), signal.SIGKILL)

    return come_by


def _wrapped(function: Callable[..., Any], point: CrashPoint, come_by: Callable[[], None]) -> Any:
    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def later(*arguments: Any, **named: Any) -> Any:
            if point.when == "before":
                come_by()
            answer = await function(*arguments, **named)
            if point.when == "after":
                come_by()
            return answer

        return later

    @wraps(function)
    def now(*arguments: Any, **named: Any) -> Any:
        if point.when == "before":
            come_by()
        answer = function(*arguments, **named)
        if point.when == "after":
            come_by()
        return answer

    return now


def _put_points(module: ModuleType, points: Sequence[CrashPoint], folder: Path) -> None:
    for point in points:
        owner: Any = module
        *path, name = point.function.split(".")
        for part in path:
            owner = getattr(owner, part)
        setattr(owner, name, _wrapped(getattr(owner, name), point, _die_if_armed(folder, point)))


class _Loader(importlib.abc.Loader):
    """Runs the real loader, then changes what it made."""

    def __init__(self, real: importlib.abc.Loader, change: Callable[[ModuleType], None]) -> None:
        self._real = real
        self._change = change

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._real.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._real.exec_module(module)
        self._change(module)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules that are to be changed, and leaves all others alone."""

    def __init__(self, changes: dict[str, Callable[[ModuleType], None]]) -> None:
        self._changes = changes

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self._changes:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self._changes[fullname])
        return spec


def _changes(folder: Path, part: str, sabotage: str) -> dict[str, Callable[[ModuleType], None]]:
    points: dict[str, list[CrashPoint]] = {}
    for point in POINTS:
        if point.part == part:
            points.setdefault(point.module, []).append(point)

    def change(module: ModuleType) -> None:
        _put_points(module, points.get(module.__name__, []), folder)
        # Late: what they import would be imported in every process.
        if module.__name__ == "dataflows.lane":
            from tests.torture.clock import make_jumpy

            make_jumpy(module, folder / "clock")
        if sabotage:
            from tests.torture.sabotage import apply

            apply(sabotage, module)

    names = set(points) | {"dataflows.lane"}
    if sabotage:
        from tests.torture.sabotage import MODULE_OF

        names.add(MODULE_OF[sabotage])
    return dict.fromkeys(names, change)


if FOLDER in os.environ:
    sys.meta_path.insert(
        0,
        _Finder(_changes(Path(os.environ[FOLDER]), os.environ.get(PART, ""), os.environ.get(SABOTAGE, ""))),
    )
