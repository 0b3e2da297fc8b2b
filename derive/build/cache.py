"""Finished builds on disk, found again by the digest of everything that shaped them.

    <root>/v1/<digest>/   key.json (the fields), meta.json, the module, its source, its log, and
                          manifest.json: size and SHA-256 of each, written last
    <root>/failed/        what the last few failing builds left, to be looked at
    <root>/making-*/      builds under way; renamed whole to their place when done

A binary from here is run, so the root must be the user's own and closed to others. What is found
is believed only as far as its manifest holds: an entry that a crash truncated, or that was
changed, is no entry and is built anew. That is also why nothing is forced to the disk (fsync).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from derive.errors import BuildError, CacheError

VARIABLE = "DERIVE_CACHE_DIR"
FORMAT = "v1"
KEPT_FAILURES = 5
ABSENT = "(absent)"

# Windows has no mode bits worth checking; there a user's local application data is closed to
# other users by default.
_CHECKS = hasattr(os, "getuid")


@dataclass(frozen=True)
class Entry:
    """One finished build.

    Attributes
    ----------
    digest : str
        Of ``fields``; its name.
    path : pathlib.Path
        Its folder.
    fields : dict
        Everything that shaped it.
    files : dict of str to int
        Bytes of each file in the folder.
    created : float
        Seconds since 1970.
    meta : dict
        What its maker wanted remembered.
    """

    digest: str
    path: Path
    fields: dict[str, Any]
    files: dict[str, int]
    created: float
    meta: dict[str, Any]

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(self.files.values())


def root(create: bool = False) -> Path:
    """The cache directory: ``$DERIVE_CACHE_DIR``, or the platform's place for users' caches.

    Raises
    ------
    CacheError
        If it belongs to someone else, or others may write to it, or (with ``create``) it cannot
        be made or written to.
    """
    named = os.environ.get(VARIABLE, "")
    if named:
        place = Path(named).expanduser().absolute()
    else:
        import platformdirs

        place = Path(platformdirs.user_cache_dir("derive"))
    try:
        if create:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
        # What is inside a closed folder is closed too; the check of v1 is for one that was open
        # when v1 was made.
        for folder in (place, place / FORMAT):
            if create:
                folder.mkdir(mode=0o700, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                _check_trust(folder, folder.stat())
    except OSError as error:
        raise _unusable(place, error) from error
    return place


def _unusable(place: Path, error: OSError) -> CacheError:
    return CacheError(
        f"cache directory {place} cannot be used: {error.strerror or error}; "
        f"set {VARIABLE} to a directory that you can write to"
    )


def _check_trust(folder: Path, status: os.stat_result) -> None:
    if not stat.S_ISDIR(status.st_mode):
        raise CacheError(f"cache directory {folder} is not a directory; set {VARIABLE} to one")
    if not _CHECKS:
        return
    if status.st_uid != os.geteuid():
        raise CacheError(
            f"cache directory {folder} belongs to user {status.st_uid}, not to you "
            f"({os.geteuid()}), and compiled code in it would be run as you; "
            f"set {VARIABLE} to a directory of your own"
        )
    if status.st_mode & 0o022:
        raise CacheError(
            f"cache directory {folder} can be written to by others (mode "
            f"{stat.S_IMODE(status.st_mode):04o}), and compiled code in it would be run as you; "
            f"run `chmod go-w {folder}`, or set {VARIABLE} to a directory of your own"
        )


def digest(fields: Mapping[str, Any]) -> str:
    """SHA-256 of plain nested data, in hexadecimal.

    Raises
    ------
    TypeError
        If something in it is not a mapping with string keys, a sequence, a string, a number, a
        truth value or None: it would not have the same digest everywhere.
    """
    return hashlib.sha256(_canonical(fields)).hexdigest()


def _canonical(fields: Mapping[str, Any]) -> bytes:
    plain = _plain(fields, "fields")
    return json.dumps(plain, sort_keys=True, separators=(",", ":")).encode("ascii")


def _plain(value: Any, where: str) -> Any:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Mapping():
            for key in value:
                if not isinstance(key, str):
                    raise TypeError(f"{where}: expected strings as keys, got {key!r}")
            return {key: _plain(item, f"{where}.{key}") for key, item in value.items()}
        case list() | tuple():
            return [_plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
    raise TypeError(f"{where}: expected plain data, got {type(value).__name__}")


def lookup(digest: str) -> Entry | None:
    """The entry of that digest, or None.

    Every file is checked against the manifest; an entry that does not hold is removed.

    Raises
    ------
    CacheError
        If the cache directory is not to be trusted.
    """
    place = root()
    folder = place / FORMAT / digest
    entry = _read(folder)
    if entry is None and folder.exists():
        _discard(place, folder)
    return entry


def store(fields: Mapping[str, Any], make: Callable[[Path], Mapping[str, Any]]) -> Entry:
    """Make an entry in a private folder, and move it in whole.

    Parameters
    ----------
    fields : mapping
        Everything that shapes it, plain data.
    make : callable
        Fills the folder it is given and returns what to remember (plain data). If it raises, there
        is no entry; what a BuildError left is kept among the last failures.

    Returns
    -------
    Entry
        This one, or an equal one if somebody else was quicker.

    Raises
    ------
    CacheError
        If the cache directory cannot be used or is not to be trusted.
    """
    name = digest(fields)
    place = root(create=True)
    _sweep(place)
    try:
        private = Path(tempfile.mkdtemp(prefix="making-", dir=place))
    except OSError as error:
        raise _unusable(place, error) from error
    try:
        try:
            meta = make(private)
        except BuildError as error:
            error.kept = _keep_failure(place, private, name)
            raise
        try:
            _seal(private, name, fields, meta)
            return _move_in(place, private, name)
        except OSError as error:
            raise _unusable(place, error) from error
    finally:
        shutil.rmtree(private, ignore_errors=True)


def _seal(folder: Path, name: str, fields: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
    (folder / "key.json").write_bytes(_canonical(fields))
    (folder / "meta.json").write_bytes(_canonical(meta))
    files = {}
    for path in sorted(folder.iterdir()):
        if not path.is_file() or path.is_symlink():
            raise CacheError(f"{path.name}: an entry holds plain files only")
        path.chmod(0o600)  # whatever the umask: others may not have written it
        content = path.read_bytes()
        files[path.name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    manifest = {"digest": name, "created": time.time(), "files": files}
    path = folder / "manifest.json"
    path.write_text(json.dumps(manifest, indent=1, sort_keys=True), encoding="utf-8")
    path.chmod(0o600)


def _move_in(place: Path, private: Path, name: str) -> Entry:
    folder = place / FORMAT / name
    # A rename onto a folder with something in it fails, which makes it the one deciding moment.
    # More than once, since what stands in the way may be damaged, or be cleared just now.
    for _ in range(3):
        with contextlib.suppress(OSError):
            os.rename(private, folder)
        entry = _read(folder)
        if entry is not None:
            return entry
        _discard(place, folder)
        if not private.exists():
            break
    raise CacheError(f"cache entry {folder} cannot be written: it does not hold what was put there")


def _read(folder: Path) -> Entry | None:
    """The entry in a folder if all of it is as its manifest says."""
    try:
        manifest = json.loads(_own_file(folder / "manifest.json"))
        contents = {}
        for name, expected in manifest["files"].items():
            if Path(name).name != name:
                return None
            contents[name] = content = _own_file(folder / name)
            if len(content) != expected["size"]:
                return None
            if hashlib.sha256(content).hexdigest() != expected["sha256"]:
                return None
        fields = json.loads(contents["key.json"])
        if not folder.name == manifest["digest"] == digest(fields):
            return None
        return Entry(
            digest=folder.name,
            path=folder,
            fields=fields,
            files={name: len(content) for name, content in contents.items()},
            created=float(manifest["created"]),
            meta=json.loads(contents["meta.json"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _own_file(path: Path) -> bytes:
    """A file's content if it is a plain file that only the user can have written."""
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(path.name)
    if _CHECKS and (status.st_uid != os.geteuid() or status.st_mode & 0o022):
        raise ValueError(path.name)
    return path.read_bytes()


