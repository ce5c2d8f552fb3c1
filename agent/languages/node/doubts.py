"""What in a module may be right and often is not: for a person to look at, never a reason to refuse by itself. See `python/doubts`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agent.languages.node.reflection import suspicions
from agent.languages.node.tree import Node, children, dotted, line, literal, walk
from agent.languages.sensitive import asks_for_credentials, classed, credential, password, protected, unguessed, validates

Doubt = tuple[int, str, str]
Found = Iterator[Doubt]
FUNCTIONS = ("FunctionDeclaration", "FunctionExpression", "ArrowFunctionExpression", "MethodDefinition")
LOOPS = ("WhileStatement", "DoWhileStatement", "ForStatement", "ForInStatement", "ForOfStatement")
LEAVING = ("ReturnStatement", "ThrowStatement", "YieldExpression", "AwaitExpression", "BreakStatement")
GUESSED = ("Math.random", "Date.now", "performance.now", "crypto.pseudoRandomBytes", "process.hrtime")
_WEAK = re.compile(r"(?:md[245]|sha-?1|rc[24]|(?:3|tri)?des(?:-.*)?|.*-ecb|bf(?:-.*)?)", re.IGNORECASE)
# A group that is repeated without a bound, in which the whole, or all that must be there, is repeated without a bound: (a+)+, (a|b*)*
_EXPLODING = re.compile(r"\((?:\?[:=!])?(?:[^()\\]|\\.)*[^()\\|][+*]\)(?:[+*]|\{\d+,\})")
_QUERY = re.compile(r"\s*(?:select\s.+\sfrom|insert\s+into|update\s+\S+\s+set|delete\s+from)\s", re.IGNORECASE | re.DOTALL)


def doubts(tree: Node) -> list[Doubt]:
    """Line, rule and message of each, once a line."""
    reading = _Reading(tree)
    return sorted({*suspicions(tree), *(doubt for node in walk(tree) for doubt in reading.judged(node))})


class _Reading:
    def __init__(self, tree: Node) -> None:
        self._parents = {id(child): node for node in walk(tree) for _, child in children(node)}
        self._written: dict[str, int] = {}
        self._compared: set[str] = set()
        for node in walk(tree):
            if node["type"] == "VariableDeclarator" and node["init"] and literal(node["init"]) and (name := dotted(node["id"])):
                self._written[name] = line(node)
            elif node["type"] == "BinaryExpression" and node["operator"] in ("==", "===", "!=", "!=="):
                self._compared |= {_last(node["left"]), _last(node["right"])}

    def judged(self, node: Node) -> Found:
        kind = node["type"]
        if kind in ("CallExpression", "NewExpression"):
            yield from self._called(node)
        elif kind in ("BinaryExpression", "TemplateLiteral"):
            yield from self._expression(node)
        elif kind == "VariableDeclarator":
            name = dotted(node["id"]) or ""
            if name in self._written and name in self._compared and (credential(name) or self._expected(node, name)):
                yield line(node), "credential", f"`{name}` is written in the code, and decides who gets in: it belongs into a secret (CWE-798)"
        elif kind == "SwitchStatement":
            yield from self._choice(node)
        elif kind == "MemberExpression" and node["computed"] and (name := _last(node["property"])) and (protected(name) or classed(name)):
            yield line(node), "protected-characteristic", f"decides by `{name}`, a characteristic that people may not be treated by"
        elif kind in ("WhileStatement", "ForStatement", "DoWhileStatement") and _always(node) and not self._left(node):
            yield line(node), "endless-loop", "a loop without a way out: nothing ends it but the limit of time (CWE-835)"
        elif kind == "CatchClause" and not node["body"]["body"]:
            yield line(node), "swallowed", "whatever goes wrong here, nobody hears of it: name the error, or tell (CWE-390)"
        elif kind == "Literal" and node.get("regex") and _EXPLODING.search(node["regex"]["pattern"]):
            yield line(node), "endless-pattern", "a repetition within a repetition: a short text can keep this pattern busy for ever (CWE-1333)"

    # ---- one kind of node each ---------------------------------------------------------------------------------------------------

    def _called(self, node: Node) -> Found:
        name, given = dotted(node["callee"]) or "", node["arguments"]
        last = name.rpartition(".")[2] or _last(node["callee"].get("property"))
        first = literal(given[0]) if given else None
        if name.startswith(GUESSED) and (purpose := self._purpose(node)):
            yield line(node), "guessable", f"`{purpose}` comes from {name}, which can be guessed: crypto.randomBytes (CWE-338)"
        elif last in ("createHash", "createHmac", "createCipheriv", "createCipher", "createDecipheriv") and first:
            secret = next(filter(password, (*self._around(node), *self._names(self._statement(node)))), "")
            if _WEAK.fullmatch(first):
                yield line(node), "weak-cipher", f"{first} is broken: for anything that somebody would forge, take another (CWE-327)"
            elif secret and last == "createHash":
                yield line(node), "quick-hash", f"`{secret}` goes into {first}, which is quick to try out: crypto.scrypt with a random salt (CWE-916)"
        elif name == "RegExp" and given and first is None and given[0]["type"] != "Literal":
            yield line(node), "computed-pattern", "a pattern that is put together of what comes from outside can be any pattern (CWE-1333)"
        elif name == "RegExp" and first and _EXPLODING.search(first):
            yield line(node), "endless-pattern", "a repetition within a repetition: a short text can keep this pattern busy for ever (CWE-1333)"
        elif last in ("test", "exec") and (of := (node["callee"].get("object") or {}).get("regex")):
            whole = of["pattern"].lstrip("(").startswith("^") and of["pattern"].rstrip(")").endswith("$")
            if not whole and any(map(validates, self._around(node))):
                yield line(node), "loose-pattern", "lets through what stands before or after the pattern: a validation has ^ and $ (CWE-777)"

    def _expression(self, node: Node) -> Found:
        if node["type"] == "TemplateLiteral" or node["operator"] == "+":
            parts = node["quasis"] if node["type"] == "TemplateLiteral" else [node["left"]]
            text = str(parts[0]["value"]["cooked"]) if node["type"] == "TemplateLiteral" else literal(node["left"]) or ""
            if _QUERY.match(text) and (node["type"] == "BinaryExpression" or node["expressions"]):
                yield line(node), "built-query", "a query that is put together of texts: hand the values over as parameters (CWE-89)"
            return
        sides = (node["left"], node["right"])
        if node["operator"] in ("==", "===", "!=", "!==") and not any(_nothing(side) for side in sides):
            names = [_last(side) for side in sides]
            texts = [literal(side) for side in sides]
            if name := next((name for name in names if protected(name) or (classed(name) and any(texts))), ""):
                yield line(node), "protected-characteristic", f"decides by `{name}`, a characteristic that people may not be treated by"
            elif (name := next(filter(credential, names), "")) and any(texts):
                yield line(node), "credential", f"`{name}` is compared with what is written in the code: it belongs into a secret (CWE-798)"
            elif name and all(side["type"] in ("Identifier", "MemberExpression") for side in sides):
                yield line(node), "slow-comparison", f"how long this takes tells how much of `{name}` is right: crypto.timingSafeEqual (CWE-208)"

    def _choice(self, node: Node) -> Found:
        cases = node["cases"]
        if len(cases) >= 2 and all(case["test"] for case in cases) and all(_answers(case) for case in cases if case["consequent"]):
            yield line(node), "no-default", "no case for anything else: then there is no answer, and nobody is told (CWE-478)"

    # ---- what is around --------------------------------------------------------------------------------------------------------------

    def _above(self, node: Node) -> Iterator[Node]:
        while (parent := self._parents.get(id(node))) is not None:
            yield parent
            node = parent

    def _around(self, node: Node) -> Iterator[str]:
        """The names of the variables and functions that an expression is for, from the inside."""
        for above in self._above(node):
            if above["type"] == "VariableDeclarator":
                yield dotted(above["id"]) or ""
            elif above["type"] == "AssignmentExpression":
                yield _last(above["left"])
            elif above["type"] == "Property" and not above["computed"]:
                yield _last(above["key"])
            elif above["type"] in FUNCTIONS:
                yield _last(above.get("id") or above.get("key"))
                yield from (_last(parameter) for parameter in above.get("params") or [])

    def _purpose(self, node: Node) -> str:
        return next(filter(unguessed, self._around(node)), "")

    def _statement(self, node: Node) -> Node:
        return next((above for above in self._above(node) if above["type"].endswith(("Statement", "Declaration"))), node)

    def _names(self, node: Node) -> Iterator[str]:
        return (part["name"] for part in walk(node) if part["type"] == "Identifier")

    def _expected(self, node: Node, name: str) -> bool:
        expected = name.lower().startswith(("correct", "valid", "stored", "expected", "real", "actual"))
        return expected and any(map(asks_for_credentials, self._around(self._parents.get(id(node), node))))

    def _left(self, loop: Node) -> bool:
        """Whether anything in a loop leaves it; a `break` of a loop or a choice inside of it does not."""
        waiting = [(child, True) for _, child in children(loop)]
        while waiting:
            node, own = waiting.pop()
            if node["type"] in FUNCTIONS:
                continue
            if node["type"] in LEAVING and (own or node["type"] != "BreakStatement" or node["label"]):
                return True
            if node["type"] == "CallExpression" and (dotted(node["callee"]) or "") == "process.exit":
                return True
            own = own and node["type"] not in (*LOOPS, "SwitchStatement")
            waiting.extend((child, own) for _, child in children(node))
        return False


def _always(loop: Node) -> bool:
    test = loop["test"]
    return (loop["type"] == "ForStatement" and test is None) or bool(test and test["type"] == "Literal" and test["value"])


def _answers(case: Node) -> bool:
    last = case["consequent"][-1]
    last = last["body"][-1] if last["type"] == "BlockStatement" and last["body"] else last
    return bool(last["type"] == "ReturnStatement" and last["argument"])


def _nothing(node: Node) -> bool:
    """`null`, `undefined`, an empty text, `typeof`: whether something is there makes no difference between people."""
    return (node["type"] == "Literal" and node["value"] in (None, "")) or node["type"] == "UnaryExpression" or dotted(node) == "undefined"


def _last(node: Node | None) -> str:
    if node is not None and node["type"] == "MemberExpression" and node["computed"]:
        return literal(node["property"]) or ""
    return (dotted(node) or "").rpartition(".")[2]
