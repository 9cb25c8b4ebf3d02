"""What virtual machines boot: Debian with a kernel, on an ext4 file system. Built once, and kept beside the lab's bases."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deployer.lab import Base, ensure_base
from deployer.lab.bases import WITH_KERNEL, WITH_SELINUX
from deployer.lab.disks import make_key, personalise
from deployer.lab.emulator import emulated
from deployer.process import run
from tests.machines.machine import NAME

_ADDRESS: Final = "10.0.2.15"
"""In the network that qemu makes for one machine alone."""
_SIZE: Final = "3G"
_SECONDS: Final = 900.0
_MODULES: Final = "virtio_pci virtio_blk virtio_net virtio_rng"
_FILES: Final = {
    "etc/machine-id": f"{1:032x}\n",
    **dict.fromkeys(("etc/.updated", "var/.updated"), "TIMESTAMP_NSEC=4102444800000000000\n"),
    "etc/fstab": "/dev/vda / ext4 defaults 0 0\n",
    "etc/initramfs-tools/initramfs.conf": "MODULES=list\nCOMPRESS=zstd\nRUNSIZE=10%\n",
    "etc/initramfs-tools/modules": _MODULES.replace(" ", "\n") + "\n",
    "etc/systemd/system/wired.service": f"""\
[Unit]
DefaultDependencies=no
After=systemd-remount-fs.service
Before=network.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/sbin/ip link set eth0 up
ExecStart=/sbin/ip address add {_ADDRESS}/24 dev eth0
[Install]
WantedBy=multi-user.target
""",
}
FOR_VIRTUAL_MACHINES: Final = ("etc/fstab", "etc/systemd/system/multi-user.target.wants/wired.service")
"""Files of no use elsewhere."""
_WANTED: Final = "etc/systemd/system/multi-user.target.wants/wired.service"
_MASKED: Final = (
    *("systemd-udevd.service", "systemd-udevd-control.socket", "systemd-udevd-kernel.socket", "systemd-udev-trigger.service"),
    *("getty@tty1.service", "serial-getty@ttyS0.service", "modprobe@.service", "kmod-static-nodes.service"),
    *("systemd-binfmt.service", "proc-sys-fs-binfmt_misc.automount", "dev-hugepages.mount", "dev-mqueue.mount"),
    *("sys-kernel-debug.mount", "sys-kernel-tracing.mount", "sys-fs-fuse-connections.mount", "e2scrub_reap.service"),
    *("systemd-modules-load.service", "systemd-pstore.service", "systemd-timesyncd.service"),
)
"""What looks for hardware, and all else that a machine of few devices does not need: emulated, it takes most of a boot."""
_FIRST: Final = f"""\
#!/bin/sh
export PATH=/sbin:/usr/sbin:/bin:/usr/bin
mkdir -p /proc /sys /dev /root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
modprobe -a {_MODULES}
mount -t ext4 -o ro /dev/vda /root
for place in proc sys dev; do mount -n -o move /$place /root/$place; done
exec run-init /root /sbin/init
"""
"""The first process: it knows what devices there are, and looks for none."""
FIRST: Final = "/first"
_LABELS: Final = ("setfiles", "-F", "/etc/selinux/default/contexts/files/file_contexts", "/")
"""What an installer does where SELinux is to be on. Labels are attributes of files like others: they come along to the disk."""


@dataclass(frozen=True)
class Image:
    """A disk that nobody writes to, the kernel that boots it, and the key that may log in as root."""

    directory: Path
    architecture: str = ""
    """As Debian names it; empty: this machine's."""

    @property
    def disk(self) -> Path:
        """Its file system, raw."""
        return self.directory / "disk"

    @property
    def kernel(self) -> Path:
        """Linux."""
        return self.directory / "vmlinuz"

    @property
    def initrd(self) -> Path:
        """What Linux mounts first."""
        return self.directory / "initrd"

    @property
    def key(self) -> Path:
        """The private key that may log in."""
        return self.directory / "key"

    @property
    def host_key(self) -> str:
        """The public key that the machine shows."""
        return (self.directory / "host-key.pub").read_text(encoding="utf-8").strip()


async def ensure_image(variant: str = WITH_KERNEL, architecture: str = "") -> Image:
    """The image of a base that has a kernel, built first where it is not in the cache.

    Raises what `ensure_base` raises, and `ProgramFailed`.
    """
    tree = await ensure_base(Base("bookworm", variant, architecture))
    recipe = repr((_SIZE, _FILES, _MASKED, _FIRST, _LABELS))
    digest = hashlib.sha256(recipe.encode()).hexdigest()[:8]
    image = Image(tree.with_name(f"{tree.name}-image-{digest}"), architecture)
    descriptor = os.open(image.directory.with_suffix(".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        await asyncio.to_thread(fcntl.flock, descriptor, fcntl.LOCK_EX)
        if not image.directory.is_dir():
            await _build(tree, image, variant)
    finally:
        os.close(descriptor)
    return image


async def _build(tree: Path, image: Image, variant: str) -> None:
    half = image.directory.with_suffix(".half")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(mode=0o700)
    await make_key(half / "key", "of tests")
    await make_key(half / "host-key", NAME)
    root = half / "root"
    await run(["cp", "--archive", tree, root], timeout=_SECONDS)
    authorized = (half / "key.pub").read_text(encoding="utf-8")
    personalise(root, name=NAME, address=_ADDRESS, authorized_key=authorized, host_key=half / "host-key")
    for path, text in _FILES.items():
        (root / path).write_text(text, encoding="utf-8")
    (root / _WANTED).symlink_to("../wired.service")
    for unit in _MASKED:
        (root / "etc/systemd/system" / unit).unlink(missing_ok=True)
        (root / "etc/systemd/system" / unit).symlink_to("/dev/null")
    (kernel,) = (root / "boot").glob("vmlinuz-*")
    shutil.copy(kernel, half / "vmlinuz")
    async with emulated(image.architecture) if image.architecture else contextlib.nullcontext():
        await run(["chroot", root, "mkinitramfs", "-o", "/boot/small", kernel.name.removeprefix("vmlinuz-")], timeout=_SECONDS)
    (half / "initrd").write_bytes(_archive(FIRST[1:], _FIRST.encode()) + (root / "boot/small").read_bytes())
    if variant == WITH_SELINUX:
        proc = f"--mount-proc={root / 'proc'}"
        await run(["unshare", "--mount", "--pid", "--fork", proc, "chroot", root, *_LABELS], timeout=_SECONDS)
    await run(["truncate", f"--size={_SIZE}", half / "disk"])
    options = "lazy_itable_init=0,lazy_journal_init=0"
    await run(["mkfs.ext4", "-q", "-E", options, "-d", root, half / "disk"], timeout=_SECONDS)
    shutil.rmtree(root)
    half.rename(image.directory)


def _archive(name: str, content: bytes) -> bytes:
    """One program as the kernel takes it besides what is there already (cpio, `newc`)."""
    archive = b""
    for path, mode, data in ((name, 0o100755, content), ("TRAILER!!!", 0, b"")):
        fields = (0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path) + 1, 0)
        header = b"070701" + b"".join(b"%08x" % field for field in fields) + path.encode() + b"\0"
        archive += header + b"\0" * (-len(header) % 4) + data + b"\0" * (-len(data) % 4)
    return archive
