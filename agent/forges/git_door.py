"""The one door to git: GitPython's commands, cut off from whatever configuration, hooks and variables lie around."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from agent.errors import ConfigurationError, CouldNotTell
from agent.forges.git_deflate import Deflate

_Answer = TypeVar("_Answer")
_CONFIG = {
    "core.hooksPath": os.devnull,
    "core.attributesFile": os.devnull,
    "core.fsmonitor": "false",
    "core.warnAmbiguousRefs": "false",  # its warnings would fill the pipe of the lasting cat-file
    "core.filesRefLockTimeout": "5000",  # milliseconds; git's own 100 is short on a busy machine
    "core.packedRefsTimeout": "5000",
    "merge.renames": "false",  # what is merged is path by path what was judged
}
# Of what git reads from its surroundings (man git, ENVIRONMENT VARIABLES), each that could lead it elsewhere.
_ISOLATED = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_PARAMETERS": "",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES": "",
    "GIT_NAMESPACE": "",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_GRAFT_FILE": os.devnull,
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_ALLOW_PROTOCOL": "file",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_DEFAULT_HASH": "sha1",
    "GIT_CONFIG_COUNT": str(len(_CONFIG)),
    **{f"GIT_CONFIG_KEY_{number}": key for number, key in enumerate(_CONFIG)},
    **{f"GIT_CONFIG_VALUE_{number}": value for number, value in enumerate(_CONFIG.values())},
}

# Set for what git starts itself, such as the hook that we may be called from; GitDoor gives each a value of its own.
_PLACES = ("GIT_DIR", "GIT_COMMON_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY")
_LOOSE = ("GIT_CURL_VERBOSE", "GIT_SSL_NO_VERIFY")  # which count whatever they are set to

LARGE, RECENT = 2**16, 4  # bytes of a large object that is remembered; how many are
SMALL, MANY = 2**12, 2**11  # as much of small ones


class GitDoor:
    """git on the repository at `git_dir`, for several threads. Without a `work_tree` it is bare, and no attributes file is ever read from it."""

    def __init__(self, git_dir: Path, work_tree: Path | None = None) -> None:
        self.git_dir = git_dir
        self._git = isolated_git(work_tree or git_dir)
        self._git.update_environment(
            GIT_DIR=str(git_dir),
            GIT_COMMON_DIR=str(common_dir(git_dir)),
            GIT_OBJECT_DIRECTORY=str(common_dir(git_dir) / "objects"),
            GIT_WORK_TREE=str(work_tree or git_dir),  # git 2.43 and later read a bare repository's attributes from its HEAD
            GIT_INDEX_FILE=str(git_dir / "index"),
        )
        self._refs, self._reading = common_dir(git_dir), threading.Lock()
        self._recent, self._small = dict[str, bytes](), dict[str, bytes]()
        self._deflate = Deflate()

    def run(self, *arguments: str, stdin: bytes = b"") -> tuple[int, bytes, str]:
        """Exit status, output and complaint of one command; `stdin` of at most 4 KiB. A full disk is CouldNotTell."""
        return run_git(self._git, *arguments, stdin=stdin)

    def output(self, *arguments: str) -> bytes:
        """The output of a command that is not expected to fail; CouldNotTell where it does."""
        status, output, complaint = self.run(*arguments)
        if status:
            raise could_not(arguments[0], complaint, self.git_dir)
        return output

    def beginning(self, most: int, *arguments: str) -> tuple[bytes, bool]:
        """As `output`, of which at most `most` bytes are read, and whether there was more; the command is ended there."""
        process = self._git.execute(_command(self._git, arguments), as_process=True)
        with process.proc.stdout, process.proc.stderr:
            found = process.proc.stdout.read(most + 1)
            if len(found) > most:
                process.proc.kill()
                process.proc.wait()
                return found[:most], True
            complaint = process.proc.stderr.read().decode(errors="replace")
            if process.proc.wait():
                raise could_not(arguments[0], complaint, self.git_dir)
        return found, False

    def header(self, name: str) -> tuple[str, str, int] | None:
        """Id, type and size in bytes of the object that `name` (one line) resolves to, or None."""
        found = self._ask(lambda: self._git.get_object_header(name), name)
        return (found[0].decode(), found[1].decode(), found[2]) if found else None

    def loose(self, ref: str) -> str:
        """Where a branch points to, read from its own file; empty where it has none, and git is to be asked."""
        try:
            return (self._refs / ref).read_text().strip()
        except (OSError, UnicodeDecodeError):
            return ""

    def data(self, object_id: str) -> bytes:
        """The content of an object that something refers to; CouldNotTell where it is lost."""
        data = self._recent.get(object_id) or self._small.get(object_id)
        return data if data is not None else self._remembered(object_id, self.there(self._ask(lambda: self._whole(object_id), object_id), object_id))

    def start_of(self, object_id: str, size: int) -> bytes:
        """As `data`, the first `size` bytes alone, however large it is."""
        return self.there(self._ask(lambda: bytes(self._git.stream_object_data(object_id)[3].read(size)), object_id), object_id)

    def size(self, object_id: str) -> int:
        """The size in bytes of an object that something refers to; CouldNotTell where it is lost."""
        return self.there(self.header(object_id), object_id)[2]

    def there(self, answer: _Answer | None, name: str) -> _Answer:
        """The answer, where there must be one; else CouldNotTell."""
        if answer is None:
            raise could_not(f"read {name!r}", "The object is missing or broken", self.git_dir)
        return answer

    def store(self, kind: str, data: bytes) -> str:
        """Writes a loose object without a process, and returns its id."""
        from io import BytesIO

        import gitdb

        stream = gitdb.IStream(kind.encode(), len(data), BytesIO(data))
        if kind == "blob" and len(data) >= LARGE:
            header = f"{kind} {len(data)}\0".encode()
            hashed = hashlib.sha1(header, usedforsecurity=False)
            hashed.update(data)
            stream = gitdb.IStream(kind.encode(), len(data), BytesIO(self._deflate(header, data)), hashed.digest())
        try:
            stored = gitdb.LooseObjectDB(str(common_dir(self.git_dir) / "objects")).store(stream)
        except OSError as error:
            raise could_not(f"store a {kind}", str(error), self.git_dir) from error
        object_id = str(stored.hexsha.decode())
        self._remembered(object_id, data)
        return object_id

    def _remembered(self, object_id: str, data: bytes) -> bytes:
        """The last few large objects are kept: registry.yaml and the folder `skills` are read again and again as they grow; and many small ones:
        the policy, and the manifest of each proposal that is open."""
        if len(data) >= LARGE:
            with self._reading:
                self._recent = dict([*self._recent.items(), (object_id, data)][-RECENT:])
        elif len(data) <= SMALL:
            with self._reading:
                self._small[object_id] = data
                while len(self._small) > MANY:
                    del self._small[next(iter(self._small))]
        return data

    def _whole(self, object_id: str) -> bytes:
        _, _, size, data = self._git.get_object_data(object_id)
        if len(data) != size:
            raise BrokenPipeError("git cat-file ended early")
        return bytes(data)

    def _ask(self, question: Callable[[], _Answer], name: str) -> _Answer | None:
        """Puts a question to the lasting `git cat-file`, and once more to a new one where the old one died."""
        from git.exc import GitCommandNotFound

        with self._reading:
            for last in (False, True):
                answered = False
                try:
                    answer = question()
                    answered = True
                    return answer
                except GitCommandNotFound as error:
                    raise _no_git() from error
                except ValueError as error:
                    if "could not be resolved" in str(error):
                        answered = True
                        return None
                    if last:
                        raise could_not(f"read {name!r}", str(error), self.git_dir) from error
                except OSError as error:
                    if last:
                        raise could_not(f"read {name!r}", str(error), self.git_dir) from error
                finally:
                    if not answered:  # half an answer may lie in the pipe
                        self._git.clear_cache()
        raise AssertionError("unreachable")


def isolated_git(folder: Path) -> Any:
    """GitPython's `Git` that works in `folder`, with our configuration alone."""
    try:
        import git
    except ImportError as error:  # GitPython looks for git when it is imported
        raise _no_git() from error
    made = git.Git(str(folder))
    made.update_environment(**_ISOLATED)
    return made


