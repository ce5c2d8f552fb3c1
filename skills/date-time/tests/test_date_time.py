import io
import struct
import zoneinfo
from datetime import UTC, datetime

import pytest

import reading
import zones
from skill import execute

BERLIN = "CET-1CEST,M3.5.0,M10.5.0/3"


def zone_file(rule):
    """A time zone file (RFC 8536) that holds one rule and no history."""
    head = b"TZif2" + bytes(15)
    one_type = struct.pack(">6l", 0, 0, 0, 0, 1, 4) + struct.pack(">lbB", 3600, 0, 0) + b"CET\0"
    return head + one_type + head + one_type + f"\n{rule}\n".encode()


@pytest.fixture(autouse=True)
def database(monkeypatch):
    """Zones of our own, so that no test depends on the machine's database."""
    known = {"Europe/Berlin": BERLIN}

    def made(name):
        if name not in known:
            raise zoneinfo.ZoneInfoNotFoundError(name)
        return zoneinfo.ZoneInfo.from_file(io.BytesIO(zone_file(known[name])), key=name)

    monkeypatch.setattr(zones, "zone_named", made)
    monkeypatch.setattr(zoneinfo, "available_timezones", lambda: set(known))
    return known


def run(operation, **inputs):
    return execute({"operation": operation, **inputs}, {})


def iso(at, **inputs):
    return run("parse", at=at, **inputs)["iso"]


def fault(operation, **inputs):
    with pytest.raises(ValueError) as caught:
        run(operation, **inputs)
    return type(caught.value).code, str(caught.value)


# ---- reading


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2025-04-03", "2025-04-03T00:00:00+00:00"),
        ("2025-04-03T14:30", "2025-04-03T14:30:00+00:00"),
        (" 2025-04-03  14:30:05.250 ", "2025-04-03T14:30:05.250000+00:00"),
        ("2025-04-03T14:30Z", "2025-04-03T14:30:00+00:00"),
        ("2025-04-03T14:30-05:00", "2025-04-03T14:30:00-05:00"),
        ("20250403T143000", "2025-04-03T14:30:00+00:00"),
        ("2025-W14-4", "2025-04-03T00:00:00+00:00"),
        ("2025/04/03 14:30", "2025-04-03T14:30:00+00:00"),
        ("Thu, 03 Apr 2025 14:30:00 +0200", "2025-04-03T14:30:00+02:00"),
        ("Thu, 03 Apr 2025 14:30:00 GMT", "2025-04-03T14:30:00+00:00"),
        ("3 April 2025", "2025-04-03T00:00:00+00:00"),
        ("3 apr 2025 14:30:05", "2025-04-03T14:30:05+00:00"),
        ("April 3, 2025 2:30 PM", "2025-04-03T14:30:00+00:00"),
        ("Apr 3 2025", "2025-04-03T00:00:00+00:00"),
        (1743683400, "2025-04-03T12:30:00+00:00"),
        (-0.5, "1969-12-31T23:59:59.500000+00:00"),
        ("1743683400", "2025-04-03T12:30:00+00:00"),
        ("@1743683400.5", "2025-04-03T12:30:00.500000+00:00"),
    ],
)
def test_reads_many_ways_of_writing_a_moment(at, expected):
    assert iso(at) == expected


def test_tells_all_about_a_moment():
    assert run("parse", at="2024-12-30T23:00:00.5", zone="-02:30") == {
        "iso": "2024-12-30T23:00:00.500000-02:30",
        "utc": "2024-12-31T01:30:00.500000Z",
        "unix": 1735608600.5,
        "date": "2024-12-30",
        "time": "23:00:00.500000",
        "weekday": "Monday",
        "week": "2025-W01",
        "day_of_year": 365,
        "zone": "-02:30",
        "offset": "-02:30",
    }
    assert run("parse", at="2023-01-01")["weekday"] == "Sunday"
    assert run("parse", at="2023-01-01T00:00")["unix"] == 1672531200


def test_reads_text_in_the_format_that_is_given():
    assert iso("03/04/2025", format="%d/%m/%Y") == "2025-04-03T00:00:00+00:00"
    assert iso("03/04/2025 +0200", format="%m/%d/%Y %z") == "2025-03-04T00:00:00+02:00"
    assert fault("parse", at="2025", format="%d/%m")[0] == "unreadable-time"
    assert fault("parse", at="2025", format="%")[0] == "unreadable-time"


@pytest.mark.parametrize("at", ["03/04/2025", "3.4.2025", "3-4-25 10:00"])
def test_refuses_a_date_that_may_mean_two_days(at):
    assert fault("parse", at=at) == (
        "unreadable-time",
        f"{at!r} may be day or month first; write it like 2025-04-03, or give its format",
    )


