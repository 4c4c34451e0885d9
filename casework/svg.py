"""A flow drawn in layers, top to bottom: boxes for states, lines for moves, the words of a move on its line.

No library that is well kept, small and draws the same on every machine was found (Graphviz and D2 need a program, the
Python ports are asleep or bare), so this is the usual layered layout, written plainly: every line is a chain of places,
one a layer, its words being one of them; so words can neither overlap each other nor a box. The order within a layer
comes from barycentres, and the places from least squares under "keep your distance", solved by pooling neighbours.
Only additions, multiplications and divisions in a fixed order: the same bytes everywhere.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any
from unicodedata import east_asian_width

from casework.case import Case
from casework.diagram import (
    WORDS,
    Arrow,
    Bundle,
    arrows_of,
    condition_of,
    letter_of,
    people_of,
    states_passed,
    who_of,
)
from state_machines.roles import Automatic
from state_machines.table import Flow, Move, StateKind

MARGIN, BESIDE, ROUNDS = 16, 14, 60
LINE_HEIGHT = 13
WRAP = 30
"""So many Latin letters make a line of a move's words; a Chinese character counts double."""


@dataclass(slots=True)
class Text:
    """One line of words and how it looks."""

    words: str
    css: str
    size: int = 11

    @property
    def width(self) -> float:
        """How wide it is at most, in any of the usual fonts; pixels."""
        wide = sum(1.0 if east_asian_width(sign) in "WF" else 0.56 for sign in self.words)
        return wide * self.size * (1.2 if {"name", "trigger"} & set(self.css.split()) else 1.0)


@dataclass(eq=False, slots=True)
class Place:
    """One thing in one layer: a state's box, the words of a line, or a point that a line passes."""

    layer: int
    width: float
    height: float
    state: str | None = None
    texts: list[Text] = field(default_factory=list[Text])
    x: float = 0.0
    """The middle."""
    y: float = 0.0
    """The middle."""
    above: list[Place] = field(default_factory=list["Place"])
    below: list[Place] = field(default_factory=list["Place"])


@dataclass(slots=True)
class Chain:
    """One line: its places from top to bottom, and whether it runs upwards."""

    arrow: Arrow
    places: list[Place]
    upwards: bool


def svg(flow: Flow[Any], *, language: str = "en", case: Case[Any] | None = None) -> str:
    """The flow as one self-contained SVG picture, readable on light and dark ground.

    Args:
        flow: the flow.
        language: `zh` or `en`; identifiers stand beside the labels in both.
        case: marks the path that this case took and the state it is in.

    """
    arrows, bundles = arrows_of(flow, case)
    boxes, chains = _places(flow, arrows, bundles, language)
    layers = _layers(boxes, chains)
    _order(layers)
    _set_beside(layers)
    _gather(layers)
    for _ in range(3):
        for chain in chains:
            _straighten(layers, chain)
    left = min(place.x - place.width / 2 for layer in layers for place in layer)
    for layer in layers:
        for place in layer:
            place.x = float(round(place.x - left + MARGIN))
    width = max(place.x + place.width / 2 for layer in layers for place in layer) + MARGIN
    height, bands = _set_below(layers)
    return _Drawing(flow, language, case, boxes, chains, bundles, bands, width, height).text()


# --- what is to be placed ---


def _ranks(flow: Flow[Any], arrows: Sequence[Arrow]) -> dict[str, int]:
    """Each state's row: below everything that leads to it. The table's order of states says which way is down."""
    order = {name: number for number, name in enumerate(flow.states)}
    rank = dict.fromkeys(flow.states, 0)
    for name in flow.states:
        for arrow in arrows:
            if arrow.dest == name and order[arrow.source] < order[name]:
                rank[name] = max(rank[name], rank[arrow.source] + 1)
    return rank