def run_git(git: Any, *arguments: str, stdin: bytes = b"", seconds: int = 0) -> tuple[int, bytes, str]:
    """As `GitDoor.run`, also where there is no repository yet. After `seconds` it is ended with all that it started, and the status is 124."""
    from git.exc import GitCommandNotFound

    command = _command(git, arguments, seconds)
    read, write = os.pipe()
    try:
        os.write(write, stdin)
        os.close(write)
        status, output, complaint = git.execute(
            command, istream=read, with_extended_output=True, with_exceptions=False, stdout_as_string=False, strip_newline_in_stdout=False
        )
    except GitCommandNotFound as error:
        raise _no_git() from error
    finally:
        os.close(read)
    if status and "No space left" in complaint:
        raise could_not(arguments[0], complaint, Path(git.working_dir))
    return status, output, complaint


def _command(git: Any, arguments: Sequence[str], seconds: int = 0) -> list[str]:
    own = git.environment()
    unset = [option for name in (*_PLACES, *_LOOSE) if name in os.environ and name not in own for option in ("-u", name)]
    limit = ("timeout", "--kill-after=5", str(seconds)) if seconds else ()
    return [*(("env", *unset) if unset else ()), *limit, git.GIT_PYTHON_GIT_EXECUTABLE, *arguments]


def common_dir(git_dir: Path) -> Path:
    """Where objects and branches lie: elsewhere than `git_dir` for a linked work tree (man gitrepository-layout, commondir)."""
    link = git_dir / "commondir"
    return (git_dir / link.read_text().strip()).resolve() if link.is_file() else git_dir


def is_bare(path: Path) -> bool:
    """Whether `path` looks like a bare repository: git's own test, for a folder that is no clone's `.git`."""
    return path.name != ".git" and (path / "HEAD").is_file() and (path / "objects").is_dir() and (path / "refs").is_dir()


def could_not(what: str, complaint: str, where: Path) -> CouldNotTell:
    """What git could not do there, with the next step that its complaint suggests."""
    if "No space left" in complaint:
        next_step = f"Free some space on the disk of {where}, then try again: nothing was half-written."
    elif ".lock" in complaint:
        next_step = "Try again; where no git process is running any more, remove the lock file that git names."
    else:
        next_step = f"`git -C {where} fsck` says what is broken there."
    return CouldNotTell(f"git could not {what}.", why=complaint.strip().rstrip(".") + "." if complaint.strip() else "", next_step=next_step)


def _no_git() -> ConfigurationError:
    return ConfigurationError("git was not found.", next_step="Install git 2.38 or newer (apt-get install git), then try again.")
