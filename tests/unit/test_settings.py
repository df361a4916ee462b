"""The environment as the platform reads it."""

from datetime import timedelta
from pathlib import Path

import pytest

from settings import PORT_OFFSETS, ROOT, Settings, SettingsError, load, parse_duration


def test_defaults_lead_to_the_local_stack() -> None:
    settings = load({})
    assert settings.kafka == "127.0.0.1:28092"
    assert settings.postgres == "postgresql://touchline@127.0.0.1:28032/touchline"
    assert settings.redis == "redis://127.0.0.1:28079/0"
    assert settings.broadcast_url == "http://127.0.0.1:28090/broadcast"
    assert settings.social_url == "http://127.0.0.1:28090/social"
    assert settings.data == ROOT / ".touchline"


def test_one_number_moves_the_whole_stack() -> None:
    settings = load({"TOUCHLINE_PORT_BASE": "31000"})
    assert (settings.kafka, settings.port("gateway")) == ("127.0.0.1:31092", 31080)
    assert settings.url("api") == "http://127.0.0.1:31081"


def test_a_given_address_is_kept() -> None:
    settings = load({"TOUCHLINE_KAFKA": "a:1,b:2", "TOUCHLINE_BROADCAST_URL": "https://feed.example/v1"})
    assert (settings.kafka, settings.broadcast_url) == ("a:1,b:2", "https://feed.example/v1")


def test_an_unknown_variable_is_refused_and_the_known_ones_named() -> None:
    """A typo must not run with a default in silence."""
    with pytest.raises(SettingsError) as raised:
        load({"TOUCHLINE_SHARD": "8"})
    assert raised.value.variable == "TOUCHLINE_SHARD"
    assert "TOUCHLINE_SHARDS" in raised.value.reason


def test_variables_of_others_are_left_alone() -> None:
    assert load({"PATH": "/usr/bin", "TOUCH": "1"}) == load({})


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("TOUCHLINE_SHARDS", "eight"),
        ("TOUCHLINE_SHARDS", "0"),
        ("TOUCHLINE_SHARDS", "1025"),
        ("TOUCHLINE_LANE", "1"),
        ("TOUCHLINE_LANE", "2/2"),
        ("TOUCHLINE_LANE", "0/0"),
        ("TOUCHLINE_LANE", "-1/2"),
        ("TOUCHLINE_HEARTBEAT", "5"),
        ("TOUCHLINE_HEARTBEAT", "5 minutes"),
        ("TOUCHLINE_STOP_AT_END", "maybe"),
        ("TOUCHLINE_INGEST_RATE", "fast"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_name(variable: str, text: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load({variable: text})
    assert raised.value.variable == variable
    assert variable in str(raised.value)


def test_values_get_their_types() -> None:
    settings = load(
        {
            "TOUCHLINE_SHARDS": "64",
            "TOUCHLINE_LANE": "1/3",
            "TOUCHLINE_STOP_AT_END": "true",
            "TOUCHLINE_DEDUPE_WINDOW": "90m",
            "TOUCHLINE_INGEST_RATE": "1.5",
            "TOUCHLINE_TOPIC_PREFIX": "trial-",
        }
    )
    assert (settings.shards, settings.lane_index, settings.lane_count) == (64, 1, 3)
    assert settings.stop_at_end is True
    assert settings.dedupe_window == timedelta(minutes=90)
    assert (settings.ingest_rate, settings.topic_prefix) == (1.5, "trial-")


def test_a_relative_folder_is_taken_from_where_the_process_starts() -> None:
    settings = load({"TOUCHLINE_DATA": "here"})
    assert settings.data == Path.cwd() / "here"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("30s", timedelta(seconds=30)),
        ("200ms", timedelta(milliseconds=200)),
        ("1.5m", timedelta(seconds=90)),
        ("2h", timedelta(hours=2)),
        ("7d", timedelta(days=7)),
        ("50us", timedelta(microseconds=50)),
        (" 5s ", timedelta(seconds=5)),
    ],
)
def test_a_duration_has_its_unit(text: str, value: timedelta) -> None:
    assert parse_duration(text) == value


@pytest.mark.parametrize("text", ["", "5", "s", "-5s", "5 s", "1h30m", "5S", "1e3s", "nans"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["1000000000d", "1" + "0" * 400 + "us"])
def test_a_duration_beyond_all_calendars_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="longer than anything can last"):
        parse_duration(text)


def test_settings_cannot_be_changed_under_way() -> None:
    with pytest.raises(AttributeError):
        load({}).shards = 9  # type: ignore[misc]


def test_no_two_servers_share_a_port() -> None:
    """Three brokers take ten ports from the first one on, each with its controller one above."""
    brokers = [PORT_OFFSETS["kafka"] + 10 * i + j for i in range(3) for j in (0, 1)]
    others = [offset for server, offset in PORT_OFFSETS.items() if server != "kafka"]
    assert len({*brokers, *others}) == len(brokers) + len(others)


def test_every_setting_has_a_default() -> None:
    """Nothing needs a variable to run against the local stack."""
    assert isinstance(Settings(), Settings)
