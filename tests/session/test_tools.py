"""Functions as tools: what a model is told of them, and what comes of calling them."""

import asyncio
import json
from dataclasses import dataclass
from typing import Literal

import pytest

from beluga_voice.errors import ConfigurationError, ToolFailed
from beluga_voice.events import ToolSpec
from beluga_voice.interfaces import Tool
from beluga_voice.session.tools import MAX_OUTPUT, run_tool, tool, tools_of
from beluga_voice.testing.loop import simulate


@dataclass
class Place:
    """A place on a map."""

    name: str
    height: float = 0.0


def weather(city: str, days: int = 3, exact: bool = False) -> str:
    """The weather to come.

    Of any city.
    """
    return f"{city} {days} {exact}"


def schema(function):
    return json.loads(tool(function).spec.parameters)


def test_a_function_is_described_by_its_name_docstring_and_types():
    """The model sees the name, the whole docstring, and a schema with defaults."""
    spec = tool(weather).spec
    assert spec.name == "weather"
    assert spec.description == "The weather to come.\n\nOf any city."
    assert json.loads(spec.parameters) == {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer", "default": 3},
            "exact": {"type": "boolean", "default": False},
        },
        "required": ["city"],
        "additionalProperties": False,
    }


def test_a_function_without_docstring_or_parameters_is_a_tool():
    """Its name describes it, and its schema is an empty object."""

    def ping():
        return "pong"

    made = tool(ping)
    assert made.spec.description == "ping"
    assert json.loads(made.spec.parameters)["properties"] == {}
    assert run(made, "") == "pong"
    assert run(made, "{}") == "pong"


def test_unions_lists_choices_and_dataclasses_have_their_schema():
    """Types of any depth are told to the model."""

    def plan(
        stops: list[str],
        mode: Literal["walk", "ride"],
        budget: float | None = None,
        start: Place | None = None,
        codes: tuple[int, ...] = (),
    ) -> str:
        return "ok"

    made = schema(plan)
    found = made["properties"]
    assert found["stops"] == {"type": "array", "items": {"type": "string"}}
    assert found["mode"] == {"enum": ["ride", "walk"]}
    assert {one["type"] for one in found["budget"]["anyOf"]} == {"number", "null"}
    assert found["codes"]["items"] == {"type": "integer"}
    assert {"$ref": "#/$defs/Place"} in found["start"]["anyOf"]
    assert made["$defs"]["Place"]["properties"]["name"] == {"type": "string"}
    assert made["required"] == ["stops", "mode"]


def test_a_dataclass_that_the_model_wrote_comes_as_one():
    """Nested objects are given to the function as the types it asks for."""

    def climb(place: Place, others: list[Place]) -> float:
        """How high."""
        assert isinstance(place, Place)
        return place.height + sum(one.height for one in others)

    arguments = '{"place":{"name":"a","height":2.5},"others":[{"name":"b","height":1}]}'
    assert run(tool(climb), arguments) == "3.5"


def untyped(city):
    return city


def starred(*cities: str):
    return cities


def double_starred(**cities: str):
    return cities


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (untyped, "needs a type for its parameter 'city'"),
        (starred, r"may not take \*args or \*\*kwargs"),
        (double_starred, r"may not take \*args or \*\*kwargs"),
    ],
)
def test_a_function_that_cannot_be_described_is_refused(function, told):
    """The error names the function and what is missing."""
    with pytest.raises(ConfigurationError, match=f"the tool '{function.__name__}' {told}"):
        tool(function)


def test_a_type_that_json_has_not_is_refused():
    """A parameter of a foreign type is a setting to correct, not a crash."""

    def odd(loop: asyncio.AbstractEventLoop) -> str:
        return "never"

    with pytest.raises(ConfigurationError, match="the tool 'odd'"):
        tool(odd)


def test_two_tools_of_one_name_are_refused():
    """A session's tools have different names."""
    assert list(tools_of([weather, tool(weather_now)])) == ["weather", "weather_now"]
    with pytest.raises(ConfigurationError, match="two tools are named 'weather'"):
        tools_of([weather, tool(weather)])


