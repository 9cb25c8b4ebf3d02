"""What a module's own code raised, in words, and the line of the module on which that was."""

from __future__ import annotations

from deployer.errors import Place


class NoSuchOption(KeyError):
    """A module read an option that nothing declares. A `KeyError`, so that `in` answers as for any mapping."""

    def __str__(self) -> str:
        """In a sentence."""
        return str(self.args[0])


def reason_of(error: Exception) -> str:
    """In words."""
    match error:
        case NoSuchOption():
            return str(error)
        case SyntaxError():
            return f"{type(error).__name__}: {error.msg}"
    return f"{type(error).__name__}: {error}"


def place_of_failure(error: Exception, file: str, otherwise: Place) -> Place:
    """The innermost line of `file` that the exception passed through."""
    if isinstance(error, SyntaxError) and error.filename == file and error.lineno:
        return Place(file, error.lineno, error.offset or 0)
    place, step = otherwise, error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == file:
            place = Place(file, step.tb_lineno)
        step = step.tb_next
    return place
