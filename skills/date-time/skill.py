"""Dates and times: read, convert between zones, add, and measure the time between."""

from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from typing import Any

from calendar_sums import added, duration, existing, parts_between, peculiar
from faults import MissingInputError, OutOfRangeError
from reading import moment_of
from zones import name_of, offset_of, zone_of


def execute(inputs: dict[str, Any], context: dict[str, Any]) -> dict[str, Any]:
    operation = OPERATIONS.get(inputs.get("operation", ""))
    if operation is None:
        raise MissingInputError(f"operation is one of {', '.join(OPERATIONS)}")
    try:
        return operation(inputs)
    except OverflowError:
        raise OutOfRangeError("only the years 1 to 9999 can be used") from None


def current(inputs: dict[str, Any]) -> dict[str, Any]:
    return told(moment_of("now", zone_in(inputs)))


def parse(inputs: dict[str, Any]) -> dict[str, Any]:
    moment, note = given(inputs, "at")
    return told(moment, note)


def convert(inputs: dict[str, Any]) -> dict[str, Any]:
    moment, note = given(inputs, "at")
    return told(moment.astimezone(zone_of(needed(inputs, "to"))), note)


def add(inputs: dict[str, Any]) -> dict[str, Any]:
    moment, note = given(inputs, "at")
    return told(added(moment, needed(inputs, "amount")), note)


def difference(inputs: dict[str, Any]) -> dict[str, Any]:
    """From `at` to `until`; negative where `until` is earlier."""
    (start, _), (end, _) = given(inputs, "at"), given(inputs, "until")
    end = end.astimezone(start.tzinfo)
    seconds = (end.astimezone(UTC) - start.astimezone(UTC)).total_seconds()
    early, late = (end, start) if seconds < 0 else (start, end)
    parts = parts_between(early, late)
    return {
        "seconds": whole(seconds),
        "days": round(seconds / 86_400, 6),
        "negative": seconds < 0,
        "parts": parts,
        "duration": duration(parts, seconds < 0),
    }


def given(inputs: dict[str, Any], name: str) -> tuple[datetime, str | None]:
    """The moment of an input, in the zone that was asked for, and what is special about it."""
    moment = moment_of(needed(inputs, name), zone_in(inputs), inputs.get("format"))
    note = peculiar(moment)
    return (moment.astimezone(zone_in(inputs)) if "zone" in inputs else existing(moment)), note


def needed(inputs: dict[str, Any], name: str) -> Any:
    if name not in inputs:
        raise MissingInputError(f"{inputs['operation']} needs {name}")
    return inputs[name]


def zone_in(inputs: dict[str, Any]) -> tzinfo:
    return zone_of(inputs.get("zone", "UTC"))


def told(moment: datetime, note: str | None = None) -> dict[str, Any]:
    calendar = moment.isocalendar()
    return {
        "iso": moment.isoformat(),
        "utc": moment.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "unix": whole(moment.timestamp()),
        "date": moment.date().isoformat(),
        "time": moment.time().isoformat(),
        "weekday": WEEKDAYS[moment.weekday()],
        "week": f"{calendar.year}-W{calendar.week:02}",
        "day_of_year": moment.timetuple().tm_yday,
        "zone": name_of(moment),
        "offset": offset_of(moment),
        **({"note": note} if note else {}),
    }


def whole(seconds: float) -> int | float:
    return int(seconds) if seconds == int(seconds) else seconds


WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
OPERATIONS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "now": current,
    "parse": parse,
    "convert": convert,
    "add": add,
    "difference": difference,
}
