"""The error about run folders."""

from rewindnet.errors import UserError


class FolderError(UserError):
    """A folder holds no run, an incomplete run or a damaged one; the message says which."""


class MissingArrayError(FolderError, KeyError):
    """A run keeps no array of a name; the message says which it keeps."""

    __str__ = Exception.__str__
