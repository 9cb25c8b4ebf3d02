"""How long an activation may take."""

from deployer.config import Field, Module, Submodule, types

module = Module("activation", "How long an activation may take before the host goes back, and what a restart in between means.")

module.option(
    "activation",
    Submodule(
        {
            "unit_timeout": Field(types.seconds, "Seconds for one job of systemd's.", 90.0),
            "check_deadline": Field(types.seconds, "Seconds until all checks must be green.", 60.0),
            "min_healthy_time": Field(types.seconds, "Seconds for which they must stay green.", 0.0),
            "confirm_timeout": Field(
                types.seconds, "Seconds until the controller must have confirmed over a fresh connection.", 30.0
            ),
            "boot_timeout": Field(types.seconds, "Seconds until a host that boots into a change must have come up.", 300.0),
            "on_reboot": Field(
                types.enumeration("roll-back", "confirm-again"),
                "What becomes of a change that was not confirmed yet when the host is restarted: it goes back before the network "
                "is up, or it boots into the change once, and is checked and confirmed anew. A restart in the middle of the "
                "switch, and a second one, always go back.",
                "roll-back",
            ),
        },
        "a mapping of times in seconds, and of what a restart means",
    ),
    "How long an activation may take before the host goes back by itself.",
    default={},
    example={"check_deadline": 20},
)
