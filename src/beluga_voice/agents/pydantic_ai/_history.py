"""What was said in a session, as the messages of a model.

How it works. Messages of a model alternate: requests hold what the person said, notes, and results
of tools; responses hold the agent's words and its calls of tools. A session says it flat, and with
the words of a response where the response began, although they may tell what a tool found that was
called meanwhile; such calls come first here, as a model would have made them.
"""

from collections.abc import Iterable, Iterator, Sequence

from pydantic_ai import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from beluga_voice.events import HistoryItem, Message, Role, ToolResult, ToolUse
from beluga_voice.interfaces import AgentTurn

SILENCE = "(The person said nothing that was understood.)"
"""What a model is told where an answer is wanted to no words: an empty message is refused."""

NO_RESULT = "The result is not known: the call was interrupted, or still runs."

type _Part = SystemPromptPart | UserPromptPart | ToolReturnPart | TextPart | ToolCallPart


def run_input(turn: AgentTurn) -> tuple[list[ModelMessage], str | None]:
    """The messages before a run, and its prompt.

    There is no prompt where tools ran for what the person said already: then the last message holds
    both the words and the results.
    """
    messages = _messages(_parts(_with_words(turn.history, turn.text or SILENCE)))
    last = messages[-1].parts
    if len(last) == 1 and isinstance(prompt := last[0], UserPromptPart):
        return messages[:-1], str(prompt.content)
    return messages, None


def _with_words(history: Sequence[HistoryItem], text: str) -> list[HistoryItem]:
    """The history, with all that is to be answered now in one place: where it began."""
    answered = [at for at, item in enumerate(history) if _is_from(item, Role.AGENT)]
    start = answered[-1] + 1 if answered else 0
    rest = history[start:]
    first = next((at for at, item in enumerate(rest) if _is_from(item, Role.USER)), len(rest))
    after = [item for item in rest[first:] if not _is_from(item, Role.USER)]
    return [*history[:start], *rest[:first], Message(role=Role.USER, text=text), *after]


def _parts(history: Iterable[HistoryItem]) -> Iterator[_Part]:
    """Each item as a part. A call without a result gets one; a result without a call is dropped."""
    items = list(_calls_first(history))
    results = {item.call_id: item for item in items if isinstance(item, ToolResult)}
    for item in items:
        match item:
            case Message(role=Role.USER):
                yield UserPromptPart(item.text)
            case Message(role=Role.SYSTEM):
                yield SystemPromptPart(item.text)
            case Message():
                yield TextPart(item.text)
            case ToolUse():
                yield ToolCallPart(item.name, item.arguments, item.call_id)
                yield _return(item, results.get(item.call_id))
            case ToolResult():
                pass


def _return(use: ToolUse, result: ToolResult | None) -> ToolReturnPart:
    if result is None:
        return ToolReturnPart(use.name, NO_RESULT, use.call_id, outcome="interrupted")
    return ToolReturnPart(
        use.name,
        result.output,
        use.call_id,
        outcome="failed" if result.is_error else "success",
    )


def _calls_first(history: Iterable[HistoryItem]) -> Iterator[HistoryItem]:
    """The same, with the words of a response after the tools that were called during it."""
    words: list[HistoryItem] = []
    for item in history:
        if isinstance(item, Message):
            yield from words
            words = []
        if _is_from(item, Role.AGENT):
            words = [item]
        else:
            yield item
    yield from words


def _messages(parts: Iterable[_Part]) -> list[ModelMessage]:
    """Parts of one side that follow one another are one message."""
    messages: list[ModelMessage] = []
    responses: list[TextPart | ToolCallPart] = []
    requests: list[SystemPromptPart | UserPromptPart | ToolReturnPart] = []
    for part in parts:
        if isinstance(part, TextPart | ToolCallPart):
            if requests:
                messages.append(ModelRequest(parts=requests))
                requests = []
            responses.append(part)
        else:
            if responses:
                messages.append(ModelResponse(parts=responses))
                responses = []
            requests.append(part)
    if responses:
        messages.append(ModelResponse(parts=responses))
    if requests:
        messages.append(ModelRequest(parts=requests))
    return messages


def _is_from(item: HistoryItem, role: Role) -> bool:
    return isinstance(item, Message) and item.role is role
