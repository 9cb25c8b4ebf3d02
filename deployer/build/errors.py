"""What can go wrong while something is built; `source_errors` has what can while it is fetched or unpacked.

DeploymentError
├── BuildFailed            a build script ended with a status other than 0
├── BuildTimedOut          … ran for too long, or was silent for too long
├── LogTooLong             … printed more than the limit
├── OutputMissing          … ended well and made no output
├── OutputRefused          … made something that has no place in a store
├── OutputsDiffer          a second build made something else
├── NothingToCheck         a second build was asked for, and there was no first
├── DependencyFailed       was not tried, because something that it needs failed
├── NoSlotForBuilds        nothing may be built here, and nothing else builds it
├── InputMissing           an input is neither valid nor can be built
├── HashMismatch           what was fetched or made is not what the package pins
├── ReferenceRefused       an output refers to what it may not
├── AttributeRefused       a derivation says something of itself that makes no sense
└── BuilderUnknown         a derivation asks for a builder, a system or a feature that we do not have
"""

from __future__ import annotations

from deployer.errors import DeploymentError, Place


class EndedBadly(DeploymentError):
    """A build that began and came to nothing."""

    kept = ""
    """Where its build directory is, if it was to be kept."""

    def advice(self, sentence: str) -> str:
        """A remedy that names the directory."""
        return f"{sentence} Its build directory is kept: {self.kept}" if self.kept else sentence


class BuildFailed(EndedBadly):
    """A build ended badly."""

    derivation: str
    status: int
    log_tail: tuple[str, ...]

    @property
    def message(self) -> str:
        """Which build, how it ended, and its last words."""
        ending = f"was killed by signal {-self.status}" if self.status < 0 else f"ended with status {self.status}"
        return "\n".join([f"the build of {self.derivation} {ending}", *(f"    {line}" for line in self.log_tail)])

    @property
    def remedy(self) -> str:
        """Where the whole log is."""
        return self.advice(_read_log(self.derivation))


class BuildTimedOut(EndedBadly):
    """A build was stopped by the clock."""

    derivation: str
    seconds: float
    silent: bool

    @property
    def message(self) -> str:
        """Which build, and which limit."""
        what = "printed nothing for" if self.silent else "did not end within"
        return f"the build of {self.derivation} {what} {self.seconds:g} s and was killed"

    @property
    def remedy(self) -> str:
        """What to change."""
        setting = "silence_timeout" if self.silent else "timeout"
        return self.advice(f"{_read_log(self.derivation)} Or allow more with the build setting {setting}.")


class LogTooLong(EndedBadly):
    """A build printed more than may be kept."""

    derivation: str
    limit: int

    @property
    def message(self) -> str:
        """Which build, and the limit."""
        return f"the build of {self.derivation} printed more than {self.limit} bytes and was killed"

    @property
    def remedy(self) -> str:
        """What to change."""
        return self.advice("Make the build print less, or raise the build setting log_limit.")


class OutputMissing(EndedBadly):
    """A build said that it ended well, and made nothing."""

    derivation: str
    output: str

    @property
    def message(self) -> str:
        """Which output."""
        return f"the build of {self.derivation} ended well, but did not make its output {self.output}"

    @property
    def remedy(self) -> str:
        """What a script must do."""
        return self.advice(f'Let the script create "${self.output}": a file, a link or a directory.')


class OutputRefused(EndedBadly):
    """A build made something that has no place in a store."""

    derivation: str
    path: str
    reason: str

    @property
    def message(self) -> str:
        """What, and why not."""
        return f"{self.path} is refused: {self.reason}"

    @property
    def remedy(self) -> str:
        """What to change."""
        return self.advice("Let the build script make something else.")


