"""Ways by which JavaScript uses what it does not seem to name: a member whose name is put together of constants, an object that stands for
another, text that two readers end in different places.

`rules.py` reads what is named. What is here has no use but to keep a name from being read, so it is refused whatever it leads to. What could be
honest (a name that comes with a call's inputs, reflection) goes to a person: see `reflection.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from agent.languages.literals import opaque
from agent.languages.node.banned import DYNAMIC, ENCODED, ENVIRONMENT, MACHINE, OUT, PROCESS_MEMBERS, READ_MEMBERS, REQUIRED_MEMBERS
from agent.languages.node.folding import Folding
from agent.languages.node.tree import Node, children, dotted, is_parameter, line, literal, walk
from agent.languages.places import FILES, standard

Found = Iterator[tuple[int, str, str]]
Parents = Mapping[int, tuple[Node, str]]

# Names that an expression of constants may be made of, and still be one.
_PURE = frozenset(
    (
        "String",
        "Buffer",
        "Number",
        "Array",
        "JSON",
        "Math",
        "parseInt",
        "parseFloat",
        "BigInt",
        "atob",
        "decodeURIComponent",
        "unescape",
        "undefined",
        "NaN",
        "Infinity",
    )
)
_LISTS = {"process": PROCESS_MEMBERS, "require": REQUIRED_MEMBERS, "module": READ_MEMBERS}
_CHANGING = ("Object.assign", "Object.defineProperty", "Object.defineProperties", "Object.setPrototypeOf")
_FUNCTIONS = ("FunctionDeclaration", "FunctionExpression")
_COMPOSED = ("BinaryExpression", "TemplateLiteral", "CallExpression", "TaggedTemplateExpression")


def evasions(tree: Node, parents: Parents, folding: Folding, *, machine: bool) -> Found:
    """Line, rule and message of each. `machine`: the module loads `os`."""
    seen = _Seen(parents, folding, _declared(tree), machine)
    for node in walk(tree):
        kind = node["type"]
        if kind == "WithStatement":
            yield line(node), DYNAMIC[0], f"`with` {DYNAMIC[1]}: names in it are members of an object"
        elif kind == "Identifier":
            yield from seen.name(node)
        elif kind == "MemberExpression":
            yield from seen.member(node)
        elif kind == "Property":
            yield from seen.key(node)
        elif kind == "AssignmentExpression":
            yield from seen.changed(node, node["left"].get("object"))
        if kind == "CallExpression" and dotted(node["callee"]) in _CHANGING:
            yield from seen.changed(node, (node["arguments"] or [None])[0])
        if kind in _COMPOSED:
            yield from seen.composed(node)


def _declared(tree: Node) -> set[str]:
    """Names of the functions and classes of a module."""
    found = {node["id"]["name"] for node in walk(tree) if node["type"] in ("FunctionDeclaration", "ClassDeclaration") and node["id"]}
    return found | {
        node["id"]["name"]
        for node in walk(tree)
        if node["type"] == "VariableDeclarator"
        and node["id"]["type"] == "Identifier"
        and (node["init"] or {}).get("type") in ("FunctionExpression", "ClassExpression")
    }


class _Seen:
    def __init__(self, parents: Parents, folding: Folding, declared: set[str], machine: bool) -> None:
        self._parents, self._folding, self._declared, self._machine = parents, folding, declared, machine

    def name(self, node: Node) -> Found:
        if node["name"] == "await":
            yield line(node), DYNAMIC[0], "a name `await` has a script read in two ways"
        elif node["name"] == "arguments" and self._parents.get(id(node), ({}, ""))[1] not in ("property", "key") and not self._in_function(node):
            yield line(node), DYNAMIC[0], f"the arguments of a module {DYNAMIC[1]}: they are `require`, `module` and the like"

    def _in_function(self, node: Node) -> bool:
        inside: Node | None = node
        while inside:
            inside, _ = self._parents.get(id(inside), (None, ""))
            if inside and inside["type"] in _FUNCTIONS:
                return True
        return False

    def member(self, node: Node) -> Found:
        owner = dotted(node["object"]) or ""
        name = self._folding.known(node["property"]) if node["computed"] else node["property"].get("name")
        if node["computed"]:
            yield from self._computed(node, node["property"])
        elif name in OUT and name not in ("constructor", "__proto__"):
            yield line(node), DYNAMIC[0], f"`.{name}` {DYNAMIC[1]}"
        if name in MACHINE and self._machine:
            yield line(node), ENVIRONMENT[0], f"os.{name} {ENVIRONMENT[1]}"
        allowed = _LISTS.get(owner)
        if allowed is not None and name is not None and name not in allowed and not is_parameter(node["object"], self._parents):
            yield line(node), DYNAMIC[0], f"{owner}.{name} {DYNAMIC[1]}: of {owner}, a skill has {', '.join(sorted(allowed)[:6])} and the like"
        if name in ("caller", "arguments") and (owner in self._declared or owner.endswith((".caller", ".callee"))):
            yield line(node), DYNAMIC[0], f"`{owner}.{name}` {DYNAMIC[1]}"
        elif name == "callee" and owner == "arguments":
            yield line(node), DYNAMIC[0], f"`arguments.callee` {DYNAMIC[1]}"

    def key(self, node: Node) -> Found:
        """A name in a pattern is a member, too."""
        parent, _ = self._parents.get(id(node), ({}, ""))
        if parent.get("type") != "ObjectPattern":
            return
        name = self._folding.known(node["key"]) if node["computed"] else node["key"].get("name") or node["key"].get("value")
        if node["computed"]:
            yield from self._computed(node, node["key"])
        elif name in OUT:
            yield line(node), DYNAMIC[0], f"`{name}` of a pattern {DYNAMIC[1]}"
        if name in MACHINE and self._machine:
            yield line(node), ENVIRONMENT[0], f"os.{name} {ENVIRONMENT[1]}"

    def _computed(self, node: Node, key: Node) -> Found:
        name = self._folding.known(key)
        if name in OUT and (literal(key) is None or name not in ("constructor", "__proto__")):
            yield line(node), DYNAMIC[0], f"a member {name!r} that is not named {DYNAMIC[1]}"
        elif name is None and _made_up(key):
            yield line(node), DYNAMIC[0], f"a member whose name is made up of constants {DYNAMIC[1]}: write the name"

    def changed(self, node: Node, target: Node | None) -> Found:
        """What others' objects do is no skill's to change, and whoever does sees what passes through them."""
        if not target or target["type"] != "MemberExpression" or target["computed"] or target["property"].get("name") != "prototype":
            return
        root = target["object"]
        if not (root["type"] == "Identifier" and root["name"] in self._declared):
            yield line(node), DYNAMIC[0], f"{dotted(target) or 'a prototype'} is not the skill's: a change of it {DYNAMIC[1]}"

    def composed(self, node: Node) -> Found:
        parent, _ = self._parents.get(id(node), ({}, ""))
        if parent.get("type") in _COMPOSED and self._folding.value(parent) is not None:
            return  # the whole is looked at
        text = self._folding.known(node)
        if text is None or literal(node) is not None:
            return
        if text in OUT:
            yield line(node), DYNAMIC[0], f"{text!r} in pieces {DYNAMIC[1]}"
        elif text.startswith(("/proc/", "/sys/")):
            yield line(node), ENVIRONMENT[0], f"{text[:40]} {ENVIRONMENT[1]}"
        elif standard(text):
            yield line(node), FILES[0], f"{text[:60]!r} in pieces {FILES[1]}"
        elif opaque(text):
            yield line(node), ENCODED[0], f"a text of {len(text)} characters that nobody can read: write its content in plain"


def _made_up(key: Node) -> bool:
    """Whether an expression has constants alone in it, and is no number."""
    bound = {part["name"] for node in walk(key) for field, part in children(node) if field == "params" and part["type"] == "Identifier"}
    plain = True
    for node in walk(key):
        for field, part in (*children(node), *([("", key)] if node is key else ())):
            named = part["type"] == "Identifier" and not (field in ("property", "key") and not node.get("computed"))
            if (named and part["name"] not in bound | _PURE) or part["type"] in ("ThisExpression", "MetaProperty", "Super"):
                return False
            if part["type"] in ("CallExpression", "ArrayExpression", "ObjectExpression", "NewExpression", "TemplateLiteral"):
                plain = False
    return not plain
