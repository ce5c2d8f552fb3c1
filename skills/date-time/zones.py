"""Time zones: UTC and fixed offsets, which are always there, and the names of the IANA database where the machine has it."""

import difflib
import re
import zoneinfo
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from faults import NoZoneDataError, UnknownZoneError

OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?([0-5]\d))?", re.IGNORECASE)
LARGEST = timedelta(hours=18)


def zone_of(name: str) -> tzinfo:
    """The zone of `UTC`, `Z`, `+02:00`, `UTC-5` or `Europe/Berlin`."""
    if name.upper() in ("UTC", "Z", "GMT"):
        return UTC
    if match := OFFSET.fullmatch(name):
        return fixed(name, match)
    try:
        return zone_named(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise unknown(name) from None


def zone_named(name: str) -> tzinfo:
    return zoneinfo.ZoneInfo(name)


def fixed(name: str, match: re.Match[str]) -> tzinfo:
    distance = timedelta(hours=int(match[2]), minutes=int(match[3] or 0))
    if distance > LARGEST:
        raise UnknownZoneError(f"the offset {name} is beyond 18 hours")
    return timezone(-distance if match[1] == "-" else distance)


def unknown(name: str) -> ValueError:
    known = sorted(zoneinfo.available_timezones())
    if not known:
        return NoZoneDataError(
            f"this machine has no time zone database, so {name} cannot be looked up; install tzdata, or give an offset like +02:00"
        )
    cities = {zone.rpartition("/")[2].lower(): zone for zone in known}
    near = difflib.get_close_matches(name.rpartition("/")[2].lower().replace(" ", "_"), cities, n=1, cutoff=0.7)
    hint = f"; did you mean {cities[near[0]]}?" if near else "; names are like Europe/Berlin"
    return UnknownZoneError(f"there is no time zone {name!r}{hint}")


def name_of(moment: datetime) -> str:
    """The zone's own name, or its offset."""
    zone = moment.tzinfo
    if isinstance(zone, zoneinfo.ZoneInfo):
        return zone.key
    return "UTC" if zone is UTC else offset_of(moment)


def offset_of(moment: datetime) -> str:
    text = moment.strftime("%z")
    return f"{text[:3]}:{text[3:5]}"