class OutputsDiffer(DeploymentError):
    """A second build made something else than the first."""

    derivation: str
    output: str
    kept: str
    differences: tuple[str, ...]

    @property
    def message(self) -> str:
        """What differs, and in what."""
        return "\n".join([f"{self.output} is not reproducible: a second build made other bytes", *self.differences])

    @property
    def remedy(self) -> str:
        """Where to look."""
        return f"Compare it with {self.kept}; times, host names, random numbers and orders of files are the usual causes."


class NothingToCheck(DeploymentError):
    """A second build was asked for, and there was no first."""

    derivation: str
    outputs: tuple[str, ...]

    @property
    def message(self) -> str:
        """Which outputs are not there."""
        return f"{self.derivation} cannot be checked: it was not built yet ({', '.join(self.outputs)})"

    @property
    def remedy(self) -> str:
        """What to do first."""
        return "Build it first, without the check."


def _read_log(derivation: str) -> str:
    return f"Read the whole log with 'deployer store log {derivation}'."


class DependencyFailed(DeploymentError):
    """Something was not built, because what it needs failed."""

    derivation: str
    failed: str

    @property
    def message(self) -> str:
        """What, and because of what."""
        return f"{self.derivation} was not built: it needs {self.failed}, which failed"


class NoSlotForBuilds(DeploymentError):
    """Something is to be built, and there is no slot for it."""

    left: int

    @property
    def message(self) -> str:
        """How much is to be done."""
        return f"of {self.left} derivations none may be built: there are no jobs for builds"

    @property
    def remedy(self) -> str:
        """What to change."""
        return "Allow builds here with --jobs 1 or more, or name a builder that can with --builder."


class InputMissing(DeploymentError):
    """An input is not in the store and no derivation makes it."""

    derivation: str
    path: str

    @property
    def message(self) -> str:
        """What is missing, and for whom."""
        return f"{self.derivation} needs {self.path}, which is not in the store"

    @property
    def remedy(self) -> str:
        """How to get it."""
        return "Evaluate again, so that sources and derivations are written anew; or copy the path from a binary cache."


class HashMismatch(DeploymentError):
    """What was fetched or made is not what the package pins."""

    what: str
    expected: str
    found: str
    place: Place | None = None

    @property
    def message(self) -> str:
        """Both hashes, one below the other."""
        return f"the hash of {self.what} is not the pinned one\n    pinned: {self.expected}\n    found:  {self.found}"

    @property
    def remedy(self) -> str:
        """What to do with the two."""
        where = f" in {self.place}" if self.place else ""
        return f"If you trust what was found, write its hash{where}. If not, somebody changed the file: do not use it."


class ReferenceRefused(EndedBadly):
    """An output refers to what its derivation does not allow."""

    output: str
    references: tuple[str, ...]
    attribute: str

    @property
    def message(self) -> str:
        """The output and what it refers to."""
        return f"{self.output} may not refer to {', '.join(self.references)}: its {self.attribute} forbids it"

    @property
    def remedy(self) -> str:
        """How to find out more."""
        return self.advice("Look for the name in the output's files, and take it out or allow it.")


class AttributeRefused(DeploymentError):
    """A derivation's attribute makes no sense."""

    derivation: str
    attribute: str
    reason: str

    @property
    def message(self) -> str:
        """Which, and why."""
        return f"{self.derivation}: its attribute {self.attribute} {self.reason}"


class BuilderUnknown(DeploymentError):
    """A derivation names a builtin builder, a system or a feature that we do not have."""

    derivation: str
    builder: str
    features: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        """Which."""
        features = f" with {', '.join(self.features)}" if self.features else ""
        return f"{self.derivation} cannot be built here: nothing here is {self.builder!r}{features}"

    @property
    def remedy(self) -> str:
        """Where it could be built."""
        if self.builder.startswith("builtin"):
            return ""
        wanted = "&".join([f"system={self.builder}", *(f"feature={feature}" for feature in self.features)])
        return f"Let another machine build it, or a Nix that can: --builder 'ssh://HOST?{wanted}', --builder 'nix?{wanted}'."
