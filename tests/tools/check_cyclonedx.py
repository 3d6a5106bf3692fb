"""Holds CycloneDX files against the official schema of the version that each one names; strict: nothing unknown."""

import json
import sys
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator


def main(paths: list[str]) -> int:
    failed = False
    for path in paths:
        text = Path(path).read_text(encoding="utf-8")
        version = SchemaVersion.from_version(json.loads(text)["specVersion"])
        for error in JsonStrictValidator(version).validate_str(text, all_errors=True) or ():
            failed = True
            # The rest of the message is the schema, thousands of lines of it.
            print(f"{path}: {str(error).splitlines()[0]}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
