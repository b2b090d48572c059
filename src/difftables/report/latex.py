"""Grids of cells as LaTeX: tabulars alone, so that a paper chooses float, caption and size; their notes are texts of their own."""

import re
import unicodedata

from difftables.report.printing import Grid, named, shown

NEEDS = "% needs \\usepackage{booktabs,xcolor}"
ESCAPES = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': "''",
    "±": r"$\pm$", "†": r"$^\dagger$", "×": r"$\times$", "·": r"$\cdot$", "≤": r"$\leq$", "≥": r"$\geq$", "≈": r"$\approx$",
    "−": "$-$", "–": "--", "—": "---", "…": r"\ldots{}", "‘": "`", "’": "'", "“": "``", "”": "''", "√": r"$\surd$", "∞": r"$\infty$",
    "→": r"$\to$", "°": r"$^\circ$", "∈": r"$\in$", "′": "$'$", "\u00a0": "~",
    "ᾱ": r"$\bar\alpha$", "α": r"$\alpha$", "β": r"$\beta$", "γ": r"$\gamma$", "δ": r"$\delta$", "ε": r"$\epsilon$",
    "η": r"$\eta$", "θ": r"$\theta$",
    "λ": r"$\lambda$", "μ": r"$\mu$", "µ": r"$\mu$", "π": r"$\pi$", "ρ": r"$\rho$", "σ": r"$\sigma$", "τ": r"$\tau$", "φ": r"$\phi$",
    "ω": r"$\omega$", "Δ": r"$\Delta$", "Σ": r"$\Sigma$", "Φ": r"$\Phi$",
}  # fmt: skip
ACCENTS = {"0300": "`", "0301": "'", "0302": "^", "0303": "~", "0304": "=", "0308": '"', "030C": "v", "0327": "c"}  # combining marks
NAMES = re.compile(r"`([^`]*)`")


def tex(text: str) -> str:
    """Text of a page as LaTeX: special characters escaped, names between backticks in typewriter, links as their words."""
    text = unicodedata.normalize("NFC", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text).replace("**", "").replace("&nbsp;", " ")
    parts = NAMES.split(text)
    return "".join(rf"\texttt{{{_escaped(part)}}}" if i % 2 else _escaped(part) for i, part in enumerate(parts))


def _escaped(text: str) -> str:
    return "".join(ESCAPES.get(character) or _accented(character) for character in text)


def _accented(character: str) -> str:
    """A raised or lowered character as a formula, a letter with an accent as LaTeX writes it, any other as it is."""
    kind, _, code = unicodedata.decomposition(character).rpartition(" ")
    if kind in ("<super>", "<sub>"):
        return f"${'^' if kind == '<super>' else '_'}{chr(int(code, 16)).replace(chr(0x2212), '-')}$"
    if code in ACCENTS and len(kind) == 4:
        return f"\\{ACCENTS[code]}{{{chr(int(kind, 16))}}}"
    return character


def tabular(grid: Grid) -> str:
    """A grid as a booktabs tabular.  The best of a column is bold, a dagger is equivalent to it, grey was not run, italics are quoted."""
    out = [f"\\begin{{tabular}}{{l{'r' * (len(grid.head) - 1)}}}", r"\toprule"]
    out += [" & ".join(tex(head) for head in grid.head) + r" \\", r"\midrule"]
    previous = "own"
    for name, cells, kind in grid.lines:
        if kind == "literature" != previous:
            out.append(r"\midrule")
        previous = kind
        texts = []
        for cell in cells:
            text = "" if isinstance(cell, str) and "](" in cell else tex(shown(cell, kind))  # links are of no use on paper
            if kind in ("paper", "literature") and text:
                text = f"\\textit{{{text}}}"
            elif named(cell, "verdict") == "best":
                text = f"\\textbf{{{text}}}"
            elif named(cell, "verdict") == "same":
                text += r"$^\dagger$"
            elif kind == "own" and text:
                text = f"\\textcolor{{gray}}{{{text}}}" if named(cell, "status") == "not-run" else text
            texts.append(text)
        out.append(f"{'' if kind == 'own' else chr(92) + 'quad '}{tex(name)} & {' & '.join(texts)} \\\\")
    return "\n".join([*out, r"\bottomrule", r"\end{tabular}"]) + "\n"


def tabulars(title: str, grids: list[Grid]) -> str:
    """All grids of a table, one below the other, for \\input in a float or out of one."""
    below = "\n\\par\\medskip\n\n"
    texts = [tabular(grid) if i == 0 else rf"{tex(grid.title)}\par\smallskip" + "\n" + tabular(grid) for i, grid in enumerate(grids)]
    return f"% {_comment(title)}\n{NEEDS}; its notes are in folder notes\n" + below.join(texts)


def notes(title: str, banner: str, grids: list[Grid]) -> str:
    """What a page says below its grids, a paragraph each."""
    lines = [banner, *(note for grid in grids for note in (*grid.notes, *grid.details))]
    return f"% notes of: {_comment(title)}\n" + "\n\n".join(tex(line) for line in lines) + "\n"


def document(tables: list[tuple[str, str, str]]) -> str:
    r"""A document with every table as a float of its own, as an example.  Args: tables: path without suffix, label, title."""
    out = [
        "% An example: all tables of this folder. Compile it here: pdflatex paper.tex, or lualatex paper.tex.", r"\documentclass{article}",
        r"\usepackage[T1]{fontenc}", r"\usepackage[margin=2cm]{geometry}", r"\usepackage{booktabs,xcolor,graphicx}",
        r"\setlength{\parindent}{0pt}", r"\begin{document}",
    ]  # fmt: skip
    for path, label, title in tables:
        folder, _, name = path.rpartition("/")
        out += [
            r"\begin{table}[p]", r"\centering\small", rf"\caption{{{tex(title)}}}\label{{tab:{label}}}",
            r"\scalebox{0.6}{\begin{minipage}{1.66\linewidth}\centering",
            rf"\input{{{path}.tex}}", r"\end{minipage}}", r"\end{table}", rf"\footnotesize\input{{{folder}/notes/{name}.tex}}",
            r"\normalsize\clearpage",
        ]  # fmt: skip
    return "\n".join([*out, r"\end{document}"]) + "\n"


def _comment(text: str) -> str:
    """Text for a comment line, which any encoding can hold."""
    return text.encode("ascii", "replace").decode().replace("\n", " ")