def _discard(place: Path, folder: Path) -> None:
    """Remove a damaged entry; looked at again under the lock, in case it was just made anew."""
    with contextlib.suppress(OSError), _lock(place):
        if folder.exists() and _read(folder) is None:
            _remove(place, folder)


def _remove(place: Path, folder: Path) -> None:
    # First out of the way in one step, so that nobody finds half of it.
    aside = Path(tempfile.mkdtemp(prefix="making-", dir=place))
    try:
        os.rename(folder, aside / folder.name)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextlib.contextmanager
def _lock(place: Path) -> Iterator[None]:
    """One process at a time, where the platform can; entries move in without it."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with open(place / "lock", "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _keep_failure(place: Path, private: Path, name: str) -> Path | None:
    """Where the files of a failed build are now; the oldest beyond the last few go."""
    failed = place / "failed"
    kept = failed / f"{time.time_ns()}-{name[:12]}"
    try:
        failed.mkdir(mode=0o700, exist_ok=True)
        os.rename(private, kept)
        for old in sorted(failed.iterdir())[:-KEPT_FAILURES]:
            shutil.rmtree(old, ignore_errors=True)
    except OSError:
        return None
    return kept


def _sweep(place: Path) -> None:
    """Remove what builders that died more than a day ago left."""
    for left in place.glob("making-*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > 86400:
                shutil.rmtree(left, ignore_errors=True)


def entries() -> list[Entry]:
    """All entries that hold, oldest first."""
    found = (_read(folder) for folder in _folders())
    return sorted((e for e in found if e is not None), key=lambda e: (e.created, e.digest))


def _folders(prefix: str = "") -> list[Path]:
    try:
        inside = sorted((root() / FORMAT).iterdir())
    except FileNotFoundError:
        return []
    return [folder for folder in inside if folder.name.startswith(prefix)]


def clear(digest_prefix: str | None = None) -> int:
    """Remove all entries and kept failures, or the one whose digest begins so.

    Returns
    -------
    int
        How many entries went.

    Raises
    ------
    CacheError
        If no digest or more than one begins so.
    """
    place = root()
    if not place.exists():
        folders = []
    elif digest_prefix is None:
        folders = _folders()
        for left in (*place.glob("making-*"), place / "failed"):
            shutil.rmtree(left, ignore_errors=True)
    else:
        folders = [_one_folder(digest_prefix)]
    gone = 0
    for folder in folders:
        # Another process may be clearing as well.
        with contextlib.suppress(FileNotFoundError), _lock(place):
            _remove(place, folder)
            gone += 1
    return gone


def _one_folder(prefix: str) -> Path:
    match _folders(prefix) if prefix else []:
        case [folder]:
            return folder
        case []:
            raise CacheError(
                f"no cache entry begins with {prefix!r}; `derive cache list` shows them"
            )
        case many:
            names = ", ".join(folder.name[: len(prefix) + 6] for folder in many[:4])
            raise CacheError(f"{len(many)} cache entries begin with {prefix!r} ({names}, …)")


def why(a: str, b: str) -> list[tuple[str, Any, Any]]:
    """In which fields two entries differ, so that the second was not taken from the first.

    Parameters
    ----------
    a, b : str
        Beginnings of digests.

    Returns
    -------
    list of (str, object, object)
        The dotted name of each field and its two values; ``"(absent)"`` where there is none.

    Raises
    ------
    CacheError
        If an entry is unknown, ambiguous or damaged.
    """
    both = []
    for prefix in (a, b):
        folder = _one_folder(prefix)
        entry = _read(folder)
        if entry is None:
            raise CacheError(
                f"cache entry {folder.name[:12]} is damaged; it is rebuilt when next needed"
            )
        both.append(entry.fields)
    return list(_differences(both[0], both[1], ""))


def _differences(a: Any, b: Any, where: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted({*a, *b}):
            inner = f"{where}.{key}" if where else key
            yield from _differences(a.get(key, ABSENT), b.get(key, ABSENT), inner)
    elif a != b or type(a) is not type(b):
        yield where, a, b
