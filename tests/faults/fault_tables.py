"""The tables of the guide on faults, from the catalogue.

python tests/faults/fault_tables.py prints them, to be pasted into docs/how-to/inject-faults.md.
"""

from dataclasses import fields, is_dataclass
from enum import Enum

from beluga_voice.testing.faults.catalogue import RECIPES
from beluga_voice.testing.faults.troubles import TROUBLES


def troubles():
    """What troubles voice agents, and what makes it."""
    yield "| | trouble | made with | how | cannot be made, and why |"
    yield "| --- | --- | --- | --- | --- |"
    for one in TROUBLES:
        names = ", ".join(f"`{name}`" for name in one.recipes)
        how = "; ".join(part for part in (names, one.how) if part)
        made = ", ".join(one.by) or "nothing"
        yield f"| {one.number} | {one.text} | {made} | {how} | {one.missing} |"


def recipes():
    """The faults that are ready to strike."""
    yield "| name | what goes wrong | declared as | for |"
    yield "| --- | --- | --- | --- |"
    for one in RECIPES:
        kinds = ", ".join(sorted(one.kinds))
        yield f"| `{one.name}` | {one.does} | `{shown(one.fault)}` | {kinds} |"


def shown(value):
    """As one would write it: of data, what differs from its defaults."""
    if isinstance(value, Enum):
        name = f"{type(value).__name__}.{value.name}"
        return name.removeprefix("DirectionName.")
    if isinstance(value, float):
        return f"{value:.3g}"
    if not is_dataclass(value):
        return repr(value)
    plain = type(value)()
    told = [
        f"{one.name}={shown(getattr(value, one.name))}"
        for one in fields(value)
        if getattr(value, one.name) != getattr(plain, one.name)
    ]
    return f"{type(value).__name__}({', '.join(told)})"


if __name__ == "__main__":
    print("\n".join(recipes()), "\n".join(troubles()), sep="\n\n")
