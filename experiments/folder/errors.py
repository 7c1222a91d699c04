"""The error about run folders."""

from rewindnet.errors import UserError


class FolderError(UserError):
    """A folder that holds no run, no whole run, or a damaged one."""
