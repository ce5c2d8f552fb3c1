"""What can be wrong with dates, times and zones. Each class names the code that a caller sees."""


class MissingInputError(ValueError):
    code = "missing-input"


class UnreadableTimeError(ValueError):
    code = "unreadable-time"


class UnknownZoneError(ValueError):
    code = "unknown-zone"


class NoZoneDataError(ValueError):
    code = "no-zone-data"


class OutOfRangeError(ValueError):
    code = "out-of-range"
