"""The error about run folders."""

from rewindnet.errors import UserError


class FolderError(UserError):
    """A folder holds no run, an incomplete run or a damaged one; the message says which."""
