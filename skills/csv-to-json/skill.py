"""CSV to JSON: a table in text becomes one record for each row."""

import csv
import io
from collections.abc import Iterator
from typing import Any

from faults import BadDelimiterError, BadHeaderError, EmptyTableError, MalformedCsvError, RaggedRowError
from typing_fields import typed

DELIMITERS = (",", ";", "\t", "|")
SAMPLE = 20  # rows that the delimiter is guessed from
FIELD = 2**23  # characters: all that a call can bring

Row = tuple[int, list[str]]  # the line that it ends on, and its fields


def execute(inputs: dict[str, Any], context: dict[str, Any]) -> dict[str, Any]:
    text = inputs["text"].removeprefix("\ufeff")
    delimiter = inputs.get("delimiter") or guessed(text)
    table = rows(text, delimiter)
    first = next(table, None)
    if first is None:
        raise EmptyTableError("the text holds no row")
    if inputs.get("header", True):
        columns = names(first[1])
        body = list(table)
    else:
        columns = [f"column_{number}" for number in range(1, len(first[1]) + 1)]
        body = [first, *table]
    value = typed if inputs.get("types", False) else str
    fill = inputs.get("ragged", "refuse") == "fill"
    records = [record(columns, row, line, fill, value) for line, row in body]
    return {"columns": columns, "records": records, "delimiter": delimiter}


def rows(text: str, delimiter: str) -> Iterator[Row]:
    """The rows that are not empty."""
    if delimiter.isalnum() or delimiter in '"\r\n ':
        raise BadDelimiterError(f"{delimiter!r} cannot part fields")
    csv.field_size_limit(FIELD)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        yield from ((reader.line_num, row) for row in reader if row)
    except csv.Error as error:
        raise MalformedCsvError(f"line {reader.line_num}: {error}") from None


def guessed(text: str) -> str:
    """The delimiter that cuts the first rows into the most columns, the same number in each."""
    best, most = DELIMITERS[0], 1
    for delimiter in DELIMITERS:
        widths = set(sampled(text, delimiter))
        if len(widths) == 1 and (width := widths.pop()) > most:
            best, most = delimiter, width
    return best


def sampled(text: str, delimiter: str) -> Iterator[int]:
    """How many fields the first rows have; a text that this delimiter leaves malformed ends early."""
    try:
        for (_, row), _ in zip(rows(text, delimiter), range(SAMPLE)):
            yield len(row)
    except MalformedCsvError:
        yield 0


def names(row: list[str]) -> list[str]:
    columns = [name.strip() for name in row]
    for place, name in enumerate(columns, 1):
        if not name:
            raise BadHeaderError(f"column {place} has no name")
        if columns.index(name) != place - 1:
            raise BadHeaderError(f"two columns are called {name!r}")
    return columns


def record(columns: list[str], row: list[str], line: int, fill: bool, value: Any) -> dict[str, Any]:
    if len(row) > len(columns) or (len(row) < len(columns) and not fill):
        raise RaggedRowError(f"line {line} has {len(row)} fields, and there are {len(columns)} columns")
    fields = row + [""] * (len(columns) - len(row))
    return {name: value(field) for name, field in zip(columns, fields)}
