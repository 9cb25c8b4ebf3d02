"""What a build has made, looked through before anything of it is read or changed: much has no place in a store."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import Dict, Optional, Tuple

from deployer.formats.nar import MAX_DEPTH


@dataclass(frozen=True)
class Unfit:
    """Why an output is refused."""

    place: str
    """Below the output, with a slash; empty for itself."""
    reason: str


def look_through(top: str) -> Optional[Unfit]:
    """What has no place in a store, if there is anything. Afterwards all of it can be read by us."""
    status = os.lstat(top)
    if not stat.S_ISLNK(status.st_mode) and status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return Unfit("", "others than its builder may write to it")
    links: Dict[Tuple[int, int], Tuple[int, int, str]] = {}
    todo = [(top, 0)]
    while todo:
        path, depth = todo.pop()
        place = path[len(top) :]
        status = os.lstat(path)
        if status.st_uid != os.geteuid():
            return Unfit(place, f"it belongs to user {status.st_uid}, who did not build it")
        if stat.S_ISDIR(status.st_mode):
            if depth >= MAX_DEPTH:
                return Unfit(place, f"it is nested deeper than {MAX_DEPTH}")
            os.chmod(path, 0o700)
            try:
                todo.extend((os.path.join(path, name), depth + 1) for name in os.listdir(path))
            except OSError as error:
                return Unfit(place, error.strerror or str(error))
        elif not (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)):
            return Unfit(place, "it is neither a file, nor a directory, nor a link")
        else:
            if stat.S_ISREG(status.st_mode) and not status.st_mode & stat.S_IRUSR:
                os.chmod(path, stat.S_IMODE(status.st_mode) | stat.S_IRUSR)
            if status.st_nlink > 1:
                count = links.get((status.st_dev, status.st_ino), (0, 0, ""))[0]
                links[status.st_dev, status.st_ino] = (count + 1, status.st_nlink, place)
    for count, total, place in links.values():
        if count < total:
            return Unfit(place, "it is a hard link to a file that is not in the output")
    return None
