"""Data sets: readers give uint8 images and labels; one split serves training, search and metrics."""

from difftables.data.images import digits, folder

READERS = {"digits": digits, "folder": folder}
