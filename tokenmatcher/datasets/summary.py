"""What a data set's folder holds, beside what the real one would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Count:
    """One line of the table: what was found, and what the real data set has (None: not published)."""

    name: str
    found: int
    real: int | None = None

    @property
    def differs(self) -> bool:
        return self.real is not None and self.found != self.real


@dataclass(frozen=True)
class Summary:
    """What a data set's folder holds, beside what the real one would."""

    dataset: str
    data_dir: Path
    counts: tuple[Count, ...]
    hint: str = ""
    absent: tuple[int, ...] = ()  # ids that are listed and have no image
    notes: tuple[str, ...] = ()  # what looks wrong, though it can be worked with
    rules: str = ""  # by what it is tested, see `Dataset.test_rules`

    @property
    def warning(self) -> str:
        """One line where the tree differs from the real data set, else empty."""
        odd = [f"{count.name.strip()} {count.found:,} (real: {count.real:,})" for count in self.counts if count.differs]
        if not odd:
            return ""
        shown = ", ".join(odd[:4]) + (f" and {len(odd) - 4} more" if len(odd) > 4 else "")
        return f"warning: not the full {self.dataset}: {shown}{self.hint}"

    def table(self) -> str:
        """Found counts, beside real ones where there are any, a line each, and the warning if there is one."""
        width = max(len(count.name) for count in self.counts)
        beside = "" if all(count.real is None for count in self.counts) else f"  {'real set':>8}"
        lines = [f"{self.dataset} in {self.data_dir}", f"{'':{width}}  {'found':>8}{beside}"]
        for count in self.counts:
            real = "" if count.real is None else f"{count.real:,}"
            lines.append(f"{count.name:{width}}  {count.found:>8,}  {real:>8}".rstrip())
        if self.absent:
            lines.append(f"warning: listed, but without any image: {few(self.absent)}")
        lines += [self.rules] if self.rules else []
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join([*lines, self.warning] if self.warning else lines)

    def __getitem__(self, name: str) -> int:
        """The number found under a line's name, without its indentation."""
        return next(count.found for count in self.counts if count.name.strip() == name)


def few(values: Sequence[object]) -> str:
    """The first ten, and how many more."""
    more = f" and {len(values) - 10} more" if len(values) > 10 else ""
    return ", ".join(map(str, values[:10])) + more
