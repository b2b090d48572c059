"""`difftables where`: where the tables of the chosen scale lie."""

from pathlib import Path


def command(arguments: list[str]) -> int:
    """Print the index page of the scale in params.yaml, or of the scale given."""
    from difftables.common.errors import ConfigError
    from difftables.planning.params import load

    try:
        scale = load(scale=arguments[0] if arguments else None).scale
    except ConfigError as error:
        print(error)
        return 1
    index = Path(f"results/{scale}/tables/README.md")
    print(f"tables: {index}" if index.exists() else f"{index} is not there yet; run snakemake")
    return 0
