"""JSON processor: query, validate or convert one document."""

from typing import Any

from converting import converted
from faults import MissingInputError, TooComplexError
from paths import steps_of
from pointers import at_pointer
from reading import document_of
from selecting import found
from validating import Validation

LISTED = 100  # problems that are told


def execute(inputs: dict[str, Any], context: dict[str, Any]) -> dict[str, Any]:
    operation = OPERATIONS.get(inputs.get("operation"))
    if operation is None:
        raise MissingInputError("operation is one of query, validate and convert")
    try:
        return operation(document_of(inputs), inputs)
    except RecursionError:
        raise TooComplexError("the document or the schema is nested too deeply") from None


def query(document: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    path = needed(inputs, "path", "query")
    nodes = found(document, steps_of(path)) if path.startswith("$") else {path: at_pointer(document, path)}
    return {"matches": [{"pointer": pointer, "value": value} for pointer, value in nodes.items()]}


def validate(document: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    validation = Validation(needed(inputs, "schema", "validate"))
    problems = validation.problems_of(document, LISTED)
    return {"valid": not problems, "problems": [{"pointer": place, "message": text} for place, text in problems]}


def convert(document: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    return converted(document, needed(inputs, "to", "convert"), sort_keys=inputs.get("sort_keys", False))


def needed(inputs: dict[str, Any], name: str, operation: str) -> Any:
    if name not in inputs:
        raise MissingInputError(f"{operation} needs {name}")
    return inputs[name]


OPERATIONS = {"query": query, "validate": validate, "convert": convert}