@pytest.mark.parametrize(
    "at", ["", "tomorrow", "2025-02-30", "2025-13-01", "25:00", "Foo, 12 Bar 2025", "31 June 2025", "12345678901234"]
)
def test_refuses_what_is_no_date(at):
    assert fault("parse", at=at) == (
        "unreadable-time",
        f"{at!r} is no date or time that can be read; write it like 2025-04-03T14:30",
    )


def test_now_is_the_clock_of_the_machine(monkeypatch):
    before = datetime.now(UTC).timestamp() - 1
    assert before <= run("now")["unix"] <= datetime.now(UTC).timestamp()
    monkeypatch.setattr(reading, "now", lambda: datetime(2025, 7, 1, 12, tzinfo=UTC))
    assert run("now", zone="Europe/Berlin")["iso"] == iso("NOW", zone="Europe/Berlin") == "2025-07-01T14:00:00+02:00"
    assert run("add", at="now", amount={"days": 1})["iso"] == "2025-07-02T12:00:00+00:00"


# ---- zones


@pytest.mark.parametrize(
    ("zone", "name", "offset"),
    [
        ("UTC", "UTC", "+00:00"),
        ("z", "UTC", "+00:00"),
        ("gmt", "UTC", "+00:00"),
        ("+2", "+02:00", "+02:00"),
        ("utc-5", "-05:00", "-05:00"),
        ("+0530", "+05:30", "+05:30"),
        ("-18:00", "-18:00", "-18:00"),
        ("Europe/Berlin", "Europe/Berlin", "+02:00"),
    ],
)
def test_knows_names_and_offsets(zone, name, offset):
    found = run("parse", at="2025-07-01", zone=zone)
    assert (found["zone"], found["offset"]) == (name, offset)


def test_converts_between_zones():
    assert run("convert", at="2025-07-01T12:00", to="Europe/Berlin")["iso"] == "2025-07-01T14:00:00+02:00"
    assert (
        run("convert", at="2025-01-01T12:00", zone="Europe/Berlin", to="-05:00")["iso"] == "2025-01-01T06:00:00-05:00"
    )
    assert iso("2025-07-01T12:00-05:00", zone="Europe/Berlin") == "2025-07-01T19:00:00+02:00"


def test_says_which_zone_it_does_not_know():
    assert fault("parse", at="2025-01-01", zone="berlin") == (
        "unknown-zone",
        "there is no time zone 'berlin'; did you mean Europe/Berlin?",
    )
    assert fault("parse", at="2025-01-01", zone="Mars/Base") == (
        "unknown-zone",
        "there is no time zone 'Mars/Base'; names are like Europe/Berlin",
    )
    assert fault("convert", at="2025-01-01", to="+18:01") == ("unknown-zone", "the offset +18:01 is beyond 18 hours")
    assert fault("convert", at="2025-01-01", to="+1:75")[0] == "unknown-zone"


def test_says_so_where_the_machine_has_no_zones(database):
    database.clear()
    code, message = fault("parse", at="2025-01-01", zone="Europe/Berlin")
    assert code == "no-zone-data"
    assert message.endswith("so Europe/Berlin cannot be looked up; install tzdata, or give an offset like +02:00")
    assert iso("2025-01-01", zone="+01:00") == "2025-01-01T00:00:00+01:00"


def test_the_real_database_is_asked_by_name(monkeypatch):
    monkeypatch.undo()
    assert fault("parse", at="2025-01-01", zone="No/Such")[0] in ("unknown-zone", "no-zone-data")
    assert fault("parse", at="2025-01-01", zone="../etc/passwd")[0] in ("unknown-zone", "no-zone-data")


def test_notes_a_local_time_that_clocks_skip_or_repeat():
    skipped = run("parse", at="2025-03-30T02:30", zone="Europe/Berlin")
    assert (skipped["iso"], skipped["note"]) == (
        "2025-03-30T03:30:00+02:00",
        "clocks go forward past this time; the same time after the change was taken",
    )
    repeated = run("parse", at="2025-10-26T02:30", zone="Europe/Berlin")
    assert (repeated["iso"], repeated["note"]) == (
        "2025-10-26T02:30:00+02:00",
        "clocks go back over this time, so it comes twice; the first was taken",
    )
    assert "note" not in run("parse", at="2025-10-26T03:30", zone="Europe/Berlin")
    assert "note" not in run("parse", at="2025-10-26T01:30:00Z", zone="Europe/Berlin")


# ---- adding


