"""Names that look alike."""

from __future__ import annotations

SHORTEST = 5  # characters of a skill's name, without what parts it; shorter ones are one letter apart from too many
_DRAWN = (("0", "o"), ("1", "l"), ("5", "s"), ("rn", "m"), ("vv", "w"), ("cl", "d"), ("i", "l"))


def one_apart(left: str, right: str) -> bool:
    """Whether one letter added, dropped or changed, or two neighbours swapped, makes one of the other."""
    if left == right or abs(len(left) - len(right)) > 1:
        return False
    shared = next((index for index, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
    rest, other = left[shared:], right[shared:]
    swapped = len(rest) > 1 and rest[1::-1] + rest[2:] == other
    return swapped or rest[1:] == other or rest == other[1:] or rest[1:] == other[1:]


def skills_alike(left: str, right: str) -> bool:
    """Whether one skill's name could be taken for another's: parted otherwise, drawn alike, or one letter apart."""
    if left == right:
        return False
    ours, theirs = _joined(left), _joined(right)
    return _skeleton(ours) == _skeleton(theirs) or (min(len(ours), len(theirs)) >= SHORTEST and one_apart(ours, theirs))


def _joined(name: str) -> str:
    return name.casefold().replace("-", "").replace("_", "").replace(".", "")


def _skeleton(name: str) -> str:
    """As it is drawn, roughly (the idea is Unicode's: UTS 39, skeleton)."""
    for drawn, like in _DRAWN:
        name = name.replace(drawn, like)
    return name
