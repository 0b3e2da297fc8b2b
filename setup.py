"""Compile the kernels kept in generated/ into the importable package of that name.

Everything else about the package is in pyproject.toml. A missing compiler is no reason not to
install: each kernel is optional, and one that cannot be built is left out with a warning, because
``derive`` then makes its own at run time or runs the same program on NumPy.
"""

from __future__ import annotations

import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent

# The manifest's reader and the compiler flags have one home each, in the package that is being
# built. An isolated build runs this file without its folder on the path and without the package's
# dependencies; these modules need none of them.
sys.path.insert(0, str(ROOT))

from derive.build.toolchain import profile  # noqa: E402
from derive.generate import read_manifest  # noqa: E402


def kernels() -> list[Extension]:
    """One extension per module that the manifest names."""
    import numpy  # whose headers the kernels include; pyproject.toml asks for it

    portable = profile("portable")
    return [
        Extension(
            f"generated.{item.name}",
            [f"generated/{item.name}.pyx"],
            include_dirs=[numpy.get_include()],
            extra_compile_args=list(portable.compile),
            extra_link_args=list(portable.link),
            optional=True,
        )
        for item in read_manifest(ROOT / "generated")
    ]


class BuildKernels(build_ext):
    """Translate and compile each kernel, or warn that it is left out."""

    def build_extension(self, ext: Extension) -> None:
        """Build one kernel."""
        from Cython.Build import cythonize

        try:
            # The C text goes to the build directory: beside the .pyx it would look like a source.
            (translated,) = cythonize([ext], build_dir=self.build_temp, quiet=True)
            ext.sources = translated.sources
            super().build_extension(ext)
        except Exception as error:  # whatever a translator or a compiler may raise
            self.warn(
                f"{ext.name} is left out: {type(error).__name__}: {error}. "
                "derive compiles it at run time when it finds a compiler."
            )


if __name__ == "__main__":
    setup(ext_modules=kernels(), cmdclass={"build_ext": BuildKernels})