@pytest.mark.parametrize(
    ("at", "amount", "expected"),
    [
        ("2024-01-31", {"months": 1}, "2024-02-29T00:00:00+00:00"),
        ("2024-02-29", {"years": 1}, "2025-02-28T00:00:00+00:00"),
        ("2024-11-30", {"months": 2}, "2025-01-30T00:00:00+00:00"),
        ("2024-03-31", {"months": -1}, "2024-02-29T00:00:00+00:00"),
        ("2024-01-15", {"months": -1}, "2023-12-15T00:00:00+00:00"),
        ("2024-01-15", {"years": 1, "months": 12}, "2026-01-15T00:00:00+00:00"),
        ("2024-12-31T23:59:59", {"seconds": 1}, "2025-01-01T00:00:00+00:00"),
        ("2024-02-28", {"weeks": 1, "days": -6}, "2024-02-29T00:00:00+00:00"),
        ("2024-01-01T12:00-05:00", {"hours": 25, "minutes": 61}, "2024-01-02T14:01:00-05:00"),
        ("2024-01-01", {}, "2024-01-01T00:00:00+00:00"),
        ("0001-02-01", {"months": -1}, "0001-01-01T00:00:00+00:00"),
        ("9999-11-30", {"months": 1}, "9999-12-30T00:00:00+00:00"),
    ],
)
def test_adds_by_the_calendar(at, amount, expected):
    assert run("add", at=at, amount=amount)["iso"] == expected


def test_a_day_keeps_the_time_of_day_and_hours_are_time_that_passes():
    berlin = {"at": "2025-03-29T12:00", "zone": "Europe/Berlin"}
    assert run("add", **berlin, amount={"days": 1})["iso"] == "2025-03-30T12:00:00+02:00"
    assert run("add", **berlin, amount={"hours": 24})["iso"] == "2025-03-30T13:00:00+02:00"
    assert (
        run("add", at="2025-03-29T02:30", zone="Europe/Berlin", amount={"days": 1})["iso"]
        == "2025-03-30T03:30:00+02:00"
    )


@pytest.mark.parametrize(
    ("operation", "inputs"),
    [
        ("add", {"at": "0001-01-15", "amount": {"months": -1}}),
        ("add", {"at": "9999-12-15", "amount": {"months": 1}}),
        ("add", {"at": "2024-01-01", "amount": {"days": 10**12}}),
        ("add", {"at": "2024-01-01", "amount": {"seconds": 10**15}}),
        ("parse", {"at": 1e15}),
        ("convert", {"at": "9999-12-31T23:00", "to": "+02:00"}),
    ],
)
def test_refuses_years_that_no_calendar_has(operation, inputs):
    assert fault(operation, **inputs) == ("out-of-range", "only the years 1 to 9999 can be used")


# ---- the time between


@pytest.mark.parametrize(
    ("at", "until", "seconds", "duration"),
    [
        ("2024-01-31", "2024-01-31", 0, "P0D"),
        ("2024-01-31", "2024-02-29", 29 * 86400, "P1M"),
        ("2024-01-31", "2024-03-01", 30 * 86400, "P1M1D"),
        ("2024-01-15", "2024-02-14", 30 * 86400, "P30D"),
        ("2023-02-28", "2024-02-28", 365 * 86400, "P1Y"),
        ("2024-01-01T00:00", "2024-01-01T01:02:03", 3723, "PT1H2M3S"),
        ("2024-01-01", "2025-03-04T05:06:07", 36997567, "P1Y2M3DT5H6M7S"),
        ("2024-01-01", "2023-12-31T23:59:59", -1, "-PT1S"),
        ("2024-03-01", "2024-01-31", -30 * 86400, "-P1M1D"),
        ("2024-01-01T00:00+02:00", "2024-01-01T00:00Z", 7200, "PT2H"),
        (0, 0.25, 0.25, "P0D"),
    ],
)
def test_measures_the_time_between(at, until, seconds, duration):
    found = run("difference", at=at, until=until)
    assert (found["seconds"], found["duration"], found["negative"]) == (seconds, duration, seconds < 0)


def test_gives_the_parts_of_a_difference():
    assert run("difference", at="2024-01-01", until="2025-03-04T17:06:07") == {
        "seconds": 37040767,
        "days": 428.71258100,
        "negative": False,
        "parts": {"years": 1, "months": 2, "days": 3, "hours": 17, "minutes": 6, "seconds": 7},
        "duration": "P1Y2M3DT17H6M7S",
    }


def test_a_day_on_which_clocks_change_is_a_day_of_23_hours():
    found = run("difference", at="2025-03-29T12:00", until="2025-03-30T12:00", zone="Europe/Berlin")
    assert (found["duration"], found["seconds"]) == ("P1D", 23 * 3600)


@pytest.mark.parametrize(
    ("operation", "inputs", "message"),
    [
        ("parse", {}, "parse needs at"),
        ("convert", {"at": 0}, "convert needs to"),
        ("add", {"at": 0}, "add needs amount"),
        ("difference", {"at": 0}, "difference needs until"),
        ("wait", {}, "operation is one of now, parse, convert, add, difference"),
    ],
)
def test_says_which_input_is_missing(operation, inputs, message):
    assert fault(operation, **inputs) == ("missing-input", message)
