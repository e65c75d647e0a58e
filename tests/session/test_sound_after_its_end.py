"""No sound of a response is told of after its end."""

from beluga_voice.events import AgentResponseAudio, AgentResponseEnded, Occasion
from session.puppet import Puppet, Setting


def test_a_response_that_is_cut_by_its_first_sound_tells_no_sound_after_its_end():
    """The person makes a noise over a notice and types: the answer is cut as it begins to sound."""
    puppet = Puppet(Setting(stage="service"))
    puppet.noise(240)
    puppet.app_says("this is what we say", Occasion.NOTICE)
    puppet.go(0.31)
    puppet.do(lambda: puppet.caller.type("typed"))
    puppet.go(4.0)
    ended = set()
    late = []
    for one in puppet.trace.happenings:
        if isinstance(one.event, AgentResponseEnded):
            ended.add(one.event.response_id)
        elif isinstance(one.event, AgentResponseAudio) and one.event.response_id in ended:
            late.append(one.event.response_id)
    puppet.leave()
    assert late == []
