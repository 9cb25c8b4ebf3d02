"""What a tag of YAML says of the value behind it: how much it weighs, and where a list goes among others."""

from __future__ import annotations

import re
from typing import Final

from deployer.config.definitions import AFTER, BEFORE, DEFAULT, FORCE, Weight
from deployer.config.errors import did_you_mean
from deployer.errors import DeployerError, Place
from deployer.yaml_source import YamlRefused

HIGHEST: Final = 9999
"""The weakest priority, and the last order."""
_PRIORITIES: Final = {"force": FORCE, "default": DEFAULT}
_ORDERS: Final = {"before": BEFORE, "after": AFTER}
_WORDS: Final = (*_PRIORITIES, *_ORDERS, "priority", "order")
SHOWN: Final = "!force, !default, !priority:NUMBER, !before, !after, !order:NUMBER, and two of them as in !force+before"


def weight_of(tag: str, place: Place, errors: list[DeployerError]) -> Weight:
    """What a tag such as `!force`, `!priority:70` or `!force+before` says. What it can't mean is noted, and says nothing."""
    priority: int | None = None
    order: int | None = None
    for part in tag.removeprefix("!").split("+"):
        word, colon, written = part.partition(":")
        number = int(written) if re.fullmatch("[0-9]{1,4}", written) else None
        if word not in _WORDS:
            near = did_you_mean(f"!{word}", [f"!{one}" for one in _WORDS]) or f"Tags are {SHOWN}."
            errors.append(YamlRefused(place, f"the tag {tag} has no meaning here", near))
            return Weight()
        if word in ("priority", "order") and number is None:
            advice = f"Write a whole number from 0 to {HIGHEST}: !{word}:70."
            errors.append(YamlRefused(place, f"the tag {tag} lacks its number", advice))
            return Weight()
        if word not in ("priority", "order") and colon:
            kind = "priority" if word in _PRIORITIES else "order"
            errors.append(YamlRefused(place, f"the tag {tag}: !{word} takes no number", f"Write !{word}, or !{kind}:{written}."))
            return Weight()
        if word in _ORDERS or word == "order":
            twice, order = order is not None, _ORDERS.get(word, number)
        else:
            twice, priority = priority is not None, _PRIORITIES.get(word, number)
        if twice:
            what = "places in a list" if word in _ORDERS or word == "order" else "priorities"
            errors.append(YamlRefused(place, f"the tag {tag} says two {what}", "Keep one of them."))
            return Weight()
    return Weight(priority, order)
