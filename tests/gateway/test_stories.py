"""What is remembered of calls, and for how long."""

from __future__ import annotations

from headrace.gateway.steps import Decision
from headrace.gateway.stories import Stories

TRIED = Decision(0.0, "first", "east", "server", 0.2)


def test_a_story_ends_with_what_the_client_was_told() -> None:
    stories = Stories()
    stories.keep("tried", lambda: [TRIED])
    stories.keep_refusal("tried", 0.3, "Please try again.")
    stories.keep_refusal("limited", 0.1, "Too many.")
    told = stories.of("tried")
    assert told is not None
    assert [decision.did for decision in told] == ["first", "refused"]
    assert stories.of("limited") == [Decision(0.1, "refused", why="Too many.")]
    assert stories.of("another") is None


def test_many_at_a_limit_leave_the_others_stories_alone() -> None:
    stories = Stories(most=3)
    stories.keep("tried", lambda: [TRIED])
    for number in range(9):
        stories.keep_refusal(f"limited-{number}", 0.1, "Too many.")
    assert stories.of("tried") == [TRIED]
    assert stories.of("limited-5") is None
    assert stories.of("limited-6") is not None
