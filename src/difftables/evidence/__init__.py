"""What measured values bear out: effects with intervals, corrected for how many are asked, and fair words for them."""
