"""Signatures of what a backup says of itself: HMAC-SHA256 with a key of the installation.

Hashes inside a manifest prove that files are those it names; only a key
proves who wrote the manifest. The signature is the first field, and is made
over the very bytes that are stored, with zeros in its place.
"""

import hmac
import re
from enum import StrEnum
from typing import Self

from settings import Settings

_SCHEME = "hmac-sha256:"
_ZEROS = "0" * 64
# What the field holds until its bytes are signed.
UNSIGNED_YET = _SCHEME + _ZEROS
_SIGNED = re.compile(rb'\{\s{0,8}"signature":\s?"hmac-sha256:([0-9a-f]{64})"')


class Kind(StrEnum):
    """Kinds of signed manifests: a signature of one kind is wrong for another."""

    STORES = "touchline backup of recovery stores"
    POSTGRES = "touchline base backup of PostgreSQL"


class Standing(StrEnum):
    """How far a manifest is proven."""

    VALID = "valid"
    UNSIGNED = "unsigned"
    UNCHECKED = "unchecked"  # signed, and there is no key to check it with
    WRONG = "wrong"

    @property
    def sentence(self) -> str:
        """For people."""
        return _SENTENCES[self]


_SENTENCES = {
    Standing.VALID: "Its manifest is signed with a key of TOUCHLINE_BACKUP_KEY.",
    Standing.UNSIGNED: "Its manifest is not signed: nobody knows who wrote it (see TOUCHLINE_BACKUP_KEY).",
    Standing.UNCHECKED: "Its manifest is signed, and was not checked: TOUCHLINE_BACKUP_KEY holds no key.",
    Standing.WRONG: "Its manifest is signed with none of the keys of TOUCHLINE_BACKUP_KEY.",
}
ACCEPT_UNSIGNED = (
    "If it was made before there was a key, --accept-unsigned takes it: it is then as trustworthy as"
    " whoever can write where backups are kept."
)
OTHER_KEY = (
    "If the key was changed since, add the older one behind it (TOUCHLINE_BACKUP_KEY=new,old). Otherwise"
    " somebody else wrote it: use another backup."
)


class Keyring:
    """The keys of an installation: the first one signs, each of them proves."""

    __slots__ = ("_keys", "accepts_unsigned")

    def __init__(self, keys: tuple[bytes, ...] = (), accepts_unsigned: bool = False) -> None:
        """`accepts_unsigned`: a person said that what has no signature at all may be used."""
        self._keys = keys
        self.accepts_unsigned = accepts_unsigned

    def __repr__(self) -> str:
        return f"Keyring of {len(self._keys)}"

    @classmethod
    def of(cls, settings: Settings, accepts_unsigned: bool = False) -> Self:
        """The keys that the settings name."""
        return cls(tuple(key.encode() for key in settings.backup_keys), accepts_unsigned)

    @property
    def signs(self) -> bool:
        return bool(self._keys)

    def sign(self, kind: Kind, data: bytes) -> bytes:
        """Fill in the signature of bytes that begin with UNSIGNED_YET as their first field."""
        found = _SIGNED.match(data)
        if found is None or not self._keys:
            raise ValueError("nothing to sign, or nothing to sign it with")
        start, end = found.span(1)
        return data[:start] + _code(self._keys[0], kind, data, start, end).encode() + data[end:]

    def standing(self, kind: Kind, data: bytes) -> Standing:
        """How far these bytes are proven."""
        found = _SIGNED.match(data)
        if found is None:
            return Standing.UNSIGNED
        if not self._keys:
            return Standing.UNCHECKED
        said = found[1].decode()
        start, end = found.span(1)
        is_ours = [hmac.compare_digest(said, _code(key, kind, data, start, end)) for key in self._keys]
        return Standing.VALID if any(is_ours) else Standing.WRONG

    def standing_of(self, signature: str) -> Standing:
        """The same of a signature that was read, and not refused."""
        if not signature:
            return Standing.UNSIGNED
        return Standing.VALID if self._keys else Standing.UNCHECKED

    def refuses(self, standing: Standing) -> bool:
        """Whether what stands so may not be used."""
        if standing is Standing.WRONG:
            return True
        return standing is Standing.UNSIGNED and self.signs and not self.accepts_unsigned


def _code(key: bytes, kind: Kind, data: bytes, start: int, end: int) -> str:
    code = hmac.new(key, kind.encode() + b"\0", "sha256")
    for part in (data[:start], _ZEROS.encode(), data[end:]):
        code.update(part)
    return code.hexdigest()
