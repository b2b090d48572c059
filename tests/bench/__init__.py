"""`make bench`: what our code costs beside the field's, as ratios within one run. Nothing in here is a test.

A module of this package is a part of the table. Its COMPARISONS are functions (sizes, folder, device) to rows; `harness` times them,
`subjects` holds what is measured, `variants` the ways to run a net, and `page` writes results/bench.
"""
