"""`make bench`: what our code costs beside the field's, as ratios within one run. Nothing in here is a test."""