def _places(
    flow: Flow[Any], arrows: Sequence[Arrow], bundles: Sequence[Bundle], language: str
) -> tuple[dict[str, Place], list[Chain]]:
    rank = _ranks(flow, arrows)
    boxes: dict[str, Place] = {}
    for state in flow.states.values():
        texts = [Text(state.label.in_language(language), "name", 13), Text(state.name, "identifier", 10)]
        if state.expects:
            texts.append(Text(f"{WORDS['waits'].in_language(language)} {people_of(state, language)}", "who", 10))
        for arrow in arrows:
            if arrow.source == arrow.dest == state.name:
                texts.extend(
                    Text(f"↻ {line.words}", "who", 10) for row in arrow.rows for line in _words(flow, row, language)[:1]
                )
        marks = 16 * sum(state.name in bundle.sources for bundle in bundles)
        wide = max(max(text.width for text in texts) + 24, marks + 24, 96)
        boxes[state.name] = Place(2 * rank[state.name], wide, LINE_HEIGHT * len(texts) + 14, state.name, texts)

    used: dict[int, float] = {}
    chains: list[Chain] = []
    for arrow in arrows:
        if arrow.source == arrow.dest:
            continue
        upper, lower, upwards = boxes[arrow.source], boxes[arrow.dest], False
        if upper.layer >= lower.layer:
            upper, lower, upwards = lower, upper, True
        texts = [line for row in arrow.rows for line in _words(flow, row, language)]
        if arrow.steps:
            texts.insert(0, Text("▶ " + ", ".join(map(str, arrow.steps)), "step"))
        wide = max(text.width for text in texts) + 6
        # the words stand in the emptiest layer between the two, near the state that the move leaves
        free = range(upper.layer + 1, lower.layer, 2)
        here = min(free, key=lambda layer: (used.get(layer, 0.0), -layer if upwards else layer))
        used[here] = used.get(here, 0.0) + wide
        places = [upper]
        for layer in range(upper.layer + 1, lower.layer):
            words = layer == here
            height = LINE_HEIGHT * len(texts) + 4 if words else 0
            places.append(Place(layer, wide if words else 8, height, texts=texts if words else []))
        places.append(lower)
        for one, next_one in itertools.pairwise(places):
            one.below.append(next_one)
            next_one.above.append(one)
        chains.append(Chain(arrow, places, upwards))
    return boxes, chains


def _words(flow: Flow[Any], row: Move[Any], language: str) -> list[Text]:
    """A move's words: the trigger, coloured by who fires it, then who and under which condition."""
    css = "system" if Automatic.SYSTEM in row.who else "clock" if Automatic.CLOCK in row.who else "person"
    label = row.trigger
    if language == "zh":
        label = f"{flow.triggers[row.trigger].label.zh} {row.trigger}"
    condition, who = condition_of(flow, row, language), who_of(row, language)
    rest = condition if css == "system" else f"{who}: {condition}" if condition else who
    return [Text(label, f"trigger {css}"), *(Text(line, "who", 10) for line in _wrapped(rest))]


def _wrapped(words: str) -> list[str]:
    lines: list[str] = []
    line, wide = "", 0
    for piece in _pieces(words):
        size = sum(2 if east_asian_width(sign) in "WF" else 1 for sign in piece)
        if line.strip() and wide + size > WRAP + 1:
            lines.append(line.strip())
            line, wide = "", 0
        line, wide = line + piece, wide + size
    return [*lines, line.strip()] if line.strip() else lines


def _pieces(words: str) -> list[str]:
    """The words as they may be parted: after a blank, or after a Chinese character that no punctuation follows."""
    pieces = [""]
    for sign in words:
        after_wide = pieces[-1] and east_asian_width(pieces[-1][-1]) in "WF"
        if pieces[-1].endswith(" ") or (after_wide and sign not in ",。、:;)"):
            pieces.append("")
        pieces[-1] += sign
    return pieces


# --- where everything goes ---


def _layers(boxes: dict[str, Place], chains: Sequence[Chain]) -> list[list[Place]]:
    """Everything by layer, each once, in the order in which the lines find it."""
    depth = max(box.layer for box in boxes.values()) + 1
    layers: list[list[Place]] = [[] for _ in range(depth)]
    for place in [*boxes.values(), *(place for chain in chains for place in chain.places[1:-1])]:
        layers[place.layer].append(place)
    return layers


