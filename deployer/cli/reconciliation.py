"""What `drift` and `reconcile` share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from deployer.cli.connections import Connections
from deployer.cli.display import Display
from deployer.cli.project import Project, controller_name
from deployer.drift import DriftReport, Policy, Verdict, reconcile
from deployer.drift.live import LiveDriftOperations
from deployer.errors import ExitCode
from deployer.history import HostOutcome
from deployer.inventory import Host
from deployer.ui import drift_table


async def reconcile_hosts(
    project: Project,
    hosts: Sequence[Host],
    display: Display,
    overrides: Mapping[str, object],
    *,
    repair: bool,
    default: str = "report",
) -> tuple[DriftReport, ...]:
    """Observe every host, and repair where that is wanted and the host's policy says so."""
    policies = {host.name: Policy.parse(host.vars.get("drift", default), overrides, place=host.place) for host in hosts}
    operations = LiveDriftOperations(Connections(project, hosts), controller_name())
    try:
        return await reconcile(policies, operations, project.history, display.emit, repair=repair)
    finally:
        display.close()


def show_reports(project: Project, reports: Sequence[DriftReport], display: Display) -> int:
    """Show what was found and done. Returns the exit code."""
    codes = [ExitCode.DONE]
    if project.settings.as_json:
        for report in reports:
            display.data(report.to_json())
    else:
        asked = {report.host: report.items for report in reports if report.decision is not None}
        if asked:
            display.text(drift_table(asked, display.paint).rstrip("\n"))
    for report in reports:
        if report.error is not None and not project.settings.as_json:
            display.error(report.error)
        elif report.repaired is not None:
            display.say(f"{report.host}: {_outcome(report)}")
        elif report.decision is not None and report.decision.verdict in {Verdict.BACK_OFF, Verdict.FLAPPING}:
            targets = ", ".join(item.target for item in report.decision.because)
            display.say(f"{report.host}: left alone, because {targets} keeps coming back ({report.decision.verdict})")
        codes.append(_code(report))
    return int(max(codes))


def _outcome(report: DriftReport) -> str:
    repaired = report.repaired
    if repaired is None or repaired.outcome in {HostOutcome.CONFIRMED, HostOutcome.UNCHANGED}:
        return "repaired"
    return f"not repaired: {repaired.reason or repaired.outcome}"


def _code(report: DriftReport) -> ExitCode:
    if report.is_clean:
        return ExitCode.DONE
    if report.error is not None:
        return report.error.exit_code
    grave = report.repaired is not None and report.repaired.outcome is HostOutcome.NEEDS_PERSON
    return ExitCode.NEEDS_PERSON if grave else ExitCode.FAILED
