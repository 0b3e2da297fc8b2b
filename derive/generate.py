"""Emit networks' modules into a folder, with a manifest that ties each to its spec."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from derive.errors import BuildError, NetworkError
from derive.files import write_whole
from derive.kernel import Emitted, as_network, emit
from derive.program.algorithms import settle

MANIFEST = "manifest.json"
FORMAT = "derive/generated/1"


@dataclass(frozen=True)
class Item:
    """One module of a generated folder."""

    name: str
    spec: str
    """Path of the spec, relative to the folder."""
    dtype: str
    batch: bool
    schedule: str
    """The schedule that was asked for."""
    digest: str
    """Of the network."""
    sha256: str
    """Of the emitted text."""


def read_manifest(folder: Path) -> list[Item]:
    """The modules a folder's manifest lists; none if there is no manifest.

    Raises
    ------
    BuildError
        When it is not a manifest of this format.
    """
    path = folder / MANIFEST
    if not path.exists():
        return []
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise BuildError(f"{path}: format {data['format']!r} is not {FORMAT!r}")
        return [Item(name, **item) for name, item in data["modules"].items()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BuildError(f"{path} is not a manifest ({error}); generate the folder anew") from None


def generate(
    spec: str | Path,
    into: str | Path,
    *,
    dtype: str = "float64",
    batch: bool = False,
    schedule: str = "auto",
    build: bool = True,
) -> Path:
    """Emit a spec's module into a folder, list it in the manifest, and build it there.

    Parameters
    ----------
    spec : path
        A spec file.
    into : path
        A folder, made if missing; with an ``__init__.py`` it is a package.
    build : bool
        Whether to compile it as well, with portable flags, so that it can be imported.

    Returns
    -------
    Path
        Of the emitted ``.pyx``.

    Raises
    ------
    NetworkError, EmitError, BuildError
        Nothing is written then.
    """
    folder, spec = Path(into), Path(spec)
    net = as_network(spec)
    emitted = _emit(spec, dtype, batch, schedule)
    items = {item.name: item for item in read_manifest(folder)}
    relative = os.path.relpath(spec.resolve(), folder.resolve()).replace(os.sep, "/")
    if net.name in items and items[net.name].spec != relative:
        raise NetworkError(
            f"{folder} already has a module {net.name!r}, from {items[net.name].spec}; "
            "give this network another name"
        )
    items[net.name] = Item(
        net.name, relative, dtype, batch, schedule, net.digest, _sha256(emitted.text)
    )
    built = _build(emitted, net.name) if build else {}
    # From here on nothing but the disk can fail.
    folder.mkdir(parents=True, exist_ok=True)
    for name, binary in built.items():
        write_whole(folder / name, binary)
    path = folder / f"{net.name}.pyx"
    write_whole(path, emitted.text)
    if not (folder / "__init__.py").exists():
        write_whole(folder / "__init__.py", '"""Kernels emitted by derive; see manifest.json."""\n')
    listed = {
        name: {k: v for k, v in vars(items[name]).items() if k != "name"} for name in sorted(items)
    }
    manifest = {"format": FORMAT, "modules": listed}
    write_whole(folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")
    return path


def check(folder: str | Path) -> list[str]:
    """What is out of date in a generated folder; an empty list when nothing is.

    Every module is emitted anew from its spec and compared byte for byte.
    """
    folder = Path(folder)
    if not (folder / MANIFEST).exists():
        return [f"{folder / MANIFEST} is missing"]
    wrong = []
    items = read_manifest(folder)
    for item in items:
        path, spec = folder / f"{item.name}.pyx", folder / item.spec
        if not path.exists() or not spec.exists():
            wrong.append(f"{path if not path.exists() else spec} is missing")
            continue
        emitted = _emit(spec, item.dtype, item.batch, item.schedule)
        if path.read_text(encoding="utf-8") != emitted.text:
            wrong.append(f"{path} is not what {spec} gives; run: derive generate {spec} --into "
                         f"{folder}")  # fmt: skip
        elif item.sha256 != _sha256(emitted.text):
            wrong.append(f"{path}: its digest in {MANIFEST} is out of date")
    listed = {item.name for item in items}
    wrong += [
        f"{p} is in no manifest" for p in sorted(folder.glob("*.pyx")) if p.stem not in listed
    ]
    return wrong


def regenerate(folder: str | Path) -> list[Path]:
    """Emit every module of a generated folder anew, without building.

    Raises
    ------
    BuildError
        When the folder has no manifest.
    """
    folder = Path(folder)
    if not (folder / MANIFEST).exists():
        raise BuildError(f"{folder / MANIFEST} is missing; derive generate SPEC --into makes one")
    return [
        generate(
            folder / item.spec,
            folder,
            dtype=item.dtype,
            batch=item.batch,
            schedule=item.schedule,
            build=False,
        )
        for item in read_manifest(folder)
    ]


def _emit(spec: Path, dtype: str, batch: bool, schedule: str) -> Emitted:
    net = as_network(spec)
    return emit(net, settle(net, None, {}), dtype, batch, schedule)


def _build(emitted: Emitted, name: str) -> dict[str, bytes]:
    """The compiled module's file name and content."""
    from derive.build.toolchain import compile_module, find_toolchain, profile

    toolchain = find_toolchain()
    if toolchain is None:
        raise BuildError("no C compiler was found; install one, or emit only with --no-build")
    with tempfile.TemporaryDirectory(prefix="derive-") as private:
        built = compile_module(emitted.text, name, Path(private), profile("portable"), toolchain)
        return {built.path.name: built.path.read_bytes()}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
