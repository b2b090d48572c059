"""How good samples are: arrays go in, numbers come out."""
