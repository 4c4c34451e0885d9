"""What stories leave behind when nobody is killed, and that they come by all that they are said to come by."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pytest

from chaos.plan import WITHOUT_COMMIT, about_of
from chaos.points import DELIVER, WORKER, Killer, Point, PointsFolder, When
from chaos.recording import castings_of, play_undisturbed
from chaos.remains import PATH, as_toml, expected, same_flags
from chaos.stories import STORIES
from tests.chaos.test_misbehaving import PLAYED


class Watching(PointsFolder):
    """Kills nobody."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.come_by: set[int] = set()

    def kill_once(self, point: Point, written: Collection[str]) -> None:
        del written
        self.come_by.add(point.number)


async def test_stories_that_nobody_disturbs_come_by_their_moments_and_leave_what_the_table_says(tmp_path: Path) -> None:
    # what the others leave is held against the same table where all their activities misbehave
    stories = [story for story in STORIES if story.name not in PLAYED]
    castings = castings_of(stories, seed=11)
    points: list[Point] = []
    for story, casting in zip(stories, castings, strict=True):
        for name in {*story.passes} - {DELIVER}:  # messages are delivered by the harness's own workers
            moments: tuple[When, ...] = ("before", "after") if name in WITHOUT_COMMIT else ("before", "commit", "after")
            for when in moments:
                points.append(Point(len(points), about_of(story, casting, name), name, when, WORKER))
    folder = Watching(tmp_path / "points")
    folder.plan(points)
    remains, found = await play_undisturbed(castings, tmp_path, interceptors=[Killer(folder, outside_seconds=4)])
    assert found == []
    assert remains == {story.name: expected()[story.name] for story in stories}
    assert [str(one) for one in points if one.number not in folder.come_by] == []


def test_the_table_has_every_story_and_no_other_and_is_written_as_the_command_writes_it() -> None:
    assert [*expected()] == [story.name for story in STORIES]
    assert PATH.read_text() == as_toml(expected())


@pytest.mark.parametrize(
    ("shown", "same"),
    [
        (["red", "none", "red", "none"], True),
        (["red", "none", "red", "none", "red", "none"], True),  # back, as the moves were discarded, and forth
        (["red", "none", "red", "none", "red"], False),
        (["red", "none", "yellow", "none", "red", "none"], False),
        (["red", "none"], False),
        (["red", "none"] * 4, False),
        (["red", "none"] * 100, False),
        (["red", "yellow", "none", "red", "none"], False),
    ],
)
def test_a_flag_may_go_back_and_forth_once_more_but_comes_to_the_same(shown: list[str], *, same: bool) -> None:
    assert same_flags(shown, ["red", "none", "red", "none"]) is same
