"""Open the files of users: regular files only, unzipped where they are gzip, and never more than was announced."""

import gzip
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from rewindnet.errors import UserError

#: The largest number of bytes of a text file, unzipped.
MOST_TEXT = 2**28
_GZIP = b"\x1f\x8b"


def located(path: str | Path, error: type[UserError] = UserError) -> Path:
    """Return the place of a file that a user named: `~` is the home directory.

    Args:
        path: the path.
        error: what to raise.

    Raises:
        UserError: if the path has a NUL character, or names the home of a user who does not exist.
    """
    if "\0" in str(path):
        raise error(f"the path {str(path)!r} has a NUL character, which no file name has")
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise error(f"'{path}' names the home directory of a user who does not exist here") from None


@contextmanager
def opened(path: str | Path, error: type[UserError] = UserError) -> Iterator[BinaryIO]:
    """Open a regular file for reading; a pipe, a device or a folder is refused at once.

    Args:
        path: the path, in which `~` is the home directory.
        error: what to raise.

    Raises:
        UserError: if it cannot be opened or read, or is not a regular file.
    """
    place = located(path, error)
    try:
        # Without O_NONBLOCK, opening a pipe waits for its writer.
        with open(os.open(place, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise error(f"'{place}' cannot be read: it is not a regular file")
            yield cast(BinaryIO, file)
    except OSError as problem:
        raise error(f"'{place}' cannot be read: {problem.strerror or problem}") from None


@contextmanager
def unzipped(path: str | Path, error: type[UserError] = UserError) -> Iterator[BinaryIO]:
    """Open a regular file for reading, through gzip if its first two bytes say so; several members are joined.

    Args:
        path: the path, in which `~` is the home directory.
        error: what to raise.

    Raises:
        UserError: as `opened`, or if the gzip file is damaged or ends early.
    """
    with opened(path, error) as file:
        zipped = file.read(2) == _GZIP
        file.seek(0)
        try:
            yield cast(BinaryIO, gzip.GzipFile(fileobj=file)) if zipped else file
        except EOFError:
            raise error(f"'{path}' is a gzip file that ends early") from None
        except (gzip.BadGzipFile, zlib.error) as problem:
            raise error(f"'{path}' is a damaged gzip file ({problem})") from None


def content_of(path: str | Path, error: type[UserError] = UserError, most: int = MOST_TEXT) -> bytes:
    """Read a regular file whole, unzipped.

    Args:
        path: the path, in which `~` is the home directory.
        error: what to raise.
        most: the largest number of bytes.

    Raises:
        UserError: as `unzipped`, or if there are more bytes.
    """
    with unzipped(path, error) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise error(f"'{path}' holds more than {most:,} bytes, which is the most that is read of such a file")
    return content


def text_of(path: str | Path, error: type[UserError] = UserError) -> str:
    """Read a regular file whole, unzipped, as text in UTF-8, with or without a byte order mark.

    Args:
        path: the path, in which `~` is the home directory.
        error: what to raise.

    Raises:
        UserError: as `content_of`, or if it is not text in UTF-8.
    """
    try:
        # utf-8-sig, because spreadsheets write a byte order mark before the first name.
        return content_of(path, error).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise error(f"'{path}' is not text in UTF-8") from None
