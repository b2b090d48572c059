"""`difftables import FILE --as FORMAT`: what a net of others is, and the lines of params by which runs use it."""

import argparse
import sys
from pathlib import Path
from typing import Any


def command(arguments: list[str]) -> int:
    """Read a file or a diffusers folder, running nothing in it; print what it holds and the lines that name it in params.

    Args: arguments: FILE --as FORMAT, as the parser below lists them. Nothing is copied; --into adds the lines to a params file.
    Returns: 0, or 1 with one line where the file is not of the format, or holds no net of ours.
    """
    from difftables.common import registry

    parser = argparse.ArgumentParser(prog="difftables import", description="read a net that others trained; nothing in its file is run")
    parser.add_argument("file", type=Path, help="of the weights, or a diffusers folder; it stays where it is")
    parser.add_argument("--as", dest="format", required=True, choices=registry.names("checkpoints.official.READERS"))
    parser.add_argument("--name", help="of the checkpoint in params; the file's without this")
    parser.add_argument("--net", action="append", default=[], metavar="KEY=VALUE", help="what the tensors do not show, e.g. heads=4")
    parser.add_argument("--into", type=Path, metavar="PARAMS", help="a paper's params file that the checkpoint is added to")
    args = parser.parse_args(arguments)
    try:
        print("\n".join(imported(args.file, args.format, args.name or default_name(args.file), stated(args.net), args.into)))
    except (ValueError, OSError) as error:
        print(f"difftables import: {error}", file=sys.stderr)
        return 1
    return 0


def default_name(path: Path) -> str:
    """A name for a checkpoint, after its file; a folder `unet` has the name of the model that it belongs to."""
    import re

    words = path.resolve().parent.name if path.name == "unet" else path.stem if path.is_file() else path.name
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-") or "checkpoint"


def stated(words: list[str]) -> dict[str, Any]:
    """Arguments of a net from KEY=VALUE.  Raises: ValueError for a word that is none."""
    import yaml

    found = dict[str, Any]()
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise ValueError(f"--net {word} is no KEY=VALUE, e.g. heads=4")
        found[key] = yaml.safe_load(value)
    return found


def imported(path: Path, format: str, name: str, known: dict[str, Any], into: Path | None = None) -> list[str]:
    """The lines to print.  Args: known: arguments of the net that the tensors do not show; into: a params file to add the lines to.

    Raises: ValueError, one line, where the file is not of the format, or does not hold one of our nets and nothing else.
    """
    from difftables.checkpoints.load import load_checkpoint, shown_net
    from difftables.checkpoints.official import WEIGHTS, read_official
    from difftables.common.files import sha256
    from difftables.config.nets import Net

    official = read_official(path, format)
    arguments, shape = shown_net(path, official, format, known)
    _, report = load_checkpoint(path, format, Net(**arguments), shape)
    weights = path if path.is_file() else next(each / WEIGHTS for each in (path, path / "unet") if (each / WEIGHTS).is_file())
    entry = {"format": format, "file": str(path), "sha256": sha256(weights), "net": arguments}
    lines = [f"{path}: {len(report['used'])} tensors, {report['parameters']:,} parameters, {report['weights']}"]
    lines += [f"without weights: {', '.join(report['ignored'])}"] if report["ignored"] else []
    lines += [f"a net for data of {', '.join(f'{key} {value}' for key, value in shape.items())}", ""]
    if into is not None:
        add(into, name, entry)
        lines += [f"{into}: checkpoints.{name} was added. A run takes it by", ""]
    else:
        lines += ["checkpoints:", f"  {name}: {flow(entry)}"]
    return [*lines, "runs:", f"  {name}: {{like: A RUN ON SUCH DATA, seeds: [0], net: {{checkpoint: {name}}}}}"]


def flow(value: Any) -> str:
    """A value as one line of YAML."""
    import yaml

    return yaml.safe_dump(value, default_flow_style=True, width=10**6, sort_keys=False).strip()


def add(path: Path, name: str, entry: dict[str, Any]) -> None:
    """Add a checkpoint to a params file, whose other lines stay as they are.

    Raises: ValueError where the file has one of this name, or its checkpoints are on one line.
    """
    from difftables.common.files import write_text
    from difftables.papers.folder import parse

    text = path.read_text() if path.exists() else ""
    content = (parse(text) or {}) if text else {}
    section = content.get("checkpoints")
    if name in (section or {}):
        raise ValueError(f"{path} has checkpoints.{name} already; choose another --name")
    lines = text.splitlines()
    if "checkpoints" not in content:
        lines += ([""] if lines else []) + ["checkpoints:"]
    at = next((i for i, line in enumerate(lines) if line.split("#")[0].rstrip() == "checkpoints:"), None)
    if at is None:
        raise ValueError(f"{path} has its checkpoints on one line; add {name} by hand: {flow({name: entry})}")
    indent = next((line[: len(line) - len(line.lstrip())] for line in lines[at + 1 :] if line.strip() and line[0] == " "), "  ")
    lines.insert(at + 1, f"{indent if section else '  '}{name}: {flow(entry)}")
    write_text(path, "\n".join(lines) + "\n")
