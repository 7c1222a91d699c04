"""One of each thing that can be added to rewindnet, a file each, for `tests/project/test_additions.py`."""
