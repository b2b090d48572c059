"""Draw docs/architecture.svg from the imports of src/difftables: `python docs/draw_architecture.py`.

A line leads from a package down to one that it imports. A line is left out where a longer path says the same.
"""

from pathlib import Path

import grimp

PACKAGE = "difftables"
WIDTH, BOX, HEIGHT, GAP = 760, (112, 30), 58, 20
TINTS = {"what people ask for": "#e8eef7", "mathematics": "#eef5e9", "from a plan to a page": "#fdf1e3", "shared": "#f1f1f1"}
GROUPS = {
    "shared": ("common", "provenance"),
    "what people ask for": ("config", "papers", "planning"),
    "mathematics": ("nets", "checkpoints", "data", "diffusion", "training", "estimation", "sampling", "metrics", "search", "studies"),
    "from a plan to a page": ("evidence", "report", "jobs", "commands", "api", "warm"),
}


def imports() -> dict[str, set[str]]:
    """The packages that each package imports, by name."""
    graph = grimp.build_graph(PACKAGE)
    children = graph.find_children(PACKAGE)
    packages = sorted(name for name in children if graph.find_children(name))
    found: dict[str, set[str]] = {}
    for name in packages:
        others = (other for other in packages if other != name)
        found[name] = {other for other in others if graph.direct_import_exists(importer=name, imported=other, as_packages=True)}
    return {name.split(".")[1]: {other.split(".")[1] for other in others} for name, others in found.items()}


def reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    """All packages below one."""
    return graph[start].union(*(reachable(graph, other) for other in graph[start]))


def reduced(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """The imports that no longer path replaces."""
    return {
        name: {other for other in others if not any(other in reachable(graph, third) for third in others - {other})}
        for name, others in graph.items()
    }


def drawing(graph: dict[str, set[str]]) -> str:
    """The picture as SVG, packages that import nothing at the bottom."""
    rank: dict[str, int] = {}
    for name in sorted(graph, key=lambda each: len(reachable(graph, each))):
        rank[name] = 1 + max((rank[other] for other in graph[name]), default=-1)
    rows = [sorted(name for name in graph if rank[name] == row) for row in range(max(rank.values()) + 1)]
    height = len(rows) * HEIGHT + 2 * GAP
    tint = {name: TINTS[group] for group, names in GROUPS.items() for name in names}
    place = {}
    for row, names in enumerate(rows):
        for i, name in enumerate(names):
            place[name] = (WIDTH * (i + 1) / (len(names) + 1), height - GAP - HEIGHT * (row + 0.5))
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13">']
    parts.append(f'<rect width="{WIDTH}" height="{height}" fill="white"/>')
    for name, others in reduced(graph).items():
        for other in sorted(others):
            (x, y), (u, v) = place[name], place[other]
            line = f'x1="{x:.0f}" y1="{y + BOX[1] / 2:.0f}" x2="{u:.0f}" y2="{v - BOX[1] / 2:.0f}"'
            parts.append(f'<line {line} stroke="#999"/>')
    for name, (x, y) in sorted(place.items()):
        left, top = x - BOX[0] / 2, y - BOX[1] / 2
        parts.append(
            f'<rect x="{left:.0f}" y="{top:.0f}" width="{BOX[0]}" height="{BOX[1]}" rx="5" fill="{tint[name]}" stroke="#666"/>'
            f'<text x="{x:.0f}" y="{y + 5:.0f}" text-anchor="middle">{name}</text>'
        )
    for i, (group, fill) in enumerate(TINTS.items()):
        top = GAP + 20 * i
        parts.append(f'<rect x="10" y="{top - 11}" width="13" height="13" fill="{fill}" stroke="#666"/>')
        parts.append(f'<text x="29" y="{top}" font-size="11">{group}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    (Path(__file__).parent / "architecture.svg").write_text(drawing(imports()))
