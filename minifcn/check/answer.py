"""What the checker says: not attempted, wrong and why, or right and how fast."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """`state` is "not attempted", "wrong" or "right"; printed, it is the text."""

    state: str
    text: str

    @property
    def right(self) -> bool:
        return self.state == "right"

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Note:
    """A text that a notebook shows as it is: a hint, or a piece of source as Markdown."""

    text: str
    markdown: str = ""

    def __repr__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return self.markdown or self.text
