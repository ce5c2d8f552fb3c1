"""Operators and functions on numbers: fractions, which are exact, and floats where nothing exact is possible."""

import ast
import math
import statistics
from collections.abc import Callable
from fractions import Fraction

from faults import DivisionByZeroError, OutOfDomainError, TooLargeError

Number = Fraction | float
Function = Callable[..., Number]

EXACT_BITS = 20_000  # of a power that is still worked out exactly
KEPT_BITS = 4_000  # of a denominator that is still kept exactly
LARGEST_COUNT = 10_000  # of factorial, comb and perm
LARGEST_DIGITS = 300  # of round


def fitted(value: Number) -> Number:
    """`value`, where a reader of JSON can hold it; a float where it would take too much room as a fraction."""
    try:
        rounded = float(value)
    except OverflowError:
        raise TooLargeError("the value is beyond 1.8e308") from None
    if math.isinf(rounded):
        raise TooLargeError("the value is beyond 1.8e308")
    if math.isnan(rounded):
        raise OutOfDomainError("the value is not a number")
    return rounded if isinstance(value, Fraction) and value.denominator.bit_length() > KEPT_BITS else value


def divided(by: Callable[[Number, Number], Number]) -> Callable[[Number, Number], Number]:
    def divide(left: Number, right: Number) -> Number:
        if right == 0:
            raise DivisionByZeroError("a division by zero has no value")
        return by(left, right)

    return divide


def power(base: Number, exponent: Number) -> Number:
    """Exact for whole exponents while the result stays small."""
    if base == 0 and exponent < 0:
        raise DivisionByZeroError("zero has no negative power")
    if isinstance(base, Fraction) and isinstance(exponent, Fraction) and exponent.denominator == 1:
        bits = max(base.numerator.bit_length(), base.denominator.bit_length())
        if bits * abs(exponent) <= EXACT_BITS:
            return base ** int(exponent)
    return math.pow(base, exponent)


def square_root(value: Number) -> Number:
    if isinstance(value, Fraction) and value >= 0:
        root = Fraction(math.isqrt(value.numerator), math.isqrt(value.denominator))
        if root * root == value:
            return root
    return math.sqrt(value)


def cube_root(value: Number) -> Number:
    root = math.copysign(abs(value) ** (1 / 3), value)
    near = Fraction(round(root))
    return near if near**3 == value else root


def rounded(value: Number, digits: Number = Fraction(0)) -> Number:
    """To `digits` after the point; a half goes away from zero, as people round."""
    scale = Fraction(10) ** whole(digits, LARGEST_DIGITS)
    away = math.floor(abs(Fraction(value)) * scale + Fraction(1, 2)) / scale
    return -away if value < 0 else away


def whole(value: Number, largest: int | None = None) -> int:
    """`value` as an int; OutOfDomainError where it is none, TooLargeError where it is beyond `largest`."""
    if value != math.floor(value):
        raise OutOfDomainError("only whole numbers can be used here")
    if largest is not None and abs(value) > largest:
        raise TooLargeError(f"only numbers up to {largest} can be used here")
    return int(value)


def logarithm(value: Number, base: Number = Fraction(10)) -> Number:
    if base == 10:
        return math.log10(value)
    if base == 1:
        raise OutOfDomainError("there is no logarithm to the base 1")
    return math.log2(value) if base == 2 else math.log(value) / math.log(base)


def exactly(function: Callable[..., int], largest: int | None = None) -> Function:
    """A function of whole numbers."""
    return lambda *values: Fraction(function(*(whole(value, largest) for value in values)))


OPERATORS: dict[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: lambda left, right: left + right,
    ast.Sub: lambda left, right: left - right,
    ast.Mult: lambda left, right: left * right,
    ast.Div: divided(lambda left, right: left / right),
    ast.FloorDiv: divided(lambda left, right: left // right),
    ast.Mod: divided(lambda left, right: left % right),
    ast.Pow: power,
}
CONSTANTS: dict[str, Number] = {"pi": math.pi, "e": math.e, "tau": math.tau}
MANY = 1_000  # values that a function of any number of values takes
# Name: the function, and the least and most values that it takes.
FUNCTIONS: dict[str, tuple[Function, int, int]] = {
    **{name: (getattr(math, name), 1, 1) for name in ("sin", "cos", "tan", "asin", "acos", "atan")},
    **{
        name: (getattr(math, name), 1, 1)
        for name in ("sinh", "cosh", "tanh", "exp", "degrees", "radians", "log2", "log10")
    },
    "abs": (abs, 1, 1),
    "sign": (lambda value: Fraction((value > 0) - (value < 0)), 1, 1),
    "round": (rounded, 1, 2),
    "floor": (lambda value: Fraction(math.floor(value)), 1, 1),
    "ceil": (lambda value: Fraction(math.ceil(value)), 1, 1),
    "trunc": (lambda value: Fraction(math.trunc(value)), 1, 1),
    "sqrt": (square_root, 1, 1),
    "cbrt": (cube_root, 1, 1),
    "ln": (math.log, 1, 1),
    "log": (logarithm, 1, 2),
    "atan2": (math.atan2, 2, 2),
    "hypot": (lambda *values: square_root(sum(value * value for value in values)), 1, MANY),
    "min": (lambda *values: min(values), 1, MANY),
    "max": (lambda *values: max(values), 1, MANY),
    "sum": (lambda *values: sum(values), 1, MANY),
    "mean": (lambda *values: sum(values) / len(values), 1, MANY),
    "median": (lambda *values: statistics.median(values), 1, MANY),
    "gcd": (exactly(math.gcd), 1, MANY),
    "lcm": (exactly(math.lcm), 1, MANY),
    "factorial": (exactly(math.factorial, LARGEST_COUNT), 1, 1),
    "comb": (exactly(math.comb, LARGEST_COUNT), 2, 2),
    "perm": (exactly(math.perm, LARGEST_COUNT), 2, 2),
}
