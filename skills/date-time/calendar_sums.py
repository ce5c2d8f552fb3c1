"""Adding to a moment, and the distance between two, as calendars and clocks have it."""

import calendar
from datetime import UTC, datetime, timedelta

from faults import OutOfRangeError

UNITS = ("years", "months", "days", "hours", "minutes", "seconds")


def added(moment: datetime, amount: dict[str, int]) -> datetime:
    """Years to days on the calendar of the moment's zone (a day may have 23 hours), then hours to seconds as time that passes."""
    try:
        months = 12 * amount.get("years", 0) + amount.get("months", 0)
        days = 7 * amount.get("weeks", 0) + amount.get("days", 0)
        dated = existing(months_later(moment, months) + timedelta(days=days))
        passed = timedelta(**{unit: amount.get(unit, 0) for unit in ("hours", "minutes", "seconds")})
        return (dated.astimezone(UTC) + passed).astimezone(moment.tzinfo)
    except (OverflowError, ValueError):
        raise OutOfRangeError("only the years 1 to 9999 can be used") from None


def months_later(moment: datetime, months: int) -> datetime:
    """The same day of another month; the last one where it has no such day."""
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    if not 1 <= year <= 9999:
        raise OverflowError
    last = calendar.monthrange(year, month + 1)[1]
    return moment.replace(year=year, month=month + 1, day=min(moment.day, last))


def existing(moment: datetime) -> datetime:
    """A local time that is left out when clocks go forward becomes the one that clocks show then."""
    return moment.astimezone(UTC).astimezone(moment.tzinfo)


def peculiar(moment: datetime) -> str | None:
    """What is special about a local time on a day when clocks change, in a sentence."""
    if existing(moment).replace(tzinfo=None) != moment.replace(tzinfo=None):
        return "clocks go forward past this time; the same time after the change was taken"
    if moment.replace(fold=1).utcoffset() != moment.replace(fold=0).utcoffset():
        return "clocks go back over this time, so it comes twice; the first was taken" if not moment.fold else None
    return None


def parts_between(early: datetime, late: datetime) -> dict[str, int]:
    """Years to seconds from one local time to a later one, the larger units first."""
    early, late = early.replace(tzinfo=None), late.replace(tzinfo=None)
    months = (late.year - early.year) * 12 + late.month - early.month
    if months and months_later(early, months) > late:
        months -= 1
    rest = late - months_later(early, months)
    minutes, seconds = divmod(rest.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return dict(zip(UNITS, (*divmod(months, 12), rest.days, hours, minutes, seconds)))


def duration(parts: dict[str, int], negative: bool) -> str:
    """As ISO 8601 writes it, like P1Y2M3DT4H5M6S."""
    date = "".join(f"{parts[unit]}{unit[0].upper()}" for unit in UNITS[:3] if parts[unit])
    time = "".join(f"{parts[unit]}{unit[0].upper()}" for unit in UNITS[3:] if parts[unit])
    written = f"P{date}T{time}" if time else f"P{date or '0D'}"
    return f"-{written}" if negative else written
