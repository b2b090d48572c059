"""Names of runs, samplers, nets and schedules: PAPER/NAME everywhere but in the files of that paper, which write NAME."""


def full(name: str, paper: str) -> str:
    """PAPER/NAME of a name as a paper's files write it; one of another paper has its paper in front already."""
    return name if "/" in name else f"{paper}/{name}"


def local(name: str, paper: str) -> str:
    """A name as a paper's files write it: NAME for one of its own, PAPER/NAME for one of another paper."""
    return name.removeprefix(f"{paper}/")


def paper_of(name: str) -> str:
    """The paper in front of a full name."""
    return name.split("/", 1)[0]
