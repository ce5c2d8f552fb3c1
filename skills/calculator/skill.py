"""Calculator: the value of an arithmetic expression. It is read as a syntax tree and never run as code."""

import ast
import difflib
import math
from fractions import Fraction
from typing import Any

from arithmetic import CONSTANTS, FUNCTIONS, MANY, OPERATORS, Number, fitted
from faults import (
    MalformedError,
    OutOfDomainError,
    TooComplexError,
    TooLargeError,
    UnknownNameError,
    WrongArgumentsError,
)

LENGTH = 1_000  # characters
DEPTH = 520  # operators inside each other: more than the longest sum has
DIGITS = 15  # of a result that is not exact, which a float holds for certain
SIGNS = str.maketrans({"^": "**", "×": "*", "·": "*", "÷": "/", "−": "-", "π": " pi "})


def execute(inputs: dict[str, Any], context: dict[str, Any]) -> dict[str, Any]:
    """`result` and `text` of the expression."""
    given = inputs.get("variables") or {}
    variables = {name: literal(value) for name, value in given.items()}
    value = evaluate(parsed(inputs["expression"]), variables, 0)
    result = shown(value)
    return {"result": result, "text": str(result)}


def parsed(expression: str) -> ast.expr:
    if len(expression) > LENGTH:
        raise TooComplexError(f"the expression has {len(expression)} characters; at most {LENGTH} are read")
    try:
        return ast.parse(expression.strip().translate(SIGNS), mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise MalformedError(f"the expression cannot be read: {getattr(error, 'msg', error)}") from None
    except (RecursionError, MemoryError):
        raise TooComplexError("the expression is nested too deeply") from None


def evaluate(node: ast.expr, variables: dict[str, Number], depth: int) -> Number:
    if depth > DEPTH:
        raise TooComplexError("the expression is nested too deeply")
    match node:
        case ast.Constant(value=value):
            return literal(value)
        case ast.Name(id=name):
            return named(name, variables)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -evaluate(operand, variables, depth + 1)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return evaluate(operand, variables, depth + 1)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            values = [evaluate(left, variables, depth + 1), evaluate(right, variables, depth + 1)]
            return real(OPERATORS[type(op)], values)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            return called(name, [evaluate(argument, variables, depth + 1) for argument in arguments])
        case ast.Call(func=ast.Constant() | ast.BinOp()):
            raise MalformedError("a number cannot be called; write multiplication out, like 2 * (3 + 4)")
        case ast.Tuple():
            raise MalformedError("there is a comma outside of a function; write 1000.5 and not 1,000.5")
    raise MalformedError(f"only arithmetic can be worked out, not {type(node).__name__}")


def literal(value: object) -> Number:
    """A number as it was written: 0.1 is a tenth."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MalformedError(f"{value!r} is no real number")
    if isinstance(value, float) and not math.isfinite(value):
        raise TooLargeError("a number is beyond 1.8e308")
    return fitted(Fraction(repr(value)))


def named(name: str, variables: dict[str, Number]) -> Number:
    known = CONSTANTS | variables
    if name in known:
        return known[name]
    if name in FUNCTIONS:
        raise MalformedError(f"{name} is a function; write {name}(…)")
    raise UnknownNameError(f"there is no {name}{nearest(name, known)}")


def called(name: str, values: list[Number]) -> Number:
    if name not in FUNCTIONS:
        raise UnknownNameError(f"there is no function {name}{nearest(name, FUNCTIONS)}")
    function, least, most = FUNCTIONS[name]
    if not least <= len(values) <= most:
        wanted = f"{least} or more" if most == MANY else str(least) if least == most else f"{least} or {most}"
        raise WrongArgumentsError(f"{name} takes {wanted} values, not {len(values)}")
    return real(function, values)


def real(function: Any, values: list[Number]) -> Number:
    try:
        return fitted(function(*values))
    except OverflowError:
        raise TooLargeError("the value is beyond 1.8e308") from None
    except ValueError as error:
        if hasattr(error, "code"):
            raise
        raise OutOfDomainError("there is no such real number") from None


def nearest(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def shown(value: Number) -> int | float:
    """A fraction as the nearest float, whole numbers whole, and no digits that are not certain."""
    if isinstance(value, float):
        value = float(f"{value:.{DIGITS}g}")
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    return int(value) if value.denominator == 1 else float(value)
