"""The directives of unit files that systemd knows, by section: those of the releases up to 260.

The names are those of `systemd --dump-configuration-items`, and of systemd's manual for releases after that of the host that it
ran on. Which release a host has, only the host can tell: what is unknown to every release is found here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from deployer.config.errors import did_you_mean


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_EXECUTION: Final = _names(
    """
    AmbientCapabilities AppArmorProfile BPFDelegateAttachments BPFDelegateCommands BPFDelegateMaps BPFDelegatePrograms
    BindLogSockets BindPaths BindReadOnlyPaths CPUAffinity CPUSchedulingPolicy CPUSchedulingPriority CPUSchedulingResetOnFork
    CacheDirectory CacheDirectoryAccounting CacheDirectoryMode CacheDirectoryQuota CapabilityBoundingSet ConfigurationDirectory
    ConfigurationDirectoryMode CoredumpFilter DelegateNamespaces DynamicUser Environment EnvironmentFile ExecPaths ExecSearchPath
    ExtensionDirectories ExtensionImagePolicy ExtensionImages Group IOSchedulingClass IOSchedulingPriority IPCNamespacePath
    IgnoreSIGPIPE ImportCredential InaccessibleDirectories InaccessiblePaths KeyringMode LimitAS LimitCORE LimitCPU LimitDATA
    LimitFSIZE LimitLOCKS LimitMEMLOCK LimitMSGQUEUE LimitNICE LimitNOFILE LimitNPROC LimitRSS LimitRTPRIO LimitRTTIME
    LimitSIGPENDING LimitSTACK LoadCredential LoadCredentialEncrypted LockPersonality LogExtraFields LogFilterPatterns
    LogLevelMax LogNamespace LogRateLimitBurst LogRateLimitIntervalSec LogsDirectory LogsDirectoryAccounting LogsDirectoryMode
    LogsDirectoryQuota MemoryDenyWriteExecute MemoryKSM MountAPIVFS MountFlags MountImagePolicy MountImages NUMAMask NUMAPolicy
    NetworkNamespacePath Nice NoExecPaths NoNewPrivileges OOMScoreAdjust PAMName PassEnvironment Personality PrivateBPF
    PrivateDevices PrivateIPC PrivateMounts PrivateNetwork PrivatePIDs PrivateTmp PrivateUsers ProcSubset ProtectClock
    ProtectControlGroups ProtectHome ProtectHostname ProtectKernelLogs ProtectKernelModules ProtectKernelTunables ProtectProc
    ProtectSystem ReadOnlyDirectories ReadOnlyPaths ReadWriteDirectories ReadWritePaths RemoveIPC RestrictAddressFamilies
    RestrictFileSystems RestrictNamespaces RestrictRealtime RestrictSUIDSGID RootDirectory RootEphemeral RootHash
    RootHashSignature RootImage RootImageOptions RootImagePolicy RootVerity RuntimeDirectory RuntimeDirectoryMode
    RuntimeDirectoryPreserve SELinuxContext SecureBits SetCredential SetCredentialEncrypted SetLoginEnvironment SmackProcessLabel
    StandardError StandardInput StandardInputData StandardInputText StandardOutput StateDirectory StateDirectoryAccounting
    StateDirectoryMode StateDirectoryQuota SupplementaryGroups SyslogFacility SyslogIdentifier SyslogLevel SyslogLevelPrefix
    SystemCallArchitectures SystemCallErrorNumber SystemCallFilter SystemCallLog TTYColumns TTYPath TTYReset TTYRows TTYVHangup
    TTYVTDisallocate TemporaryFileSystem TimeoutCleanSec TimeoutSec TimerSlackNSec UMask UnsetEnvironment User UserNamespacePath
    UtmpIdentifier UtmpMode WorkingDirectory
    """
)
"""Of everything that starts processes: systemd.exec(5)."""
_KILLING: Final = _names(
    """
    FinalKillSignal KillMode KillSignal RestartKillSignal SendSIGHUP SendSIGKILL WatchdogSignal
    """
)
"""systemd.kill(5)."""
_RESOURCES: Final = _names(
    """
    AllowedCPUs AllowedMemoryNodes BPFProgram BlockIOAccounting BlockIODeviceWeight BlockIOReadBandwidth BlockIOWeight
    BlockIOWriteBandwidth CPUAccounting CPUQuota CPUQuotaPeriodSec CPUShares CPUWeight CoredumpReceive DefaultMemoryLow
    DefaultMemoryMin DefaultStartupMemoryLow Delegate DelegateSubgroup DeviceAllow DevicePolicy DisableControllers IOAccounting
    IODeviceLatencyTargetSec IODeviceWeight IOReadBandwidthMax IOReadIOPSMax IOWeight IOWriteBandwidthMax IOWriteIOPSMax
    IPAccounting IPAddressAllow IPAddressDeny IPEgressFilterPath IPIngressFilterPath ManagedOOMMemoryPressure
    ManagedOOMMemoryPressureDurationSec ManagedOOMMemoryPressureLimit ManagedOOMPreference ManagedOOMSwap MemoryAccounting
    MemoryHigh MemoryLimit MemoryLow MemoryMax MemoryMin MemoryPressureThresholdSec MemoryPressureWatch MemorySwapMax
    MemoryZSwapMax MemoryZSwapWriteback NFTSet RestrictNetworkInterfaces Slice SocketBindAllow SocketBindDeny StartupAllowedCPUs
    StartupAllowedMemoryNodes StartupBlockIOWeight StartupCPUShares StartupCPUWeight StartupIOWeight StartupMemoryHigh
    StartupMemoryLow StartupMemoryMax StartupMemorySwapMax StartupMemoryZSwapMax TasksAccounting TasksMax
    """
)
"""systemd.resource-control(5)."""
_TESTED: Final = _names(
    """
    ACPower Architecture CPUFeature CPUPressure CPUs Capability ControlGroupController Credential DirectoryNotEmpty Environment
    FileIsExecutable FileNotEmpty Firmware FirstBoot Group Host IOPressure KernelCommandLine KernelModuleLoaded KernelVersion
    Memory MemoryPressure NeedsUpdate OSRelease PathExists PathExistsGlob PathIsDirectory PathIsEncrypted PathIsMountPoint
    PathIsReadWrite PathIsSymbolicLink Security User Version Virtualization
    """
)
"""What `Condition` and `Assert` can stand before, in [Unit]."""
_UNIT: Final = _names(
    """
    After AllowIsolate Before BindTo BindsTo CollectMode Conflicts DefaultDependencies Description Documentation FailureAction
    FailureActionExitStatus IgnoreOnIsolate JobRunningTimeoutSec JobTimeoutAction JobTimeoutRebootArgument JobTimeoutSec
    JoinsNamespaceOf OnFailure OnFailureIsolate OnFailureJobMode OnSuccess OnSuccessJobMode PartOf PropagateReloadFrom
    PropagateReloadTo PropagatesReloadTo PropagatesStopTo RebootArgument RefuseManualStart RefuseManualStop ReloadPropagatedFrom
    Requires RequiresMountsFor RequiresOverridable Requisite RequisiteOverridable SourcePath StartLimitAction StartLimitBurst
    StartLimitInterval StartLimitIntervalSec StopPropagatedFrom StopWhenUnneeded SuccessAction SuccessActionExitStatus
    SurviveFinalKillSignal Upholds Wants WantsMountsFor
    """
)
_INSTALL: Final = _names(
    """
    Alias Also DefaultInstance RequiredBy UpheldBy WantedBy
    """
)
_SERVICE: Final = _names(
    """
    BusName ExecCondition ExecReload ExecReloadPost ExecStart ExecStartPost ExecStartPre ExecStop ExecStopPost ExitType
    FailureAction FileDescriptorStoreMax FileDescriptorStorePreserve GuessMainPID NonBlocking NotifyAccess OOMPolicy OpenFile
    PIDFile PermissionsStartOnly RebootArgument ReloadSignal RemainAfterExit Restart RestartForceExitStatus RestartMaxDelaySec
    RestartMode RestartPreventExitStatus RestartSec RestartSteps RootDirectoryStartOnly RuntimeMaxSec RuntimeRandomizedExtraSec
    Sockets StartLimitAction StartLimitBurst StartLimitInterval SuccessExitStatus TimeoutAbortSec TimeoutStartFailureMode
    TimeoutStartSec TimeoutStopFailureMode TimeoutStopSec Type USBFunctionDescriptors USBFunctionStrings WatchdogSec
    """
)
_SOCKET: Final = _names(
    """
    Accept AcceptFileDescriptors Backlog BindIPv6Only BindToDevice Broadcast DeferAcceptSec DeferTrigger DeferTriggerMaxSec
    DirectoryMode ExecStartPost ExecStartPre ExecStopPost ExecStopPre FileDescriptorName FlushPending FreeBind IPTOS IPTTL
    KeepAlive KeepAliveIntervalSec KeepAliveProbes KeepAliveTimeSec ListenDatagram ListenFIFO ListenMessageQueue ListenNetlink
    ListenSequentialPacket ListenSpecial ListenStream ListenUSBFunction Mark MaxConnections MaxConnectionsPerSource
    MessageQueueMaxMessages MessageQueueMessageSize NoDelay PassCredentials PassFileDescriptorsToExec PassPIDFD PassPacketInfo
    PassSecurity PipeSize PollLimitBurst PollLimitIntervalSec Priority ReceiveBuffer RemoveOnStop ReusePort SELinuxContextFromNet
    SendBuffer Service SmackLabel SmackLabelIPIn SmackLabelIPOut SocketGroup SocketMode SocketProtocol SocketUser Symlinks
    TCPCongestion Timestamping Transparent TriggerLimitBurst TriggerLimitIntervalSec Writable
    """
)
_MOUNT: Final = _names(
    """
    DirectoryMode ForceUnmount LazyUnmount Options ReadWriteOnly SloppyOptions Type What Where
    """
)
_AUTOMOUNT: Final = _names(
    """
    DirectoryMode ExtraOptions TimeoutIdleSec Where
    """
)
_SWAP: Final = _names(
    """
    Options Priority What
    """
)
_TIMER: Final = _names(
    """
    AccuracySec DeferReactivation FixedRandomDelay OnActiveSec OnBootSec OnCalendar OnClockChange OnStartupSec OnTimezoneChange
    OnUnitActiveSec OnUnitInactiveSec Persistent RandomizedDelaySec RandomizedOffsetSec RemainAfterElapse Unit WakeSystem
    """
)
_PATH: Final = _names(
    """
    DirectoryMode DirectoryNotEmpty MakeDirectory PathChanged PathExists PathExistsGlob PathModified TriggerLimitBurst
    TriggerLimitIntervalSec Unit
    """
)
_SLICE: Final = _names(
    """
    ConcurrencyHardMax ConcurrencySoftMax
    """
)
_SCOPE: Final = _names(
    """
    OOMPolicy RuntimeMaxSec RuntimeRandomizedExtraSec TimeoutStopSec
    """
)

_MANAGED: Final = _EXECUTION | _KILLING | _RESOURCES
DIRECTIVES: Final[Mapping[str, frozenset[str]]] = {
    "Unit": _UNIT | {f"{word}{what}" for word in ("Condition", "Assert") for what in _TESTED},
    "Install": _INSTALL,
    "Service": _SERVICE | _MANAGED,
    "Socket": _SOCKET | _MANAGED,
    "Mount": _MOUNT | _MANAGED,
    "Automount": _AUTOMOUNT,
    "Swap": _SWAP | _MANAGED,
    "Timer": _TIMER,
    "Path": _PATH,
    "Slice": _SLICE | _RESOURCES,
    "Scope": _SCOPE | _KILLING | _RESOURCES,
}


def sections_of(unit: str) -> tuple[str, ...]:
    """The sections that a unit's file may have, by the unit's name; a target and a device have none of their own."""
    own = unit.rpartition(".")[2].capitalize()
    return ("Unit", own, "Install") if own in DIRECTIVES else ("Unit", "Install")


def wrong_section(unit: str, section: str) -> str:
    """What to write instead of a section that a unit's file can't have; empty: it can. `X-…` is anybody's."""
    known = sections_of(unit)
    if section in known or section.startswith("X-"):
        return ""
    return did_you_mean(section, known) or f"Its sections are {', '.join(known)}."


def unknown_directive(unit: str, section: str, name: str) -> str:
    """What to write instead of a directive that no systemd knows in a section; empty: one does. `X-…` is anybody's."""
    known = DIRECTIVES.get(section)
    if known is None or name in known or name.startswith("X-"):
        return ""
    elsewhere = [other for other in sections_of(unit) if name in DIRECTIVES[other]]
    if elsewhere == ["Install"]:
        return "Nothing enables units here: say `wanted_by` or `required_by` of the unit."
    if elsewhere:
        return f"It belongs in [{elsewhere[0]}]."
    return did_you_mean(name, known) or (
        "See systemd.directives(7). What only a later systemd knows goes, as text, into the unit's `drop_ins` in `systemd.units`."
    )
