"""A plot of a few lines over logarithmic axes, as an SVG that is readable on light and on dark pages."""

from collections.abc import Mapping, Sequence
from math import floor, log10
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 760, 380
LEFT, RIGHT, TOP, BOTTOM = 90, 150, 40, 44
STYLE = """
    text { font: 13px system-ui, sans-serif; fill: #555 } .title { font-size: 15px; fill: #222 }
    .grid { stroke: #8884; stroke-width: 1 } .line { fill: none; stroke-width: 2; stroke-linejoin: round }
    .line0 { stroke: #0969da } .line1 { stroke: #bc4c00 } .name0 { fill: #0969da } .name1 { fill: #bc4c00 }
    @media (prefers-color-scheme: dark) {
        text { fill: #aaa } .title { fill: #ddd }
        .line0 { stroke: #58a6ff } .line1 { stroke: #f0883e } .name0 { fill: #58a6ff } .name1 { fill: #f0883e }
    }
"""

Points = Sequence[tuple[float, float]]


def logarithmic(title: str, lines: Mapping[str, Points]) -> str:
    """The SVG's text. At most two lines, of points above zero; each has its name at its end."""
    x, y = (_Axis([point[side] for points in lines.values() for point in points]) for side in (0, 1))

    def at(point: tuple[float, float]) -> tuple[float, float]:
        across, up = x.share(point[0]), y.share(point[1])
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    parts = [_text(LEFT, 22, title, "title")]
    for power in x.powers:
        place, _ = at((10**power, y.least))
        parts += [
            _rule(place, TOP, place, HEIGHT - BOTTOM),
            _text(place, HEIGHT - BOTTOM + 18, f"{10**power:,}", anchor="middle"),
        ]
    for power in y.powers:
        _, place = at((x.least, 10**power))
        parts += [_rule(LEFT, place, WIDTH - RIGHT, place), _text(LEFT - 8, place + 4, f"{10**power:,}", anchor="end")]
    for number, (name, points) in enumerate(lines.items()):
        drawn = [at(point) for point in points]
        path = " ".join(f"{across:.1f},{up:.1f}" for across, up in drawn)
        parts.append(f'<polyline class="line line{number}" points="{path}"/>')
        parts.append(_text(drawn[-1][0] + 8, drawn[-1][1] + 4, name, f"name{number}"))
    box = f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {box}>'
    return "\n".join([head, f"<style>{STYLE}</style>", *parts, "</svg>", ""])


class _Axis:
    """From the power of ten at or below the least value to the one at or above the greatest."""

    def __init__(self, values: Sequence[float]) -> None:
        least, most = floor(log10(min(values))), -floor(-log10(max(values)))
        self.powers = range(least, most + 1)
        self.least = 10**least

    def share(self, value: float) -> float:
        """How far along the axis a value is, from 0 to 1."""
        return (log10(value) - self.powers[0]) / (len(self.powers) - 1)


def _text(x: float, y: float, text: str, kind: str = "", *, anchor: str = "start") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="grid" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
