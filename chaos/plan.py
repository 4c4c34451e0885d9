"""The plan of a run: which stories with which orders, and who is killed when. All of it comes of its seed."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final, TypeVar

from chaos.acting import Casting
from chaos.points import CONTINUE_AS_NEW, DATABASE, DELIVER, SERVER, WORKER, Point, When
from chaos.stories import PARCEL, STORIES, Story

WORKERS: Final = ("worker-1", "worker-2")
ALWAYS: Final[Sequence[tuple[str, When, str]]] = (
    # written and not yet answered
    ("pay", "after", WORKER),
    # between a parent's hand-over and its end
    ("hand_over", "after", SERVER),
    # between hold and memo
    ("hold", "after", WORKER),
    (CONTINUE_AS_NEW, "before", WORKER),
    # a message is out, and nobody has noted that
    (DELIVER, "after", WORKER),
    ("promise_gift", "commit", WORKER),
    ("hand_over", "after", WORKER),
    ("pay", "after", SERVER),
    ("pay", "commit", WORKER),
    (CONTINUE_AS_NEW, "after", WORKER),
    (CONTINUE_AS_NEW, "before", SERVER),
    ("settle", "after", WORKER),
    ("follow_parcel", "commit", WORKER),
    ("close_case", "commit", WORKER),
)
"""The moments that a run has first, as far as its stories come by them."""
ALWAYS_WITH_DATABASE: Final[Sequence[tuple[str, When, str]]] = (
    ("pay", "commit", DATABASE),
    ("pay", "after", DATABASE),
    ("hand_over", "after", DATABASE),
    ("hold", "after", DATABASE),
    (CONTINUE_AS_NEW, "before", DATABASE),
    ("close_case", "commit", DATABASE),
)
"""Besides, where the shop's database is a process that can be killed."""
ONLY_READ: Final = frozenset(
    {"check_gift", "consider", "free_lines", "gather_talk", "give_up_parcel", "read_bulk", "read_standing"}
)
"""Activities that commit nothing in these stories: they have no moment before that."""
WITHOUT_COMMIT: Final = frozenset({CONTINUE_AS_NEW, DELIVER, *ONLY_READ})
"""All that a story passes and that has no such moment."""
SERVER_SHARE: Final = 0.3
"""This share of the other kills is the server's."""
PassingT = TypeVar("PassingT")
LONGEST_DELAY: Final = 2.0
"""Seconds from the beginning of a story to a kill at random."""


@dataclass(frozen=True, slots=True)
class RandomKill:
    """Kill the process of this name so many seconds after the story of this number has begun."""

    at_story: int
    delay: float
    victim: str


@dataclass(frozen=True, slots=True)
class Plan:
    """All of a run that is not left to the machine."""

    seed: int
    castings: Sequence[Casting]
    points: Sequence[Point]
    kills: Sequence[RandomKill]


def plan_of(seed: int, *, cases: int, kills: int, others: Sequence[str] = ()) -> Plan:
    """A plan: as many stories as cases are asked for (some of them come to two cases), half of the kills chosen.

    `others`: further processes that may be killed, such as a database.
    """
    rng = random.Random(seed)
    castings = _castings(rng, cases)
    points = _points(rng, castings, (kills + 1) // 2, others)
    at_random = [
        RandomKill(
            at_story=rng.randrange(cases),
            delay=rng.uniform(0, LONGEST_DELAY),
            victim=_victim(rng, rng.choice(WORKERS), others),
        )
        for _ in range(kills - len(points))
    ]
    return Plan(seed, castings, points, sorted(at_random, key=lambda one: one.at_story))


def _castings(rng: random.Random, cases: int) -> list[Casting]:
    stories: list[Story] = []
    while len(stories) < cases:
        stories += rng.sample(STORIES, len(STORIES))
    return [casting_of(number, story, seed=rng.getrandbits(32)) for number, story in enumerate(stories[:cases])]


def casting_of(number: int, story: Story, *, seed: int) -> Casting:
    """The story with an order of its own: the number makes its id, the seed its price and postage."""
    rng = random.Random(seed)
    return Casting(
        number=number,
        story=story.name,
        order_id=f"33000197{number:011d}",
        # whole yuan: a discount in percent is whole fen
        price_fen=rng.randrange(*story.prices) // 100 * 100,
        postage_fen=rng.randrange(500, 2_000) if story.postage else 0,
        seed=seed,
    )


def _points(rng: random.Random, castings: Sequence[Casting], count: int, others: Sequence[str]) -> list[Point]:
    """One of a story at most; first those that every run has."""
    stories = {one.name: one for one in STORIES}
    free = rng.sample(castings, len(castings))
    points: list[Point] = []

    def take(casting: Casting, name: str, when: When, victim: str) -> None:
        free.remove(casting)
        points.append(Point(len(points), about_of(stories[casting.story], casting, name), name, when, victim))

    always = [*_taking_turns(ALWAYS, ALWAYS_WITH_DATABASE)] if DATABASE in others else ALWAYS
    for name, when, victim in always:
        casting = next((one for one in free if name in stories[one.story].passes), None)
        if casting is not None and len(points) < count:
            take(casting, name, when, victim)
    while len(points) < count and free:
        casting = free[0]
        name = rng.choice(stories[casting.story].passes)
        moments: tuple[When, ...] = ("before", "after") if name in WITHOUT_COMMIT else ("before", "commit", "after")
        take(casting, name, rng.choice(moments), _victim(rng, WORKER, others))
    return points


def _taking_turns(first: Iterable[PassingT], second: Iterable[PassingT]) -> Iterator[PassingT]:
    """A short run has some of both."""
    for pair in zip_longest(first, second):
        yield from (one for one in pair if one is not None)


def _victim(rng: random.Random, worker: str, others: Sequence[str]) -> str:
    if rng.random() >= SERVER_SHARE:
        return worker
    return rng.choice((SERVER, *others))


def about_of(story: Story, casting: Casting, name: str) -> str:
    """Whom a point of the story is about: its order, or the case that goes on in another run."""
    if name != CONTINUE_AS_NEW:
        return casting.order_id
    return f"{story.flow}-YT{casting.order_id[-11:]}" if story.flow == PARCEL else f"{story.flow}-{casting.order_id}"
