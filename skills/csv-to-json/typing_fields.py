"""What a field plainly is: a number, a boolean, nothing, or text."""

import math
import re

WHOLE = re.compile(r"-?(0|[1-9][0-9]*)")
DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?")
EXACT = 2**53  # whole numbers that every reader of JSON keeps (RFC 8259, section 6)
DIGITS = 17  # of a number that a float may keep
WORDS = {"": None, "null": None, "true": True, "false": False}


def typed(field: str) -> str | int | float | bool | None:
    bare = field.strip()
    if bare.lower() in WORDS:
        return WORDS[bare.lower()]
    if WHOLE.fullmatch(bare):
        return int(bare) if len(bare) <= DIGITS and abs(int(bare)) <= EXACT else field
    if DECIMAL.fullmatch(bare) and sum(map(str.isdigit, bare)) <= DIGITS and math.isfinite(float(bare)):
        return float(bare)
    return field
