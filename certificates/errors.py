"""The error of this package: input that cannot be certified."""

from rewindnet.errors import UserError


class CertificateError(UserError):
    """Input that cannot be understood or certified; the message says what is allowed."""
