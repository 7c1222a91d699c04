"""The one error of this room: something that cannot be certified, said in a sentence."""


class CertificateError(ValueError):
    """What was given cannot be understood or certified; the message says what is allowed."""