async def weather_now(city: str) -> dict[str, object]:
    """The weather now."""
    await asyncio.sleep(0.5)
    return {"city": city, "degrees": 21.5}


class Counter:
    """Counts its calls."""

    def __init__(self):
        self.count = 0

    def up(self, by: int = 1) -> int:
        """Count."""
        self.count += by
        return self.count


def run(one, arguments):
    return simulate(run_tool(one, arguments))


def test_plain_functions_coroutines_and_methods_run():
    """Text is given as it is, and anything else as JSON."""
    assert run(tool(weather), '{"city":"Ulm"}') == "Ulm 3 False"
    assert run(tool(weather), '{"city":"Ulm","exact":true,"days":1}') == "Ulm 1 True"
    assert json.loads(run(tool(weather_now), '{"city":"Ulm"}')) == {"city": "Ulm", "degrees": 21.5}
    counter = Counter()
    one = tool(counter.up)
    assert [run(one, '{"by":2}'), run(one, "{}")] == ["2", "3"]


def test_a_default_that_can_be_changed_is_not_shared():
    """Each call starts with the default as it was written."""

    def collect(item: str, items: list[str] = []) -> list[str]:  # noqa: B006
        items.append(item)
        return items

    one = tool(collect)
    assert [run(one, '{"item":"a"}'), run(one, '{"item":"b"}')] == ['["a"]', '["b"]']


@pytest.mark.parametrize(
    "arguments",
    ["[]", "null", '{"town":"Ulm"}', "{}", '{"city":7}', '{"city":"Ulm","days":"two"}'],
)
def test_wrong_arguments_are_told_to_the_model(arguments):
    """What does not fit the schema never reaches the function; the message says what is wrong."""
    with pytest.raises(ToolFailed, match="wrong arguments for 'weather'"):
        run(tool(weather), arguments)


def test_arguments_that_are_no_json_are_told_as_such():
    """A model that writes half an object is told so."""
    with pytest.raises(ToolFailed, match="'weather' failed: its arguments are not JSON"):
        run(tool(weather), '{"city":')


def test_a_failure_tells_its_kind_and_nothing_private():
    """The message names the exception, not its text, and the cause is kept."""

    def leak() -> str:
        raise RuntimeError("secret words")

    with pytest.raises(ToolFailed, match="the tool 'leak' failed: RuntimeError") as caught:
        run(tool(leak), "{}")
    assert "secret" not in str(caught.value)
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_a_timeout_inside_a_tool_is_not_its_own():
    """A tool whose own request timed out failed; it did not take too long."""

    async def ask() -> str:
        raise TimeoutError("the other side")

    with pytest.raises(ToolFailed, match="the tool 'ask' failed: TimeoutError"):
        run(tool(ask), "{}")


def test_a_result_that_json_has_not_is_a_failure():
    """What cannot be sent is told, not sent."""

    def give() -> object:
        return object()

    with pytest.raises(ToolFailed, match="'give' failed"):
        run(tool(give), "{}")


def test_a_slow_tool_is_ended_at_its_limit():
    """A tool over its time is cancelled at that very moment."""
    ended = []

    async def slow() -> str:
        try:
            await asyncio.sleep(100)
        finally:
            ended.append(asyncio.get_running_loop().time())
        return "late"

    with pytest.raises(ToolFailed, match=r"'slow' took longer than 2\.5 s"):
        run(tool(slow, timeout_seconds=2.5), "{}")
    assert ended == [2.5]


def test_a_result_has_a_limit():
    """Exactly the limit passes, and one more does not."""

    def many(count: int) -> str:
        return "x" * count

    assert len(run(tool(many), f'{{"count":{MAX_OUTPUT}}}')) == MAX_OUTPUT
    with pytest.raises(ToolFailed, match=f"gave {MAX_OUTPUT + 1} characters"):
        run(tool(many), f'{{"count":{MAX_OUTPUT + 1}}}')


def test_a_tool_made_by_hand_runs_like_any():
    """A spec of one's own and a function are enough."""
    spec = ToolSpec(name="w", description="d", parameters='{"type":"object"}')
    assert run(Tool(spec=spec, function=weather), '{"city":"Bonn"}') == "Bonn 3 False"
