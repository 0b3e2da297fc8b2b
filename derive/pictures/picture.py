"""A picture: SVG text with a title and a description in words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from derive.errors import DeriveError
from derive.files import write_whole


class PictureError(DeriveError, ValueError):
    """From ``pictures``: another library is missing, or what is asked for cannot be drawn."""


@dataclass(frozen=True)
class Picture:
    """A drawn network.

    Attributes
    ----------
    svg : str
        The picture as one SVG element, which can stand in a file or inside an HTML page.
    title : str
        What it shows, in a few words.
    description : str
        What there is to see, in sentences; the SVG says it to screen readers.
    """

    svg: str
    title: str
    description: str

    def save(self, path: str | Path) -> Path:
        """Write the picture to a file, whole or not at all, and return its path.

        Raises
        ------
        PictureError
            For a name that does not end in ``.svg``.
        OSError
            Where it cannot be written; a file that was there is then as it was.
        """
        path = Path(path)
        if path.suffix.lower() != ".svg":
            raise PictureError(f"picture: {path.name!r} must end in .svg; that is what is written")
        write_whole(path, self.svg)
        return path

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return f"Picture({self.title!r}, {len(self.svg.encode()) / 1024:.0f} KiB)"
