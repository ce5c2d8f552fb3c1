"""What is only worth something while nobody else has it: credentials in the code (CWE-798), keys that can be guessed (CWE-330, 337, 338, 340),
and passwords behind a hash that is quick to try, or none (CWE-261, 327, 532, 759, 760, 916)."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from agent.languages.python.doubts.seen import Found, Function, Module, last, names, target_names, text
from agent.languages.sensitive import asks_for_credentials, credential, password, unguessed

GUESSED = ("random.", "numpy.random.", "time.time", "time.monotonic", "time.perf_counter", "uuid.uuid1", "os.getpid", "datetime.datetime.now")
SAFE = ("random.SystemRandom", "random.Random")
QUICK = ("hashlib.", "zlib.crc32", "zlib.adler32", "binascii.crc32", "Crypto.Hash.", "Cryptodome.Hash.")
SLOW = ("hashlib.pbkdf2_hmac", "hashlib.scrypt", "hashlib.algorithms_available", "hashlib.algorithms_guaranteed")
ENCODINGS = ("base64.", "binascii.hexlify", "binascii.b2a", "codecs.encode", "urllib.parse.quote")
LOGGING = ("debug", "info", "warning", "error", "critical", "exception", "log")


def found(module: Module) -> Found:
    yield from _credentials(module)
    for node in module.nodes:
        if isinstance(node, ast.Call):
            name = module.qualified(node.func)
            purpose = _purpose(module, node)
            if name.startswith(GUESSED) and not name.startswith(SAFE) and purpose:
                yield node.lineno, "guessable", f"`{purpose}` comes from {name}, which can be guessed: take the module secrets (CWE-330)"
            elif _quick(name) and (of := _password_of(module, node)):
                yield node.lineno, "quick-hash", f"`{of}` goes into {name}, which is quick to try out: hashlib.scrypt with a random salt (CWE-916)"
            elif (way := _told(node, name)) and (of := _password_in(node)):
                yield node.lineno, "told-password", f"`{of}` goes into {way}, where anybody reads it (CWE-261, CWE-532)"
        elif isinstance(node, ast.Compare) and _letter_by_letter(module, node):
            yield node.lineno, "slow-comparison", "how long this takes tells how much of it is right: hmac.compare_digest (CWE-208)"


# ---- credentials --------------------------------------------------------------------------------------------------------------


def _credentials(module: Module) -> Found:
    written = {name: node.lineno for node in module.nodes for name, value in _given(node) if _credential_of(module, node, name) and text(value)}
    compared = {name for node in module.nodes if (parts := _held_against(node)) for part in parts for name in names(part)}
    for name, line in written.items():
        if name in compared:
            yield line, "credential", f"`{name}` is written in the code, and decides who gets in: it belongs into a secret (CWE-798)"
    for node in module.nodes:
        if isinstance(node, ast.Compare) and len(node.comparators) == 1 and isinstance(node.ops[0], ast.Eq | ast.NotEq):
            sides = (node.left, node.comparators[0])
            value = next((side for side in sides if text(side)), None)
            name = next((last(side) for side in sides if side is not value and credential(last(side))), "")
            if value is not None and name and text(value) != name:
                yield node.lineno, "credential", f"`{name}` is compared with what is written in the code: it belongs into a secret (CWE-798)"


def _given(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """The names that a node gives a value to, with it: by assignment, as a default, in a dictionary."""
    if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        yield from ((name, node.value) for name in target_names(node))
    elif isinstance(node, ast.Dict):
        yield from ((key, value) for at, value in zip(node.keys, node.values, strict=True) if (key := text(at)))


def _credential_of(module: Module, node: ast.AST, name: str) -> bool:
    """By its own name; in a function that asks who somebody is, anything that is `correct`, `valid`, `stored` or `expected`."""
    if credential(name):
        return True
    function = module.function_of(node)
    expected = name.lower().startswith(("correct", "valid", "stored", "expected", "real", "actual"))
    return expected and function is not None and asks_for_credentials(function.name)


def _held_against(node: ast.AST) -> list[ast.AST]:
    """What a node compares: also by its beginning, its letters or its length."""
    if isinstance(node, ast.Compare):
        return [node.left, *node.comparators]
    if isinstance(node, ast.Call) and last(node.func) in (
        "startswith",
        "endswith",
        "zip",
        "compare_digest",
        "match",
        "fullmatch",
        "find",
        "index",
        "count",
    ):
        return [node.func, *node.args]
    return []


# ---- keys ---------------------------------------------------------------------------------------------------------------------


def _purpose(module: Module, node: ast.AST) -> str:
    """The name of what must not be guessed and comes of an expression: of a variable, or of the function that makes it."""
    for parent in module.above(node):
        if name := next((name for name in target_names(parent) if unguessed(name)), ""):
            return name
        if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef):
            return parent.name if unguessed(parent.name) else ""
    return ""


# ---- passwords ----------------------------------------------------------------------------------------------------------------


def _quick(name: str) -> bool:
    return name.startswith(QUICK) and not name.startswith(SLOW)


def _password_of(module: Module, node: ast.Call) -> str:
    """The password that a hash is made of: among its arguments, or in the function around it that feeds it."""
    direct = next((name for argument in node.args for name in names(argument) if password(name)), "")
    function = module.function_of(node)
    return direct or (_fed(function) if function is not None else "")


def _password_in(node: ast.Call) -> str:
    return next((name for argument in node.args for name in names(argument) if password(name)), "")


def _told(node: ast.Call, name: str) -> str:
    """Where what a call is given can be read again: an encoding that hides nothing, a log, the output."""
    if name.startswith(ENCODINGS):
        return name
    if isinstance(node.func, ast.Name) and node.func.id == "print":
        return "print"
    logs = isinstance(node.func, ast.Attribute) and node.func.attr in LOGGING and "log" in last(node.func.value).lower()
    return "a log" if logs else ""


def _letter_by_letter(module: Module, node: ast.Compare) -> bool:
    """`given[i] != expected[i]`, where a function asks who somebody is."""
    sides = (node.left, node.comparators[0])
    if not all(isinstance(side, ast.Subscript) and isinstance(side.slice, ast.Name) for side in sides) or not module.in_loop(node):
        return False
    function = module.function_of(node)
    return function is not None and any(map(asks_for_credentials, (function.name, *(name for side in sides for name in names(side)))))


def _fed(function: Function) -> str:
    """A password that the function hands to `update` of a hash."""
    calls = (node for node in ast.walk(function) if isinstance(node, ast.Call) and last(node.func) == "update")
    return next((name for call in calls for argument in call.args for name in names(argument) if password(name)), "")
