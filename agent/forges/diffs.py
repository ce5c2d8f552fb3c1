"""A unified diff of one file, as git writes it. Pure."""

from __future__ import annotations

import difflib

Side = tuple[str, bytes]  # mode and content


def unified(path: str, old: Side | None, new: Side | None) -> str:
    """The change of one path; None stands for a file that is not there. Binary content is only named."""
    head = [f"diff --git a/{path} b/{path}\n"]
    if old is None and new:
        head.append(f"new file mode {new[0]}\n")
    elif new is None and old:
        head.append(f"deleted file mode {old[0]}\n")
    elif old and new and old[0] != new[0]:
        head += [f"old mode {old[0]}\n", f"new mode {new[0]}\n"]
    before, after = (side[1] if side else b"" for side in (old, new))
    names = f"a/{path}" if old else "/dev/null", f"b/{path}" if new else "/dev/null"
    if any(b"\0" in content[:8000] for content in (before, after)):
        return "".join((*head, f"Binary files {names[0]} and {names[1]} differ\n"))
    lines = (content.decode(errors="replace").splitlines(keepends=True) for content in (before, after))
    body = difflib.unified_diff(*lines, *names)
    return "".join((*head, *(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in body)))
