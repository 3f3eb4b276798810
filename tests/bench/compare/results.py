"""What was measured, and what it says: medians, ratios within the rounds, tables."""
import statistics

FLOOR, PEER, OURS = "floor", "mosquitto", "mqtt-stackd"
FAULTS = ("lost", "duplicates", "late", "strange", "lost_connections", "failed", "stalls",
          "refused")


class Results:
    """Figures by row and contestant, one for each round."""

    def __init__(self, rows, names):
        self.rows, self.names = rows, names
        self.values = {row.name: {name: [] for name in names} for row in rows}
        self.remarks = []

    def add(self, row, name, figures):
        self.values[row.name][name].append(row.value(figures))
        faults = ["%s %d" % (what.replace("_", " "), figures[what]) for what in FAULTS
                  if figures.get(what)]
        if faults:
            self.remarks.append("%s, row %s: %s" % (name, row.name, ", ".join(faults)))

    def median(self, row, name):
        values = self.values[row.name].get(name)
        return statistics.median(values) if values else None

    def ratio(self, row, above, below):
        """The median of the rounds' own ratios: what disturbs a round disturbs both."""
        pairs = list(zip(self.values[row.name].get(above, []), self.values[row.name].get(below, [])))
        ratios = [one / other for one, other in pairs if other > 0]
        return statistics.median(ratios) if ratios else None

    def aim(self, row):
        if row.aim is None:
            return None
        if not row.above_floor:
            return row.aim
        floor = self.median(row, FLOOR)
        return None if floor is None else floor + row.aim

    def as_json(self):
        return {
            "rows": {row.name: {
                "what": row.what, "unit": row.unit, "arguments": " ".join(row.arguments),
                "tls": row.tls, "aim": self.aim(row),
                "rounds": self.values[row.name],
                "median": {name: self.median(row, name) for name in self.names},
                "mosquitto_to_ours": self.ratio(row, PEER, OURS),
                "ours_to_floor": self.ratio(row, OURS, FLOOR),
            } for row in self.rows},
            "remarks": self.remarks,
        }


def digits(value):
    """Three significant digits, and none behind the point of what is large."""
    if value is None:
        return "–"
    if value >= 100:
        return "{:,.0f}".format(value)
    return "%.1f" % value if value >= 10 else "%.2f" % value


def times(value):
    return "–" if value is None else digits(value) + "×"


def table(results):
    """As Markdown."""
    names = results.names
    lines = ["| | load | unit | " + " | ".join(names) +
             " | aim | mosquitto to ours | ours to floor |",
             "|---|---|---|" + "--:|" * (len(names) + 3)]
    for row in results.rows:
        medians = [digits(results.median(row, name)) for name in names]
        lines.append("| %s | %s | %s | %s | %s | %s | %s |" % (
            row.name, row.what, row.unit, " | ".join(medians), digits(results.aim(row)),
            times(results.ratio(row, PEER, OURS)), times(results.ratio(row, OURS, FLOOR))))
    return "\n".join(lines) + "\n"
