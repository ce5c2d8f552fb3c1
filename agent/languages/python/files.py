"""What a module does with files: each call that takes a path, and whether that path leads out of what the skill has.

A path is followed through the names that it goes by in the module: assignments, loops, parameters and the calls that fill them. That is
no proof, and none is needed: in the sandbox nothing else is there. It tells a reader what the code reaches for.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from agent.languages.places import FILES, KEEPS, outside, standard, temporary


def _paths(names: str, count: int) -> dict[str, int]:
    return dict.fromkeys(names.split(), count)


# Calls and how many of their first arguments are paths.
READERS = {
    **_paths("os.listdir os.scandir os.walk os.stat os.lstat os.readlink os.statvfs os.access os.chdir os.fwalk os.getxattr", 1),
    **_paths("glob.glob glob.iglob linecache.getline linecache.getlines fileinput.input runpy.run_path mimetypes.read_mime_types", 1),
    **_paths("shutil.disk_usage pathlib.Path pathlib.PosixPath os.path.getsize os.path.exists os.path.isfile os.path.isdir", 1),
}
WRITERS = {
    **_paths("os.remove os.unlink os.rmdir os.removedirs os.mkdir os.makedirs os.chmod os.lchmod os.chown os.lchown os.truncate", 1),
    **_paths("os.utime os.mkfifo os.mknod os.chroot os.setxattr os.removexattr os.open shutil.rmtree shutil.chown dbm.open", 1),
    **_paths("os.rename os.renames os.replace os.link os.symlink shutil.move shutil.copy shutil.copy2 shutil.copyfile", 2),
    **_paths("shutil.copytree shutil.copymode shutil.copystat shutil.make_archive shutil.unpack_archive", 2),
    **_paths("logging.FileHandler logging.handlers.RotatingFileHandler logging.handlers.TimedRotatingFileHandler", 1),
    "sqlite3.connect": 1,
}
# Calls that open a file, and the position of the mode among their arguments.
OPENERS = {
    **_paths("open io.open codecs.open gzip.open bz2.open lzma.open tarfile.open zipfile.ZipFile gzip.GzipFile wave.open", 1),
    **_paths("io.FileIO os.fdopen bz2.BZ2File lzma.LZMAFile builtins.open", 1),
}
METHODS = frozenset(
    ("write_text", "write_bytes", "unlink", "rmdir", "touch", "symlink_to", "hardlink_to", "extractall", "lchmod")
)  # of a path, and of nothing else
HOMES = ("os.path.expanduser", "pathlib.Path.home", "os.getlogin", "os.path.expandvars")
TEMPORARY = ("tempfile.", "io.BytesIO", "io.StringIO")
_PATHS = ("os.path.", "pathlib.", "os.fspath", "posixpath.", "glob.")

Found = Iterator[tuple[int, str, str]]


@dataclass
class _Origins:
    """What may flow into a path: texts that it begins with, and where else it comes from."""

    texts: set[str] = field(default_factory=set)
    own: bool = False  # below the module's folder
    temporary: bool = False
    given: bool = False  # by $SKILL_STORAGE or $SKILL_SECRETS
    unknown: bool = False
    home: bool = False


def reached(tree: ast.Module, qualified: Callable[[ast.AST], str | None], *, storage: bool) -> Found:
    """The rules that a module breaks by its files: line, rule, message. `qualified`: the full name of what an expression names."""
    return _Files(tree, qualified, storage).found()


class _Files:
    def __init__(self, tree: ast.Module, qualified: Callable[[ast.AST], str | None], storage: bool) -> None:
        self._tree, self._qualified, self._storage = tree, qualified, storage
        self._values: dict[str, list[ast.expr]] = {}
        self._functions: dict[str, list[ast.FunctionDef | ast.AsyncFunctionDef]] = {}
        self._collect()
        self._scratch = any(name.startswith(TEMPORARY[0]) for node in ast.walk(tree) if (name := qualified(node)))

    # ---- what goes by which name ------------------------------------------------------------------------------------------

    def _collect(self) -> None:
        for node in ast.walk(self._tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                self._functions.setdefault(node.name, []).append(node)
                arguments = [*node.args.posonlyargs, *node.args.args]
                for argument, default in zip(reversed(arguments), reversed(node.args.defaults), strict=False):
                    self._note(ast.Name(argument.arg), default)
            elif isinstance(node, ast.Assign):
                for target in node.targets:
                    self._note(target, node.value)
            elif isinstance(node, ast.AnnAssign | ast.AugAssign | ast.NamedExpr) and node.value is not None:
                self._note(node.target, node.value)
            elif isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
                self._note(node.target, node.iter)
            elif isinstance(node, ast.withitem) and node.optional_vars is not None:
                self._note(node.optional_vars, node.context_expr)
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Call):
                self._fill(node)

    def _note(self, target: ast.expr, value: ast.expr) -> None:
        for part in ast.walk(target):
            if isinstance(part, ast.Name):
                self._values.setdefault(part.id, []).append(value)
            elif isinstance(part, ast.Attribute):
                self._values.setdefault(f".{part.attr}", []).append(value)

    def _fill(self, call: ast.Call) -> None:
        """The parameters of the module's own functions, from a call of one."""
        name = call.func.id if isinstance(call.func, ast.Name) else call.func.attr if isinstance(call.func, ast.Attribute) else ""
        for function in self._functions.get("__init__" if name[:1].isupper() else name, ()):
            names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
            names = names[1:] if names[:1] == ["self"] else names
            for parameter, value in zip(names, call.args, strict=False):
                self._note(ast.Name(parameter), value)
        for keyword in call.keywords:
            if keyword.arg and name in self._functions:
                self._note(ast.Name(keyword.arg), keyword.value)

    # ---- the calls ----------------------------------------------------------------------------------------------------------

    def found(self) -> Found:
        vague = False
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Call) and (told := self._operation(node)):
                name, paths, writes = told
                origins = _Origins()
                for path in paths:
                    self._follow(path, origins, True, set())
                vague |= origins.unknown
                yield from self._judged(node.lineno, name, origins, writes)
            elif (name := self._qualified(node)) in HOMES and isinstance(node, ast.Attribute):
                yield node.lineno, FILES[0], f"{name} {FILES[1]}"
        if vague:  # what cannot be followed may be any of the paths that are written out
            for node in ast.walk(self._tree):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and standard(node.value):
                    yield node.lineno, FILES[0], f"{node.value[:60]!r} {FILES[1]}"

    def _operation(self, node: ast.Call) -> tuple[str, list[ast.expr], bool] | None:
        """The name of a call that takes paths, the paths, and whether it writes."""
        name = self._called(node.func)
        if name in OPENERS:
            return name, node.args[:1] or [item.value for item in node.keywords[:1]], self._writes(node, OPENERS[name])
        if name in READERS:
            return name, [*node.args] if name.startswith("pathlib.") else node.args[: READERS[name]], False
        if name in WRITERS:
            memory = name == "sqlite3.connect" and isinstance(node.args[0] if node.args else None, ast.Constant) and node.args[0].value == ":memory:"  # type: ignore[attr-defined]
            return None if memory else (name, node.args[: WRITERS[name]], True)
        if isinstance(node.func, ast.Attribute) and node.func.attr in METHODS and node.func.attr not in self._functions:
            return f".{node.func.attr}", [node.func.value], True
        if isinstance(node.func, ast.Attribute) and node.func.attr == "open" and name is None:
            return ".open", [node.func.value], self._writes(node, 0)
        return None

    def _called(self, function: ast.expr) -> str | None:
        if isinstance(function, ast.Name):
            if name := self._qualified(function):
                return name
            same = self._values.get(function.id, ())
            if function.id == "open" and not same and "open" not in self._functions:
                return "open"
            return next((name for value in same if not isinstance(value, ast.Call) and (name := self._plain(value))), None)
        return self._qualified(function)

    def _plain(self, value: ast.expr) -> str | None:
        return "open" if isinstance(value, ast.Name) and value.id == "open" else self._qualified(value)

    def _writes(self, node: ast.Call, position: int) -> bool:
        modes = [*node.args[position : position + 1], *(item.value for item in node.keywords if item.arg == "mode")]
        return any(isinstance(mode, ast.Constant) and isinstance(mode.value, str) and not set("wax+").isdisjoint(mode.value) for mode in modes)

    def _judged(self, line: int, name: str, origins: _Origins, writes: bool) -> Found:
        if strange := sorted(text for text in origins.texts if outside(text)):
            yield line, FILES[0], f"{name} of {strange[0][:60]!r} {FILES[1]}"
        elif origins.home:
            yield line, FILES[0], f"{name} of a path in a home folder {FILES[1]}"
        elif writes and not self._kept(origins):
            yield line, KEEPS[0], f"{name} {KEEPS[1]}"

    def _kept(self, origins: _Origins) -> bool:
        """Whether there is a place for what is written: one that is given, or where it is computed, one that the module has somewhere."""
        known = origins.temporary or origins.given or any(map(temporary, origins.texts))
        return known or (origins.unknown and (self._storage or self._scratch))

    # ---- where a path comes from ----------------------------------------------------------------------------------------------

    def _follow(self, node: ast.AST, origins: _Origins, leading: bool, seen: set[tuple[str, bool]]) -> None:
        """`leading`: whether the text stands at the beginning of the path, so that a slash there means the root."""
        if isinstance(node, ast.Constant):
            self._text(node.value, origins, leading)
        elif isinstance(node, ast.JoinedStr):
            for number, part in enumerate(node.values):
                self._follow(part, origins, leading and number == 0, seen)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
            self._follow(node.left, origins, leading, seen)
            self._follow(node.right, origins, False, seen)
        elif isinstance(node, ast.Call):
            self._follow_call(node, origins, leading, seen)
        elif isinstance(node, ast.Name | ast.Attribute):
            self._follow_name(node, origins, leading, seen)
        else:
            for child in ast.iter_child_nodes(node):
                self._follow(child, origins, leading, seen)

    def _text(self, value: object, origins: _Origins, leading: bool) -> None:
        text = value.decode("latin-1") if isinstance(value, bytes) else value
        if isinstance(text, str) and text.startswith("SKILL_"):
            origins.given = True
        elif (isinstance(text, str) and (leading or ".." in text.split("/")) and text.strip("/")) or (isinstance(text, str) and leading and text):
            origins.texts.add(text)

    def _follow_call(self, node: ast.Call, origins: _Origins, leading: bool, seen: set[tuple[str, bool]]) -> None:
        name = self._qualified(node.func)
        values = [*node.args, *(keyword.value for keyword in node.keywords)]
        if name in HOMES:
            origins.home = True
        elif name and name.startswith(TEMPORARY):
            origins.temporary = True
        elif name and (name.startswith(_PATHS) or name in READERS or name in OPENERS or name.startswith("os.")):
            for value in values:
                self._follow(value, origins, leading, seen)
        elif isinstance(node.func, ast.Attribute) and name is None:
            joins = node.func.attr in ("joinpath", "append", "format")
            self._follow(node.func.value, origins, leading, seen)
            for value in values if joins else ():
                self._follow(value, origins, node.func.attr != "format", seen)
            self._returned(node.func.attr, origins, leading, seen)
        elif isinstance(node.func, ast.Name):
            known = self._returned(node.func.id, origins, leading, seen)
            origins.unknown |= not values and not known
            for value in values if not known or node.func.id in ("str", "Path") else ():
                self._follow(value, origins, leading, seen)
        else:
            origins.unknown = True

    def _returned(self, name: str, origins: _Origins, leading: bool, seen: set[tuple[str, bool]]) -> bool:
        """What a function of the module gives back."""
        functions = self._functions.get(name, [])
        if functions and (f"{name}()", leading) not in seen:
            seen.add((f"{name}()", leading))
            for function in functions:
                for part in ast.walk(function):
                    if isinstance(part, ast.Return | ast.Yield) and part.value is not None:
                        self._follow(part.value, origins, leading, seen)
        return bool(functions)

    def _follow_name(self, node: ast.Name | ast.Attribute, origins: _Origins, leading: bool, seen: set[tuple[str, bool]]) -> None:
        key = node.id if isinstance(node, ast.Name) else f".{node.attr}"
        if key == "__file__":
            origins.own = True
        elif (name := self._qualified(node)) and name.startswith(TEMPORARY):
            origins.temporary = True
        elif key in self._values:
            values = [] if (key, leading) in seen else self._values[key]
            seen.add((key, leading))
            for value in values:
                self._follow(value, origins, leading, seen)
        elif isinstance(node, ast.Attribute):
            self._follow(node.value, origins, leading, seen)
        else:
            origins.unknown = True
