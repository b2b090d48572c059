"""`difftables schema`: write the JSON schemas of params files, which editors read through the first line of each file."""

from pathlib import Path

SCHEMAS = Path("workflow/schemas")


def texts() -> dict[Path, str]:
    """The text of each schema, by its file."""
    from difftables.common.files import json_text
    from difftables.config import json_schema

    return {SCHEMAS / "params.json": json_text(json_schema.of_shared()), SCHEMAS / "paper.json": json_text(json_schema.of_paper())}


def command(arguments: list[str]) -> int:
    """Write workflow/schemas anew, from the models of params."""
    from difftables.common.files import write_text

    for path, text in texts().items():
        write_text(path, text)
        print(path)
    return 0
