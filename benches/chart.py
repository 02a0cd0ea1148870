"""Draws what a KEEPALIVE costs against the number of peers, as an SVG written by hand."""

import math

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 70, 610, 50, 300
SERIES = (("server", "#1f6fb2"), ("bare echo in C", "#8a8a8a"))


def chart(points, caption):
    """Returns the SVG of `points`: (peers, ns of the server, ns of the echo), peers from 1,000 to 1,000,000."""
    top = math.ceil(max(max(values) for _, *values in points) * 1.15 / 1000) * 1000

    def x(peers):
        return LEFT + (math.log10(peers) - 3) / 3 * (RIGHT - LEFT)

    def y(nanos):
        return BOTTOM - nanos / top * (BOTTOM - TOP)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12" fill="#333">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="24" font-size="15">CPU time of the server for each KEEPALIVE, in ns</text>',
    ]
    for nanos in range(0, top + 1, 1000 if top <= 10_000 else 2000):
        parts.append(f'<line x1="{LEFT}" y1="{y(nanos):.1f}" x2="{RIGHT}" y2="{y(nanos):.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y(nanos) + 4:.1f}" text-anchor="end">{nanos}</text>')
    for peers, *_ in points:
        parts.append(f'<text x="{x(peers):.1f}" y="{BOTTOM + 18}" text-anchor="middle">{peers:,}</text>')
    parts.append(f'<text x="{(LEFT + RIGHT) / 2}" y="{BOTTOM + 36}" text-anchor="middle">registered peers</text>')
    for number, (name, colour) in enumerate(SERIES):
        line = " ".join(f"{x(peers):.1f},{y(values[number]):.1f}" for peers, *values in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for peers, *values in points:
            parts.append(f'<circle cx="{x(peers):.1f}" cy="{y(values[number]):.1f}" r="3.5" fill="{colour}"/>')
        parts.append(f'<text x="{RIGHT - 120}" y="{TOP + 16 * number}" fill="{colour}">{name}</text>')
    parts.append(f'<text x="{LEFT}" y="{HEIGHT - 8}" font-size="10" fill="#777">{caption}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
