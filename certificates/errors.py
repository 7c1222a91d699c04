"""The one error of this room: something that cannot be certified, said in a sentence."""

from rewindnet.errors import UserError


class CertificateError(UserError):
    """What was given cannot be understood or certified; the message says what is allowed."""
