"""A chart of the results as SVG: how much less each takes than mosquitto, row by row."""
import math
from xml.sax.saxutils import escape

from results import OURS, PEER

COLOURS = ["#9aa5b1", "#1f77b4", "#7fb8e0", "#c7a252"]
LEFT, RIGHT, TOP, BAR, GAP = 320, 60, 64, 11, 12
WIDTH = 900


def chart(results):
    """Bars on a logarithmic axis: mosquitto is 1, longer is better."""
    names = [name for name in results.names if name != PEER]
    rows = [row for row in results.rows if results.ratio(row, PEER, OURS) is not None]
    ratios = {(row.name, name): results.ratio(row, PEER, name) for row in rows for name in names}
    known = [value for value in ratios.values() if value]
    low = min([0.5] + known)
    high = max([2.0] + known) * 1.2
    group = BAR * len(names) + GAP
    height = TOP + group * len(rows) + 40

    def x(value):
        share = (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" '
           'font-family="sans-serif" font-size="12">' % (WIDTH, height, WIDTH, height),
           '<rect width="100%" height="100%" fill="#ffffff"/>',
           text(16, 24, "How many times less than mosquitto (longer is better)", size=15)]
    for i, name in enumerate(names):
        left = 16 + 170 * i
        out.append('<rect x="%d" y="36" width="12" height="12" fill="%s"/>' % (left, COLOURS[i % 4]))
        out.append(text(left + 18, 46, name))
    for value in ticks(low, high):
        at = x(value)
        out.append('<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="%s"/>' % (
            at, TOP, at, height - 30, "#444444" if value == 1 else "#dddddd"))
        out.append(text(at, height - 14, "%g×" % value, anchor="middle"))
    for i, row in enumerate(rows):
        top = TOP + i * group + GAP / 2
        out.append(text(LEFT - 10, top + group / 2 - 2, row.what, anchor="end"))
        for k, name in enumerate(names):
            value = ratios[row.name, name]
            if not value:
                continue
            left, right = sorted((x(1), x(value)))
            out.append('<rect x="%.1f" y="%.1f" width="%.1f" height="%d" fill="%s"/>' % (
                left, top + k * BAR, max(right - left, 1), BAR - 1, COLOURS[k % 4]))
            out.append(text(right + 4, top + k * BAR + BAR - 2, "%.3g" % value, size=9))
    return "\n".join(out + ["</svg>", ""])


def text(x, y, words, anchor="start", size=12):
    return '<text x="%.1f" y="%.1f" text-anchor="%s" font-size="%d" fill="#222222">%s</text>' % (
        x, y, anchor, size, escape(words.replace("`", "")))


def ticks(low, high):
    marks = [digit * 10.0 ** power for power in range(-3, 5) for digit in (1, 2, 5)]
    return [mark for mark in marks if low <= mark <= high]
