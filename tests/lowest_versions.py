"""Prints the lowest version of each package that pyproject.toml names, as constraints for pip."""

import re
import tomllib
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]


def main() -> None:
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    for requirement in sorted({line for group in groups for line in group}):
        named = re.match(r"([\w.-]+)(?:\[\w+\])?>=([\w.]+)", requirement)
        if named:
            print(f"{named[1]}=={named[2]}")


if __name__ == "__main__":
    main()