def _order(layers: list[list[Place]]) -> None:
    """Order each layer so that few lines cross: barycentres up and down, then swaps of neighbours; the best is kept."""
    best, fewest = [list(layer) for layer in layers], _crossings(layers)
    for turn in range(ROUNDS):
        down = turn % 2 == 0
        for number in range(len(layers)) if down else reversed(range(len(layers))):
            beside = layers[number - 1] if down else layers[number + 1] if number + 1 < len(layers) else []
            at = {id(place): index for index, place in enumerate(beside if number or not down else [])}
            mean: dict[int, float] = {}
            for index, place in enumerate(layers[number]):
                near = [at[id(other)] for other in (place.above if down else place.below) if id(other) in at]
                mean[id(place)] = sum(near) / len(near) if near else float(index)
            layers[number].sort(key=lambda place, mean=mean: mean[id(place)])
        _swap(layers)
        now = _crossings(layers)
        if now < fewest:
            best, fewest = [list(layer) for layer in layers], now
    layers[:] = best


def _swap(layers: list[list[Place]]) -> None:
    at = {id(place): index for layer in layers for index, place in enumerate(layer)}

    def crossed(left: Place, right: Place) -> int:
        return sum(
            at[id(one)] > at[id(other)]
            for these, those in ((left.above, right.above), (left.below, right.below))
            for one in these
            for other in those
        )

    for layer in layers:
        swapped, left_to_try = True, 20
        while swapped and left_to_try:
            swapped, left_to_try = False, left_to_try - 1
            for index in range(len(layer) - 1):
                left, right = layer[index], layer[index + 1]
                if crossed(right, left) < crossed(left, right):
                    layer[index], layer[index + 1] = right, left
                    at[id(left)], at[id(right)] = index + 1, index
                    swapped = True


def _crossings(layers: Sequence[Sequence[Place]]) -> int:
    crossings = 0
    for upper, lower in itertools.pairwise(layers):
        at = {id(place): index for index, place in enumerate(lower)}
        ends = [at[id(other)] for place in upper for other in sorted(place.below, key=lambda p: at[id(p)])]
        crossings += sum(one > other for index, one in enumerate(ends) for other in ends[index + 1 :])
    return crossings


def _set_beside(layers: Sequence[Sequence[Place]]) -> None:
    """Put everything as near to its neighbours as keeping one's distance allows; long lines straight above all."""
    for layer in layers:
        x = 0.0
        for place in layer:
            place.x, x = x + place.width / 2, x + place.width + BESIDE
        for place in layer:
            place.x -= x / 2
    for turn in range(2 * ROUNDS):
        down = turn % 2 == 0
        last = turn >= 2 * ROUNDS - 10
        for layer in layers if down else reversed(layers):
            wanted: list[float] = []
            for place in layer:
                near = [*place.above, *place.below] if last else place.above if down else place.below
                near = near or [*place.above, *place.below] or [place]
                weights = [8.0 if place.state is None and other.state is None else 1.0 for other in near]
                total = sum(weight * other.x for weight, other in zip(weights, near, strict=True))
                wanted.append(total / sum(weights))
            _keep_distance(layer, wanted)


def _gather(layers: Sequence[Sequence[Place]]) -> None:
    """Bring what no line ties to the rest as near to it as it may come: nothing else holds it."""
    part_of: dict[int, list[Place]] = {}
    for place in itertools.chain.from_iterable(layers):
        if id(place) not in part_of:
            part, frontier = list[Place](), [place]
            while frontier:
                one = frontier.pop()
                if id(one) not in part_of:
                    part_of[id(one)] = part
                    part.append(one)
                    frontier += [*one.above, *one.below]
    parts = list({id(part): part for part in part_of.values()}.values())
    rest = max(parts, key=len)

    def middle(part: Sequence[Place]) -> float:
        return sum(place.x for place in part) / len(part)

    parts.sort(key=lambda part: abs(middle(part) - middle(rest)))
    for part in parts:
        right_of_it = middle(part) > middle(rest)
        room: list[float] = []
        for place in part:
            layer = layers[place.layer]
            beside = layer.index(place) + (-1 if right_of_it else 1)
            if 0 <= beside < len(layer) and part_of[id(layer[beside])] is not part:
                other = layer[beside]
                room.append(abs(place.x - other.x) - (place.width + other.width) / 2 - BESIDE)
        for place in part:
            if part is not rest and room:
                place.x += -min(room) if right_of_it else min(room)


