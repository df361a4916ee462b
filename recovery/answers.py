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


class Refusal(msgspec.Struct, frozen=True):
    """What `--json` prints instead of a result."""

    error: str  # the error's name
    reason: str
    remedy: str


def tell_refusal(refusal: Refusal, json: bool) -> None:
    """Say for people why nothing came of it, and on stdout too for a program."""
    if json:
        print_refusal(refusal)
    remark(f"{refusal.error}: {refusal.reason}")
    if refusal.remedy:
        remark(refusal.remedy)


def print_refusal(refusal: Refusal) -> None:
    """For a program: one line."""
    sys.stdout.buffer.write(msgspec.json.encode(refusal) + b"\n")


def print_json(value: object) -> None:
    """The answer for a program."""
    tell(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
