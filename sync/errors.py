"""Errors as sentences for the person who runs the sync. None of them quotes a cart."""

import contextlib
import errno
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from source_abandoned_carts.issues import REPORT

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_Error = TypeVar("_Error", bound=BaseException)


class SyncError(Exception):
    """An error whose message is for the person who runs the sync."""


_actions: list[str] = []


@contextlib.contextmanager
def during(action: str) -> Iterator[None]:
    """Let `describe` name this action, such as "drew the picture", if the block fails."""
    _actions.append(action)
    yield
    _actions.pop()  # not after an error: `describe` reads it later


def describe(error: BaseException) -> str:
    """Describe an error that no database has described."""
    action = _actions[-1] if _actions else "started"
    _actions.clear()
    if isinstance(error, OSError) and error.errno in _FULL:
        return full_disk(f"for {error.filename}" if error.filename else "for temporary files")
    if isinstance(error, OSError) and "No usable temporary directory" in str(error):
        return f"{full_disk('for temporary files')} Or set TMPDIR to a folder on another disk."
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'A file'} cannot be used: {error.strerror}."
    cause = list(chain(error))[-1]
    frames = traceback.extract_tb(cause.__traceback__)  # empty for errors that C code raised
    place = f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
    return (
        f"The sync failed with {type(cause).__name__}{place} while it {action}. Run it again: it "
        f"resumes from the last saved state. If it fails again: {REPORT}"
    )


def full_disk(where: str) -> str:
    return (
        f"There is no space left on the disk {where}. Free some, and run the sync again: it "
        "resumes from the last saved state."
    )


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what it was raised from."""
    seen: set[int] = set()
    while error and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def find(error: BaseException, kind: type[_Error]) -> _Error | None:
    """Return the first error of this kind, from the origin on."""
    return next((each for each in reversed(list(chain(error))) if isinstance(each, kind)), None)
