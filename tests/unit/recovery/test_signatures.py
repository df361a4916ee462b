"""Signed manifests: a key proves who wrote what a backup says of itself."""

from collections.abc import Callable

import msgspec
import pytest

from recovery.backup.errors import ManifestForgedError, ManifestUnsignedError
from recovery.backup.manifest import Manifest, decode_manifest, encode_manifest
from recovery.signatures import Keyring, Kind, Standing
from settings import SettingsError, load
from tests.manifests import a_manifest

KEY, OTHER, THIRD = b"k" * 32, b"o" * 32, b"t" * 32
OURS = Keyring((KEY,))


def signed(manifest: Manifest | None = None, keys: Keyring = OURS) -> bytes:
    return encode_manifest(manifest or a_manifest(), keys)


def test_a_signed_manifest_is_read_back() -> None:
    manifest = decode_manifest("it", signed(), OURS)
    assert msgspec.structs.replace(manifest, signature="") == a_manifest()
    assert OURS.standing_of(manifest.signature) is Standing.VALID
    assert OURS.standing(Kind.STORES, signed()) is Standing.VALID


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b'"rows": 0', b'"rows": 1'),
        lambda data: data.replace(b'"sha256": "0', b'"sha256": "1'),
        lambda data: data + b" ",
        lambda data: data.replace(b"hmac-sha256:", b"hmac-sha256:" + b"0" * 64 + b'", "x": "', 1),
        lambda data: data.replace(b'"rows": 0', b'"rows": 0, "rows": 0'),
        lambda _: signed(keys=Keyring((OTHER,))),
        lambda data: OURS.sign(Kind.POSTGRES, data),
    ],
    ids=["number", "hash", "space", "zeros_first", "doubled_key", "of_another_key", "of_another_kind"],
)
def test_a_manifest_that_was_changed_is_refused(change: Callable[[bytes], bytes]) -> None:
    """Also for who accepts unsigned ones: this one says that it is signed."""
    data = change(signed())
    assert data != signed()
    for keys in (OURS, Keyring((KEY,), accepts_unsigned=True)):
        with pytest.raises(ManifestForgedError):
            decode_manifest("it", data, keys)


@pytest.mark.parametrize(
    "data",
    [
        encode_manifest(a_manifest()),
        b'{"format": 1, ' + signed().lstrip(b"{"),
        signed().replace(b"hmac-sha256", b"hmac-sha255"),
    ],
    ids=["none", "not_first", "of_another_scheme"],
)
def test_what_is_not_signed_is_refused_where_there_is_a_key_and_a_person_may_accept_it(data: bytes) -> None:
    with pytest.raises(ManifestUnsignedError) as refused:
        decode_manifest("it", data, OURS)
    assert "--accept-unsigned" in refused.value.remedy
    taken = decode_manifest("it", data, Keyring((KEY,), accepts_unsigned=True))
    assert OURS.standing_of(taken.signature) is Standing.UNSIGNED


def test_the_first_key_signs_and_each_of_them_proves() -> None:
    """So a key is changed by putting the new one in front."""
    before, after = signed(keys=Keyring((OTHER,))), Keyring((KEY, OTHER))
    assert after.standing(Kind.STORES, before) is Standing.VALID
    assert OURS.standing(Kind.STORES, encode_manifest(a_manifest(), after)) is Standing.VALID
    assert Keyring((THIRD,)).standing(Kind.STORES, before) is Standing.WRONG


def test_without_a_key_nothing_is_signed_and_nothing_is_checked() -> None:
    none = Keyring()
    assert none.standing(Kind.STORES, encode_manifest(a_manifest(), none)) is Standing.UNSIGNED
    assert none.standing(Kind.STORES, signed()) is Standing.UNCHECKED
    assert none.standing_of(decode_manifest("it", signed(), none).signature) is Standing.UNCHECKED


def test_a_key_is_shown_by_no_repr_and_no_error() -> None:
    settings = load({"TOUCHLINE_BACKUP_KEY": "a-secret-of-many-letters, another-secret-of-many"})
    assert settings.backup_keys == ["a-secret-of-many-letters", "another-secret-of-many"]
    assert "secret-of" not in repr(settings) + repr(Keyring.of(settings)) + repr([settings.backup_key])
    with pytest.raises(SettingsError) as refused:
        load({"TOUCHLINE_BACKUP_KEY": "a-secret-of-many-letters,short-one"})
    assert "short-one" not in str(refused.value)
    assert "a-secret" not in str(refused.value)