def _keep_distance(layer: Sequence[Place], wanted: Sequence[float]) -> None:
    """The places nearest to the wanted ones (least squares) that keep order and distance: pool adjacent violators."""
    offset, offsets = 0.0, [0.0]
    for one, other in itertools.pairwise(layer):
        offset += (one.width + other.width) / 2 + BESIDE
        offsets.append(offset)
    pools: list[list[float]] = []
    for want, shift, place in zip(wanted, offsets, layer, strict=True):
        weight = 1.0 if place.state else 8.0
        pools.append([(want - shift) * weight, weight, 1])
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] > pools[-1][0] / pools[-1][1]:
            total, weight, count = pools.pop()
            pools[-1] = [pools[-1][0] + total, pools[-1][1] + weight, pools[-1][2] + count]
    middles = [total / weight for total, weight, count in pools for _ in range(int(count))]
    for place, middle, shift in zip(layer, middles, offsets, strict=True):
        place.x = middle + shift


def _straighten(layers: Sequence[Sequence[Place]], chain: Chain) -> None:
    """Make the line as straight as the room between its neighbours allows."""
    run: list[Place] = []
    low, high = float("-inf"), float("inf")

    def settle() -> None:
        if run:
            mean = sum(place.x for place in run) / len(run)
            for place in run:
                place.x = min(max(mean, low), high)

    for place in chain.places[1:-1]:
        layer = layers[place.layer]
        here = layer.index(place)
        left, right = float("-inf"), float("inf")
        if here:
            left = layer[here - 1].x + (layer[here - 1].width + place.width) / 2 + BESIDE
        if here + 1 < len(layer):
            right = layer[here + 1].x - (layer[here + 1].width + place.width) / 2 - BESIDE
        if max(low, left) > min(high, right):
            settle()
            run, low, high = [], float("-inf"), float("inf")
        run, low, high = [*run, place], max(low, left), min(high, right)
    settle()


def _set_below(layers: Sequence[Sequence[Place]]) -> tuple[float, list[tuple[float, float]]]:
    """Stack the layers. Answers where the last ends, and each layer's band (top, bottom): lines bend only between."""
    y, bands = 64.0, list[tuple[float, float]]()
    for number, layer in enumerate(layers):
        high = max(place.height for place in layer)
        for place in layer:
            place.y = y + high / 2
        bands.append((y, y + high))
        if number + 1 < len(layers):
            far = max((abs(place.x - other.x) for place in layer for other in place.below), default=0.0)
            y += high + min(12 + round(far / 20), 26)
    return bands[-1][1], bands


# --- the drawing ---

_STYLE = """
text { font: 11px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans CJK SC", "PingFang SC",
  "Microsoft YaHei", sans-serif; fill: #0f172a }
.name { font-weight: 600 } .identifier { fill: #475569 } .title { font-weight: 600 }
.trigger { font-weight: 600 } .person { fill: #1d4ed8 } .clock { fill: #b45309 } .system { fill: #334155 }
.who { fill: #475569 } .step { font-weight: 700; fill: #be123c }
.ground { fill: #ffffff } .line { fill: none; stroke: #94a3b8; stroke-width: 1.3 } .tip { fill: #64748b }
.work { fill: #f1f5f9; stroke: #64748b } .wait { fill: #fef3c7; stroke: #d97706 }
.end { fill: #dcfce7; stroke: #16a34a }
.mark { fill: #e0e7ff; stroke: #6366f1 } .letter { font-weight: 600; fill: #3730a3 }
.line.taken { stroke: #be123c; stroke-width: 2.6 } .tip.taken { fill: #be123c } .passed { stroke: #be123c;
  stroke-width: 2 } .here { stroke: #be123c; stroke-width: 5 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .identifier, .who { fill: #9fb0c3 } .person { fill: #7cb0ff } .clock { fill: #f0b35b }
  .system { fill: #cbd5e1 } .step { fill: #ff8fa3 } .ground { fill: #0d1117 } .line { stroke: #5b6b7f }
  .tip { fill: #8b9bb0 } .work { fill: #1b2430; stroke: #7d8fa6 } .wait { fill: #3a2c0d; stroke: #d99b2b }
  .end { fill: #11331f; stroke: #3fb268 } .mark { fill: #262b55; stroke: #818cf8 } .letter { fill: #c7d2fe }
  .line.taken, .passed, .here { stroke: #ff6b86 } .tip.taken { fill: #ff6b86 }
}
"""


