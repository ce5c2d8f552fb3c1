"""A moment from text: the ISO 8601 forms, mail dates, dates with the month in letters, Unix seconds, or a format that is given."""

import re
from datetime import UTC, datetime, tzinfo
from email.utils import parsedate_to_datetime
from itertools import product

from faults import OutOfRangeError, UnreadableTimeError

UNIX = re.compile(r"@?-?\d{9,12}(\.\d+)?")
MAIL = re.compile(r"[A-Z][a-z]{2}, \d")
NUMBERS = re.compile(r"\d{1,2}([/.-])\d{1,2}\1\d{2,4}\b.*")
DATES = ("%d %B %Y", "%d %b %Y", "%B %d, %Y", "%b %d, %Y", "%B %d %Y", "%b %d %Y", "%Y/%m/%d")
TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p")


def moment_of(value: str | float, zone: tzinfo, form: str | None = None) -> datetime:
    """The moment; one without an offset is taken to be in `zone`."""
    if isinstance(value, str) and value.strip().lower() == "now":
        return now().astimezone(zone)
    found = parsed(value, form)
    return found if found.tzinfo else found.replace(tzinfo=zone)


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def parsed(value: str | float, form: str | None) -> datetime:
    if not isinstance(value, str):
        return unix(value)
    text = " ".join(value.split())
    if form is not None:
        return formatted(text, form)
    if UNIX.fullmatch(text):
        return unix(float(text.lstrip("@")))
    for read in (datetime.fromisoformat, mail, spelt):
        try:
            return read(text)
        except ValueError:
            continue
    if NUMBERS.fullmatch(text):
        raise UnreadableTimeError(f"{text!r} may be day or month first; write it like 2025-04-03, or give its format")
    raise UnreadableTimeError(f"{text[:80]!r} is no date or time that can be read; write it like 2025-04-03T14:30")


def unix(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        raise OutOfRangeError("only the years 1 to 9999 can be used") from None


def formatted(text: str, form: str) -> datetime:
    try:
        return datetime.strptime(text, form)
    except (ValueError, re.error) as error:
        raise UnreadableTimeError(str(error)) from None


def mail(text: str) -> datetime:
    """A date as mail and HTTP have it (RFC 5322), which starts with its weekday."""
    if not MAIL.match(text):
        raise ValueError
    return parsedate_to_datetime(text)


def spelt(text: str) -> datetime:
    for date, time in product(DATES, TIMES):
        try:
            return datetime.strptime(text, date + time)
        except ValueError:
            continue
    raise ValueError
