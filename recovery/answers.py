"""What commands print: the answer on standard output, remarks for people on standard error."""

import sys

import msgspec

DONE, REFUSED, COULD_NOT_RUN = 0, 1, 2


def tell(line: str) -> None:
    """A line of the answer."""
    sys.stdout.write(f"{line}\n")


def remark(line: str) -> None:
    """A line for people, which is no part of the answer."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def print_json(value: object) -> None:
    """The answer for a program."""
    tell(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
