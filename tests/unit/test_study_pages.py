"""The committed pages of the study: what the index, the papers' pages and the claims say of one another."""

import json
import re
from pathlib import Path

import pytest
import yaml

from difftables.evidence.outcomes import DIFFERS, OPPOSITE
from difftables.report.claims import counts, is_ours, judge
from difftables.report.page import from_plain

ROOT = Path(__file__).parents[2]
TABLES = ROOT / "results/study/tables"
LENGTHS = ("sixteenth", "quarter")
PAPERS = ("noise_estimation", "improved_ddpm", "soft_diffusion", "stable_target_field", "edm", "few_step")


@pytest.fixture(scope="module", params=PAPERS)
def judged(request):
    """A paper, its claims, and what became of them."""
    claims = yaml.safe_load((ROOT / f"workflow/papers/{request.param}/claims.yaml").read_text())
    pages = [from_plain(json.loads(path.read_text())) for path in sorted((TABLES / request.param).glob("*.json"))]
    return request.param, claims, judge(claims, [cell for page in pages for cell in page.cells], "study", LENGTHS)


def test_each_claim_that_came_out_otherwise_says_what_would_have_to_be_true(judged):
    paper, _, places = judged
    turned = [place for place in places if place.primary and place.outcome in (OPPOSITE, DIFFERS) and not is_ours(place.claim)]
    assert [place.claim["id"] for place in turned if "would_need" not in place.claim] == []
    page = (TABLES / paper / "README.md").read_text()
    assert all(place.claim["would_need"].strip() in page for place in turned)


def test_the_index_counts_what_the_claims_say(judged):
    paper, claims, places = judged
    line = re.search(rf"^\| \[{paper}\]\({paper}/README\.md\) \| (.*) \|$", (TABLES / "README.md").read_text(), re.MULTILINE)[1]
    assert [int(number) for number in line.split(" | ")][2:] == list(counts(places, claims).values())


def test_the_index_fits_on_a_screen():
    text = (TABLES / "README.md").read_text()
    assert len(text.splitlines()) < 50
    assert len(text) < 8000
