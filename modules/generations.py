"""Which generations a host keeps."""

from deployer.config import Field, Module, Submodule, types

module = Module("generations", "Which generations a host keeps, to return to.")

module.option(
    "generations",
    Submodule(
        {
            "keep": Field(types.integer(1), "So many of the newest are kept.", 10),
            "keep_for": Field(types.duration, "And all that were in use within this time, such as '30d'.", 0.0),
        },
        "a mapping of a count and a time",
    ),
    "Which generations a host keeps. All others go after the next deploy, and their space with them. What is current, booted,"
    " last confirmed, pinned, or recorded to return to stays in any case.",
    default={},
    example={"keep": 5, "keep_for": "30d"},
)
