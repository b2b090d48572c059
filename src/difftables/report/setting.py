"""Which of data, resolution, net, training and network calls of a claim are the paper's."""

from difftables.report.cells import Cell

OWN_SETTING = ("paper", "released")  # scales whose data, nets and training are the papers'
PARTS = ("data", "resolution", "net", "training")


def equal_parts(first: Cell, second: Cell, scale: str) -> str:
    """The parts of a claim's setting that equal the paper's, in words.

    Calls are equal where both cells have the steps or network calls of the paper's numbers beside them.
    """
    if first.status == second.status == "closed-form":
        return "all that a closed form has"
    known = [cell for cell in (first, second) if cell.paper_nfe != ""]
    same = [cell for cell in known if str(cell.paper_nfe) in (str(cell.nfe), str(cell.steps))]
    parts = list(PARTS) if scale in OWN_SETTING else []
    if same and len(same) == len(known):
        parts.append("calls" if len(same) == 2 else "calls of one row")
    if not known and any(cell.nfe != "" for cell in (first, second)):
        parts.append("calls unknown")
    return ", ".join(parts) or "none"
