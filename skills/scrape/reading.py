"""What a page holds: fields by CSS selectors, links, tables, text."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

from bs4 import BeautifulSoup, CData, NavigableString, Tag
from soupsieve import SelectorSyntaxError

from faults import BadSelectorError
from fetching import Page

LONGEST = 20_000  # characters of one value
MOST_CELLS = 50_000  # of all tables together
ADDRESSES = ("href", "src", "action", "cite", "poster", "data")
UNSEEN = ("script", "style", "noscript", "template", "head")
BLOCKS = (
    "p",
    "div",
    "section",
    "article",
    "header",
    "footer",
    "main",
    "nav",
    "aside",
    "li",
    "ul",
    "ol",
    "tr",
    "table",
    "pre",
    "br",
    "hr",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "blockquote",
    "figure",
    "figcaption",
    "dt",
    "dd",
    "form",
    "option",
)


class Document:
    """`base`: what relative addresses are relative to."""

    def __init__(self, page: Page) -> None:
        self._tree = BeautifulSoup(
            page.body, "html5lib", from_encoding=page.charset or guessed(page.body)
        )  # which reads as browsers do
        base = self._tree.find("base", href=True)
        self.base = urljoin(page.url, str(base["href"])) if base else page.url

    def about(self) -> dict[str, str]:
        """Title, description, language and canonical address, as far as the page tells."""
        root = self._tree.find("html")
        found = {
            "title": plain(self._tree.title) if self._tree.title else "",
            "description": self._meta("description") or self._meta("og:description"),
            "language": str(root.get("lang") or "") if root else "",
            "canonical": next(
                (str(self.value(link, "href")) for link in self._selected(self._tree, "link[rel~=canonical][href]", 1)),
                "",
            ),
        }
        return {name: value for name, value in found.items() if value}

    def _meta(self, name: str) -> str:
        for attribute in ("name", "property"):
            if tag := self._tree.find("meta", attrs={attribute: name, "content": True}):
                return str(tag["content"]).strip()[:LONGEST]
        return ""

    def fields(self, wanted: dict[str, Any], within: Tag | None = None) -> dict[str, Any]:
        """The values of `wanted`, by name: None, or an empty list where all are wanted, for what is not there."""
        return {
            name: self._field(within or self._tree, ask if isinstance(ask, dict) else {"css": ask})
            for name, ask in wanted.items()
        }

    def _field(self, within: Tag, ask: dict[str, Any]) -> Any:
        every, take = bool(ask.get("all")), str(ask.get("take", "text"))
        css = str(ask.get("css", ""))
        tags = self._selected(within, css, 0 if every else 1) if css or within is self._tree else [within]
        values = [value for tag in tags if (value := self.value(tag, take)) is not None]
        return values if every else next(iter(values), None)

    def records(self, css: str, wanted: dict[str, Any], limit: int) -> list[dict[str, Any]]:
        return [self.fields(wanted, tag) for tag in self._selected(self._tree, css, limit)]

    def value(self, tag: Tag, take: str) -> str | None:
        """The text, the inner HTML (`html`), or an attribute of a tag; addresses as full ones."""
        if take == "text":
            return plain(tag)
        if take == "html":
            return tag.decode_contents().strip()[:LONGEST]
        if (value := tag.get(take)) is None:
            return None
        text = (" ".join(value) if isinstance(value, list) else str(value)).strip()
        return (joined(self.base, text) if take in ADDRESSES else text)[:LONGEST]

    def links(self, limit: int) -> list[dict[str, str]]:
        """Each address once, with the first text that leads there."""
        found: dict[str, str] = {}
        for tag in self._tree.find_all("a", href=True):
            url = joined(self.base, str(tag["href"]).strip()).partition("#")[0]
            if url.lower().startswith(("http://", "https://")) and not found.get(url):
                found[url] = plain(tag)
        return [{"text": text, "url": url} for url, text in list(found.items())[:limit]]

    def tables(self) -> list[dict[str, Any]]:
        """Tables that hold no table themselves; cells that span several are repeated in each."""
        found, left = [], MOST_CELLS
        for table in self._tree.find_all("table"):
            if table.find("table"):
                continue
            grid, header_rows = cells(table, left)
            left -= sum(map(len, grid))
            header = grid[0] if header_rows and grid else []
            caption = table.find("caption")
            found.append(
                {"caption": plain(caption) if caption else "", "header": header, "rows": grid[1:] if header else grid}
            )
        return found

    def text(self, most: int) -> tuple[str, bool]:
        """What a reader sees, a block a line; and whether there is more of it."""
        whole = plain(self._tree.find("body") or self._tree, blocks=True)
        return whole[:most], len(whole) > most

    def _selected(self, within: Tag, css: str, limit: int) -> list[Tag]:
        try:
            return within.select(css, limit=limit)
        except (SelectorSyntaxError, NotImplementedError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise BadSelectorError(f"{css!r} is no CSS selector: {reason}") from None


def guessed(body: bytes) -> str | None:
    """UTF-8 where it is that; what is not says what it is in itself, or is in the charset of the first web pages."""
    try:
        body.decode()
    except UnicodeDecodeError:
        return None
    return "utf-8"


def plain(tag: Tag, *, blocks: bool = False) -> str:
    """The text of a tag, white space made one; with `blocks`, a line for each block."""
    text = "".join(pieces(tag, blocks))
    if not blocks:
        return " ".join(text.split())[:LONGEST]
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


def pieces(tag: Tag, blocks: bool) -> Iterator[str]:
    waiting: list[Any] = [tag]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Tag):
            if node.name in UNSEEN and node is not tag:
                continue
            edge = ["\n" if blocks else " "] if node.name in BLOCKS or node.name in ("td", "th") else []
            waiting += [*edge, *reversed(node.contents), *edge]
        elif type(node) is str:
            yield node
        elif type(node) in (NavigableString, CData):  # and no comment, doctype or the like, which are kinds of these
            yield str(node).replace("\n", " ")


def cells(table: Tag, most: int) -> tuple[list[list[str]], bool]:
    """The cells as a grid, and whether its first row is a header. At most `most` of them."""
    grid: list[list[str]] = []
    below: dict[int, tuple[int, str]] = {}  # a column, the rows that a cell above still covers, and its text
    header = False
    for number, row in enumerate(table.find_all("tr")):
        line: list[str] = []
        found = row.find_all(["td", "th"], recursive=False)
        header = header or (number == 0 and bool(found) and all(cell.name == "th" for cell in found))
        for cell in [*found, None]:
            while len(line) in below and most > 0:
                rows, text = below.pop(len(line))
                if rows > 1:
                    below[len(line)] = (rows - 1, text)
                line.append(text)
                most -= 1
            if cell is None or most <= 0:
                break
            text, rows = plain(cell), span(cell, "rowspan")
            for _ in range(min(span(cell, "colspan"), most)):
                if rows > 1:
                    below[len(line)] = (rows - 1, text)
                line.append(text)
                most -= 1
        if line:
            grid.append(line)
    return grid, header


def span(cell: Tag, name: str) -> int:
    text = str(cell.get(name, "1")).strip()
    return min(max(int(text), 1), 1000) if text.isdecimal() else 1


def joined(base: str, address: str) -> str:
    """A full address; what cannot be joined stays as it is."""
    try:
        return urljoin(base, address)
    except ValueError:
        return address
