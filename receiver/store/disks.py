"""How much room is left on the disks of our files."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from receiver.core.system_state import DISK_FLOOR, Disk
from receiver.store.backup import database_file


def read_disks(database_url: str) -> tuple[Disk, ...]:
    """The disk of the database, where it is a file, and of temporary files; what cannot be read is left out."""
    file = database_file(database_url)
    return tuple(_each_once(file and file.resolve().parent, Path(tempfile.gettempdir())))


def _each_once(database: Path | None, temporary: Path) -> Iterator[Disk]:
    devices: set[int] = set()
    # Temporary files are small, and may be on a small disk in memory.
    for what, folder, floor in (("database", database, DISK_FLOOR), ("temporary files", temporary, 0)):
        if folder is None:
            continue
        try:
            device, usage = folder.stat().st_dev, shutil.disk_usage(folder)
        except OSError:
            continue
        if device not in devices:
            devices.add(device)
            yield Disk(what=what, free=usage.free, size=usage.total, floor=floor)
