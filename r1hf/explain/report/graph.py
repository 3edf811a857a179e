"""The stage graph as SVG: layers by dependency, long edges routed around the boxes between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from markupsafe import Markup, escape

from r1hf.core.errors import DataError
from r1hf.explain.report.charts import tag

BOX_WIDTH, BOX_HEIGHT = 116.0, 60.0
# Letters of a bold name that fit into a box in the widest of the usual fonts.
NAME_LIMIT = 14
# A node is a stage name, or (stage, layer) where an edge from that stage passes through a layer.
Node = str | tuple[str, int]


@dataclass(frozen=True)
class Box:
    """What stands in a stage's box: its name, its name in the paper, its headline number."""

    name: str
    paper: str
    headline: str
    kind: str


@dataclass
class Layout:
    """Nodes of each layer in order, the place of each node across its layer, and the route of each edge."""

    layers: list[list[Node]]
    place: dict[Node, float]
    routes: dict[tuple[str, str], list[Node]]
    extent: float = 0.0


def layer_of(graph: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Each stage's layer: one more than its deepest upstream stage. Raises DataError on a cycle."""
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise DataError(f"the stage graph has a cycle: {' -> '.join(map(str, error.args[1]))}") from error
    depth: dict[str, int] = {}
    for stage in order:
        depth[stage] = max((depth[above] + 1 for above in graph.get(stage, ())), default=0)
    return depth


def lay_out(graph: Mapping[str, Sequence[str]], size: float, thin: float) -> Layout:
    """Order and place the nodes; a box takes `size` across its layer, a passing edge takes `thin`."""
    depth = layer_of(graph)
    stages = [*graph, *(stage for stage in depth if stage not in graph)]
    layers: list[list[Node]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for stage in stages:
        layers[depth[stage]].append(stage)
    routes: dict[tuple[str, str], list[Node]] = {}
    for stage in stages:
        for above in graph.get(stage, ()):
            # All edges out of one stage share a trunk: (above, layer) is one node however many pass it.
            passing: list[Node] = [(above, layer) for layer in range(depth[above] + 1, depth[stage])]
            routes[above, stage] = [above, *passing, stage]
            for layer, node in enumerate(passing, depth[above] + 1):
                if node not in layers[layer]:
                    layers[layer].append(node)
    links = sorted({pair for route in routes.values() for pair in zip(route, route[1:], strict=False)}, key=str)
    _order(layers, links)
    place = _place(layers, links, size, thin)
    low = min((place[node] - _size(node, size, thin) / 2 for node in place), default=0.0)
    place = {node: at - low for node, at in place.items()}
    extent = max((place[node] + _size(node, size, thin) / 2 for node in place), default=0.0)
    return Layout(layers, place, routes, extent)


def _size(node: Node, size: float, thin: float) -> float:
    return size if isinstance(node, str) else thin


def _neighbours(links: Sequence[tuple[Node, Node]]) -> tuple[dict[Node, list[Node]], dict[Node, list[Node]]]:
    above: dict[Node, list[Node]] = {}
    below: dict[Node, list[Node]] = {}
    for first, second in links:
        below.setdefault(first, []).append(second)
        above.setdefault(second, []).append(first)
    return above, below


def _order(layers: list[list[Node]], links: Sequence[tuple[Node, Node]]) -> None:
    """Barycentre sweeps, in place; the ordering with the fewest crossings is kept."""
    above, below = _neighbours(links)
    best, fewest = [list(layer) for layer in layers], _crossings(layers, links)
    for sweep in range(12):
        forward = sweep % 2 == 0
        for layer in layers if forward else reversed(layers):
            rank = {node: index / max(1, len(row) - 1) for row in layers for index, node in enumerate(row)}
            near = above if forward else below

            def centre(node: Node, near: dict[Node, list[Node]] = near, rank: dict[Node, float] = rank) -> float:
                around = near.get(node) or [node]
                return sum(rank[other] for other in around) / len(around)

            layer.sort(key=centre)
        crossings = _crossings(layers, links)
        if crossings < fewest:
            best, fewest = [list(layer) for layer in layers], crossings
    for layer, kept in zip(layers, best, strict=True):
        layer[:] = kept


def _crossings(layers: list[list[Node]], links: Sequence[tuple[Node, Node]]) -> int:
    rank = {node: (depth, index) for depth, row in enumerate(layers) for index, node in enumerate(row)}
    spans = [(rank[first][0], rank[first][1], rank[second][1]) for first, second in links]
    return sum(
        1
        for index, (layer, start, end) in enumerate(spans)
        for other, begin, stop in spans[index + 1 :]
        if layer == other and (start - begin) * (end - stop) < 0
    )


def _place(
    layers: list[list[Node]], links: Sequence[tuple[Node, Node]], size: float, thin: float
) -> dict[Node, float]:
    """Pull each node towards its neighbours without changing the order or overlapping."""
    above, below = _neighbours(links)
    place: dict[Node, float] = {}
    for layer in layers:
        at = 0.0
        for node in layer:
            place[node] = at + _size(node, size, thin) / 2
            at += _size(node, size, thin)
    for sweep in range(40):
        near = above if sweep % 2 == 0 else below
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            wanted = []
            for node in layer:
                around = near.get(node) or [node]
                # A trunk stays straight; a chain of boxes does too.
                alike = [other for other in around if isinstance(other, str) == isinstance(node, str)] or around
                wanted.append(sum(place[other] for other in alike) / len(alike))
            place.update(zip(layer, _apart(layer, wanted, size, thin), strict=True))
    return place


def _apart(layer: list[Node], wanted: list[float], size: float, thin: float) -> list[float]:
    """The mean of the two greedy placements from either end: both keep the distances, so the mean does."""
    gaps = [
        (_size(first, size, thin) + _size(second, size, thin)) / 2
        for first, second in zip(layer, layer[1:], strict=False)
    ]
    forward = list(wanted)
    for index, gap in enumerate(gaps, 1):
        forward[index] = max(wanted[index], forward[index - 1] + gap)
    backward = list(wanted)
    for index in range(len(gaps) - 1, -1, -1):
        backward[index] = min(wanted[index], backward[index + 1] - gaps[index])
    return [(first + second) / 2 for first, second in zip(forward, backward, strict=True)]


@dataclass(frozen=True)
class _Canvas:
    """From layers and places to points of the page."""

    layout: Layout
    vertical: bool

    @property
    def along(self) -> float:
        """A box's extent in the direction of the arrows."""
        return BOX_HEIGHT if self.vertical else BOX_WIDTH

    @property
    def pitch(self) -> float:
        return self.along + 32.0

    def main(self, layer: int) -> float:
        return layer * self.pitch + self.along / 2

    def point(self, main: float, cross: float) -> tuple[float, float]:
        return (cross, main) if self.vertical else (main, cross)

    def text(self, main: float, cross: float) -> str:
        x, y = self.point(main, cross)
        return f"{x:.1f},{y:.1f}"


def draw_graph(
    graph: Mapping[str, Sequence[str]], boxes: Mapping[str, Box], *, marked: tuple[str, str], vertical: bool = False
) -> Markup:
    """The graph from left to right, or from top to bottom; the edge `marked` stands out."""
    layout = lay_out(graph, (BOX_WIDTH if vertical else BOX_HEIGHT) + 14.0, 20.0)
    if not layout.layers:
        return Markup("")
    canvas, ports = _Canvas(layout, vertical), _ports(layout)
    drawn = [_arrows(vertical)]
    for pair in sorted(layout.routes, key=lambda pair: pair == marked):
        kind = "marked" if pair == marked else "rows" if boxes[pair[0]].kind == "data" else "weights"
        drawn.append(_edge(pair, kind, ports[pair], canvas))
    for depth, layer in enumerate(layout.layers):
        for node in layer:
            if isinstance(node, str):
                drawn.append(_box(boxes[node], *canvas.point(canvas.main(depth), layout.place[node])))
    width, height = canvas.point(canvas.main(len(layout.layers) - 1) + canvas.along / 2, layout.extent)
    return tag(
        "svg",
        *drawn,
        class_="graph",
        viewBox=f"-4 -4 {width + 8:.0f} {height + 8:.0f}",
        role="img",
        aria_label="Stage graph: " + "; ".join(f"{above} to {stage}" for above, stage in layout.routes),
    )


def _head(kind: str, vertical: bool) -> str:
    # A page may hold both drawings, and a marker in a hidden one would not show.
    return f"{'down' if vertical else 'right'}-{kind}"


def _arrows(vertical: bool) -> Markup:
    heads = [
        tag(
            "marker",
            tag("path", d="M0,0L7,3.5L0,7z", class_=f"head {kind}"),
            id=_head(kind, vertical),
            viewBox="0 0 7 7",
            refX=6.5,
            refY=3.5,
            markerWidth=7,
            markerHeight=7,
            orient="auto",
            markerUnits="userSpaceOnUse",
        )
        for kind in ("weights", "rows", "marked")
    ]
    return tag("defs", *heads)


def _ports(layout: Layout) -> dict[tuple[str, str], float]:
    """Where each edge ends across its target's side, so that arrow heads do not lie on each other."""
    entering: dict[str, list[tuple[str, str]]] = {}
    for pair in layout.routes:
        entering.setdefault(pair[1], []).append(pair)
    ports = {}
    for stage, pairs in entering.items():
        pairs.sort(key=lambda pair: layout.place[layout.routes[pair][-2]])
        for index, pair in enumerate(pairs):
            offset = (index - (len(pairs) - 1) / 2) * min(14.0, (BOX_HEIGHT - 12) / len(pairs))
            ports[pair] = layout.place[stage] + offset
    return ports


def _edge(pair: tuple[str, str], kind: str, port: float, canvas: _Canvas) -> Markup:
    route, place, half = canvas.layout.routes[pair], canvas.layout.place, canvas.along / 2
    # Routes step one layer at a time.
    first = next(depth for depth, layer in enumerate(canvas.layout.layers) if route[0] in layer)
    main, cross = canvas.main(first) + half, place[route[0]]
    path = f"M{canvas.text(main, cross)}"
    for depth, node in enumerate(route[1:], first + 1):
        last = node == route[-1]
        end, goal = canvas.main(depth) - half - (2.0 if last else 0.0), port if last else place[node]
        middle = (main + end) / 2
        path += f"C{canvas.text(middle, cross)} {canvas.text(middle, goal)} {canvas.text(end, goal)}"
        main, cross = canvas.main(depth) + half, goal
        if not last:
            path += f"L{canvas.text(main, cross)}"
    label = tag("title", escape(f"{pair[0]} → {pair[1]}"))
    return tag("path", label, class_=f"edge {kind}", d=path, marker_end=f"url(#{_head(kind, canvas.vertical)})")


def _box(box: Box, x: float, y: float) -> Markup:
    left, top = x - BOX_WIDTH / 2, y - BOX_HEIGHT / 2
    lines = wrap_name(box.name)
    drawn = [
        tag("rect", class_="box", x=left, y=top, width=BOX_WIDTH, height=BOX_HEIGHT, rx=5.0),
        tag("rect", class_=f"kind {box.kind}", x=left, y=top, width=4.0, height=BOX_HEIGHT, rx=2.0),
    ]
    texts = [("name", line) for line in lines] + ([("paper", box.paper)] if len(lines) == 1 else [])
    texts = [(css, line) for css, line in [*texts[:2], ("headline", box.headline)] if line]
    start = top + BOX_HEIGHT / 2 + 4 - 8 * (len(texts) - 1)
    for index, (css, line) in enumerate(texts):
        drawn.append(tag("text", escape(line), class_=css, x=left + 11, y=start + 16 * index))
    return tag("g", *drawn)


def wrap_name(name: str) -> list[str]:
    """A long stage name in two lines, broken after an underscore; one that still does not fit is cut."""
    if len(name) <= NAME_LIMIT:
        return [name]
    breaks = [at for at, char in enumerate(name, 1) if char == "_" and at <= NAME_LIMIT and at < len(name)]
    at = breaks[-1] if breaks else NAME_LIMIT
    rest = name[at:]
    return [name[:at], rest if len(rest) <= NAME_LIMIT else rest[: NAME_LIMIT - 1] + "…"]