@dataclass(slots=True)
class _Drawing:
    """Writes out what has been placed."""

    flow: Flow[Any]
    language: str
    case: Case[Any] | None
    boxes: dict[str, Place]
    chains: list[Chain]
    bundles: list[Bundle]
    bands: list[tuple[float, float]]
    width: float
    height: float

    def text(self) -> str:
        legend = self._legend()
        height = self.height + 24 + legend[1]
        title = self.flow.label.in_language(self.language)
        if self.case is not None:
            title += f" · {self.case.case_id}"
        states = ", ".join(state.label.in_language(self.language) for state in self.flow.states.values())
        start = self.boxes[self.flow.initial]
        top = start.y - start.height / 2
        parts = [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_n(self.width)} {_n(height)}" '
                f'width="{_n(self.width)}" height="{_n(height)}" role="img" aria-labelledby="title desc">'
            ),
            f'<title id="title">{escape(title)}</title>',
            f'<desc id="desc">{escape(states)}</desc>',
            f"<style>{_STYLE}</style>",
            (
                '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
                'markerUnits="userSpaceOnUse" orient="auto"><path class="tip" d="M0 0L8 4L0 8z"/></marker>'
                '<marker id="taken" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="10" markerHeight="10" '
                'markerUnits="userSpaceOnUse" orient="auto"><path class="tip taken" d="M0 0L8 4L0 8z"/></marker></defs>'
            ),
            '<rect class="ground" width="100%" height="100%"/>',
            _line(MARGIN, 26, Text(title, "title", 16)),
            f'<circle class="tip" cx="{_n(start.x)}" cy="{_n(top - 22)}" r="5"/>',
            f'<path class="line" marker-end="url(#tip)" d="M{_n(start.x)} {_n(top - 18)}V{_n(top)}"/>',
        ]
        parts += [self._chain(chain) for chain in sorted(self.chains, key=lambda one: bool(one.arrow.steps))]
        parts += [self._words(place) for chain in self.chains for place in chain.places if place.state is None]
        parts += [self._box(name, box) for name, box in self.boxes.items()]
        return "\n".join([*parts, legend[0], "</svg>"]) + "\n"

    def _port(self, box: Place, chain: Chain, *, below: bool) -> float:
        """Where a line leaves or meets its box: side by side with the others, in the order in which they lie."""
        mine = chain.places[1 if below else -2]
        others = sorted(box.below if below else box.above, key=lambda place: place.x)
        share = (others.index(mine) + 1) / (len(others) + 1)
        return box.x - box.width / 2 + 10 + (box.width - 20) * share

    def _chain(self, chain: Chain) -> str:
        upper, lower = chain.places[0], chain.places[-1]
        points: list[tuple[float, float]] = []
        for place in chain.places:
            x = place.x
            top, bottom = self.bands[place.layer]
            if place is upper:
                x, top = self._port(upper, chain, below=True), place.y + place.height / 2
            elif place is lower:
                x, bottom = self._port(lower, chain, below=False), place.y - place.height / 2
            points += [(x, top), (x, bottom)]
        if chain.upwards:
            points.reverse()
        path = f"M{_n(points[0][0])} {_n(points[0][1])}"
        for (x, y), (to_x, to_y) in itertools.pairwise(points):
            if x == to_x:
                path += f"V{_n(to_y)}"
            else:
                middle = _n((y + to_y) / 2)
                path += f"C{_n(x)} {middle} {_n(to_x)} {middle} {_n(to_x)} {_n(to_y)}"
        taken = bool(chain.arrow.steps)
        names = escape(f"{chain.arrow.source} {chain.arrow.dest}")
        return (
            f'<path class="line{" taken" if taken else ""}" data-move="{names}" '
            f'marker-end="url(#{"taken" if taken else "tip"})" d="{path}"/>'
        )

    def _words(self, place: Place) -> str:
        if not place.texts:
            return ""
        rectangle = (
            f'<rect class="ground" x="{_n(place.x - place.width / 2)}" y="{_n(place.y - place.height / 2)}" '
            f'width="{_n(place.width)}" height="{_n(place.height)}"/>'
        )
        return rectangle + self._lines(place)

    def _lines(self, place: Place) -> str:
        first = place.y - LINE_HEIGHT * (len(place.texts) - 1) / 2 + 4
        return "".join(
            _line(place.x, first + LINE_HEIGHT * number, text, middle=True) for number, text in enumerate(place.texts)
        )

    def _box(self, name: str, box: Place) -> str:
        kind = self.flow.states[name].kind
        css = kind.value
        if self.case is not None and name == self.case.state:
            css += " here"
        elif name in states_passed(self.flow, self.case):
            css += " passed"
        corner = box.height / 2 if kind is StateKind.END else 9 if kind is StateKind.WAIT else 2
        left, top = box.x - box.width / 2, box.y - box.height / 2
        parts = [
            (
                f'<rect class="{css}" data-state="{name}" x="{_n(left)}" y="{_n(top)}" width="{_n(box.width)}" '
                f'height="{_n(box.height)}" rx="{_n(corner)}"/>'
            ),
            self._lines(box),
        ]
        leaving = [number for number, bundle in enumerate(self.bundles) if name in bundle.sources]
        for place, number in enumerate(leaving):
            x = left + box.width - 10 - 15 * (len(leaving) - 1 - place)
            parts.append(_mark(x, top + box.height + 2, letter_of(number)))
        coming = [number for number, bundle in enumerate(self.bundles) if bundle.row.dest == name]
        for place, number in enumerate(coming):
            parts.append(_mark(left + 8 + 15 * place, top, letter_of(number), into=True))
        return f"<g>{''.join(parts)}</g>"

    def _legend(self) -> tuple[str, float]:
        """What the letters and the colours mean; answers the drawing and its height."""
        chinese = self.language == "zh"
        y = self.height + 34
        parts: list[str] = []
        if self.bundles:
            said = "字母表示可从多个状态触发:" if chinese else "A letter stands for what many states allow:"
            parts.append(_line(MARGIN, y, Text(said, "who")))
            y += 20
        for number, bundle in enumerate(self.bundles):
            row = bundle.row
            dest = self.flow.states[row.dest]
            trigger, *_ = _words(self.flow, row, self.language)
            condition = condition_of(self.flow, row, self.language)
            rest = f"→ {dest.label.in_language(self.language)} ({row.dest}) · {who_of(row, self.language)}"
            rest += f" · {condition}" if condition else ""
            parts.append(
                f'<g data-bundle="{row.trigger} {row.dest} {" ".join(bundle.sources)}">'
                + _mark(MARGIN + 7, y - 4, letter_of(number))
                + _line(MARGIN + 20, y, trigger)
                + _line(MARGIN + 26 + trigger.width, y, Text(rest, "who"))
                + "</g>"
            )
            y += 18
        colours = (
            (("person", "人工"), ("clock", "到期(时限)"), ("system", "系统处理结果"))
            if chinese
            else (("person", "fired by a person"), ("clock", "by the deadline"), ("system", "by the work done"))
        )
        shapes = (
            (("work", "处理"), ("wait", "等待"), ("end", "结束"))
            if chinese
            else (("work", "the case works"), ("wait", "it waits"), ("end", "it has ended"))
        )
        x = float(MARGIN)
        y += 6
        for css, said in colours:
            text = Text(said, f"trigger {css}")
            parts.append(_line(x, y, text))
            x += text.width + 22
        for css, said in shapes:
            text = Text(said, "who")
            parts.append(f'<rect class="{css}" x="{_n(x)}" y="{_n(y - 10)}" width="16" height="12" rx="2"/>')
            parts.append(_line(x + 21, y, text))
            x += text.width + 40
        return "\n".join(parts), y + 12 - self.height - 24


def _mark(x: float, y: float, letter: str, *, into: bool = False) -> str:
    shape = (
        f'<path class="mark" d="M{_n(x - 6)} {_n(y - 8)}h12v9l-6 6l-6 -6z"/>'
        if into
        else f'<circle class="mark" cx="{_n(x)}" cy="{_n(y)}" r="7"/>'
    )
    return shape + _line(x, y + (2.5 if into else 3.5), Text(letter, "letter", 9), middle=True)


def _line(x: float, y: float, text: Text, *, middle: bool = False) -> str:
    anchor = ' text-anchor="middle"' if middle else ""
    size = "" if text.size == 11 else f' style="font-size:{text.size}px"'
    return f'<text class="{text.css}" x="{_n(x)}" y="{_n(y)}"{anchor}{size}>{escape(text.words)}</text>'


def _n(number: float) -> str:
    """A number with at most one decimal, so that no last digit differs between machines."""
    return f"{round(number * 2) / 2:g}"
