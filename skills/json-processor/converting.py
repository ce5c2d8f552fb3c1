"""A document in another form."""

import csv
import io
import json
from typing import Any

from faults import NotConvertibleError
from pointers import below


def converted(document: Any, to: str, *, sort_keys: bool) -> dict[str, Any]:
    if to == "pretty":
        return {"text": json.dumps(document, indent=2, ensure_ascii=False, sort_keys=sort_keys)}
    if to == "compact":
        return {"text": compact(document, sort_keys)}
    if to == "lines":
        return {"text": "".join(f"{compact(item, sort_keys)}\n" for item in rows_of(document, "lines"))}
    if to == "csv":
        return {"text": table(rows_of(document, "csv"))}
    if to == "flat":
        return {"document": leaves(document)}
    raise NotConvertibleError(f"there is no format {to!r}")


def compact(value: Any, sort_keys: bool = False) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=sort_keys)


def rows_of(document: Any, to: str) -> list[Any]:
    if not isinstance(document, list):
        raise NotConvertibleError(f"only a list can become {to}")
    return document


def table(rows: list[Any]) -> str:
    if not all(isinstance(row, dict) for row in rows):
        raise NotConvertibleError("only a list of objects can become csv")
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if columns:
        writer.writerow(columns)
        writer.writerows([cell(row.get(column)) for column in columns] for row in rows)
    return text.getvalue()


def cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else compact(value)


def leaves(document: Any) -> dict[str, Any]:
    """Each leaf by its pointer, in the order of the document; an empty list or object is a leaf."""
    found: dict[str, Any] = {}
    waiting = [("", document)]
    while waiting:
        pointer, value = waiting.pop()
        if value and isinstance(value, dict | list):
            members = value.items() if isinstance(value, dict) else enumerate(value)
            waiting += reversed([(below(pointer, step), child) for step, child in members])
        else:
            found[pointer] = value
    return found
