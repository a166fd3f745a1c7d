"""llama.cpp's source distribution on the controller: the one of its hash, or none.

    source_distribution.py --package NAME --version VERSION --sha256 HASH --archive FILE

An existing archive is hashed again before it is used. What pip fetches is compared with the
hash before anything of it is looked at; then pip reads its metadata, for which it runs the build
program of exactly that archive, without keys in its environment. Exit status 1 with one line on
standard error if it cannot be had.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
from core.digest import sha256_of
from models.pip import PipError, pip


def fetch(package: str, version: str, sha256: str, archive: Path) -> None:
    """Have pip fetch the archive.

    Raises:
        PipError: it cannot; with the line in which it says why.
    """
    with tempfile.TemporaryDirectory(dir=archive.parent) as work:
        wanted = Path(work, "wanted.txt")
        wanted.write_text(f"{package}=={version} --hash=sha256:{sha256}\n")
        options = ("--no-deps", f"--no-binary={package}", "--require-hashes", f"--dest={work}")
        pip("download", *options, f"--requirement={wanted}")
        found = [path for path in Path(work).glob("*.tar.gz") if sha256_of(path) == sha256]
        if not found:
            raise PipError(f"pip fetched no archive of {package} {version}")
        found[0].replace(archive)


def main() -> int:
    """Have the archive."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--package", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--sha256", required=True)
    parser.add_argument("--archive", type=Path, required=True)
    given = parser.parse_args()
    try:
        if not given.archive.is_file() or sha256_of(given.archive) != given.sha256:
            fetch(given.package, given.version, given.sha256, given.archive)
    except (PipError, OSError) as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
