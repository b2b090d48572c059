"""The page that says how numbers are made, once for all tables of a scale."""

from difftables.report.setting import OWN_SETTING

CELLS = """## Cells

- A cell is a mean over seeds, ± the standard deviation. Column `spread_kind` of cells.csv says over what: training seeds, sampling seeds,
  images, batches or bootstrap draws. values.csv has the value of each seed.
- Seeds belong to samples, not to processes. Row A and row B of a table start from the same noise, and are compared seed by seed.
- N is the number of samples a seed. Values of a Frechet distance at one N do not compare with values at another.
- FD is the Frechet distance of features; its name says which features, and at which size. It is not FID. "Real against real" is its value
  between two parts of the training set at the same N.
- KID, precision, recall and the inception score of the same samples are in a table's CSV, where the table does not show them.
- NFE is measured: it counts network calls, of each sample.
- "k/n failed" counts samples that a metric could not score. They are in no mean.
- NLL is the variational bound in bits a dimension, ± the standard error over images. Differences are taken image by image.
- PESQ is of package pesq (ITU-T P.862), after SciPy's polyphase resampling where the rate is neither 8 nor 16 kHz; nb and wb are narrow and
  wide band. STOI and ESTOI are of package pystoi. MCD-13 takes c1 to c13 of the data's own mel bands, frame by frame, in dB. The log-mel
  distance is the mean absolute difference of log10 mel power.
- A number of a paper is in italics. `unverified` marks one that no source of the paper's own text confirms.

## Marks

- Bold: the best of a column, told from every other row (Holm, 5 %). No bold: the lowest mean is not told from the next.
- †: equivalent to the best mean within 10 %, shown by two one-sided tests of more than three units. Three seeds are too few for it.
- Stars in figures follow the bold.
"""
CLAIMS = """## Claims

- The effect is the first row's value over the second's, with its 95 % interval. Both values follow, then the paper's.
- Units are independent repetitions. A claim between trainings has training seeds as units, with sampling seeds averaged inside. A claim
  between samplers has trained nets as units where there are several; else sampling seeds, and it speaks of that net alone.
- Each claim has one primary column, stated in claims.yaml before the run. p of primary columns is corrected after Holm within a paper, of
  all other columns after Benjamini and Hochberg. Our own questions are a family of their own.
- `same sign here`, `opposite sign here`: a difference is shown, with the paper's sign or the other one.
- `equivalent`: the ratio lies within the margin, 10 % unless a claim states another one, by two one-sided tests.
- `differs here`: the paper says "about the same", and a ratio outside the margin is shown.
- `cannot be told`: neither is shown. In brackets: how large the effect could be.
- `not tested`: one training; not settled at this training; or not run.
- The last column says which of data, resolution, net, training and network calls are the paper's.
- The forest plot of a paper turns each ratio so that below 1 is as claimed. The green band is 10 % around 1; a cross is the paper's ratio.
- The foot of a table says how far two rows must differ to be told apart with 80 % power.
"""
ELSEWHERE = """- `holds` and `contradicted` are kept for the papers' own data and nets, at scales `paper` and `released`. Neither is the
  paper's here: compare rows with rows, never with the paper's numbers.
"""
SETTLED = """- A claim between trainings is settled where the outcome after a quarter of the training is that of the whole. Outcomes
  at {lengths} of the steps stand behind it.
"""


def how_it_is_made(scale: str, lengths: list[str]) -> str:
    """The page how-it-is-made.md.  Args: lengths: of shorter training, the shortest first."""
    out = f"# How a number of scale `{scale}` is made\n\n[All papers](README.md)\n\n" + CELLS + "\n" + CLAIMS
    out += "" if scale in OWN_SETTING else ELSEWHERE
    out += SETTLED.format(lengths=" and ".join(f"a {length}" for length in lengths)) if lengths else ""
    return (
        out
        + f"""
## From a number to its origin

`difftables explain PAPER/TABLE/ROW/COLUMN {scale}` walks from a cell to the jobs, code, packages and data behind it.
`difftables check {scale}` makes every table again from its records and names what was edited by hand.
"""
    )
