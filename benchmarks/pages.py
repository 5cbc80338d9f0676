"""Tables in Markdown, and the places in the documents where the commands put them."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path


def table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """The rows as a table in Markdown.

    >>> print(table(["", "mean IU"], [["FCN-8s", 94.3]]))
    |  | mean IU |
    |---|---|
    | FCN-8s | 94.3 |
    """
    lines = [f"| {' | '.join(map(str, cells))} |" for cells in (titles, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(titles), *lines[1:]])


def put(page: Path, command: str, text: str) -> None:
    """Put the text between the marks of this command, `<!-- table: COMMAND -->` and `<!-- end -->`.

    ValueError, and nothing written, unless the page has them once.
    """
    marked = rf"(<!-- table: {re.escape(command)} -->\n).*?(<!-- end -->)"
    before = page.read_text(encoding="utf-8")
    after, found = re.subn(marked, lambda m: m[1] + text + "\n" + m[2], before, flags=re.DOTALL)
    if found != 1:
        raise ValueError(f"{page} has {found} places for {command}; expected 1")
    page.write_text(after, encoding="utf-8")
