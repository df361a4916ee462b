"""The code that a range is folded again with."""

import importlib
from collections.abc import Callable
from typing import NamedTuple

from schemas.image import MatchImage
from schemas.raw import RawEvent

Advance = Callable[[MatchImage, RawEvent], MatchImage]

INSTALLED = "schemas.fold:advance"


class CodeUnusableError(ValueError):
    """A name does not lead to a fold; carries it and why."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"--code {name}: {reason}. Write MODULE:FUNCTION, as in {INSTALLED}.")
        self.name = name
        self.reason = reason


class Code(NamedTuple):
    """A fold, and the version that its module says it has."""

    name: str
    advance: Advance
    version: int | None


def load_code(name: str) -> Code:
    """Import MODULE:FUNCTION; raise CodeUnusableError.

    The function takes an image and a record and returns the next image, as
    `schemas.fold.advance` does; its module may say a FOLD_VERSION.
    """
    module_name, colon, function_name = name.partition(":")
    if not colon or not module_name or not function_name:
        raise CodeUnusableError(name, "it names no module and function")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise CodeUnusableError(
            name, f"module {module_name} cannot be imported ({type(error).__name__}: {error})"
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise CodeUnusableError(name, f"module {module_name} has no function {function_name}")
    version = getattr(module, "FOLD_VERSION", None)
    return Code(name, function, version if isinstance(version, int) else None)
