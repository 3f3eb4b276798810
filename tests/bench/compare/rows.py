"""What is compared: loads, and the figure that counts of each."""


class Row:
    """One line of the table. `arguments` are the load generator's; `figure` names one of its figures,
    `unit` says what it is; `aim` is what the daemon is to reach, and is added to what the floor has
    if `above_floor`."""

    def __init__(self, name, what, arguments, figure="broker_us_per_delivery",
                 unit="CPU µs per delivery", aim=None, above_floor=False, tls=False):
        self.name, self.what, self.arguments = name, what, arguments.split()
        self.figure, self.unit, self.tls = figure, unit, tls
        self.aim, self.above_floor = aim, above_floor

    def value(self, figures):
        for part in self.figure.split("/"):
            figures = figures[part]
        return figures


TRAFFIC = "traffic -W 0.3 -d 1.2 "
CROWD = "idle --hold 0.4 "

ROWS = [
    Row("a", "50 pairs, QoS 0, window 64", TRAFFIC + "-P50 -S50", aim=0.30),
    Row("a1", "50 pairs, QoS 0, window 1", TRAFFIC + "-P50 -S50 -w1", aim=8.5),
    Row("b", "50 pairs, QoS 1, window 64", TRAFFIC + "-P50 -S50 -q1 -Q1", aim=0.50),
    Row("c", "50 pairs, QoS 2, window 64", TRAFFIC + "-P50 -S50 -q2 -Q2", aim=0.90),
    Row("d", "1 to 1,000, window 16", TRAFFIC + "-P1 -S1000 -T1 -w16", aim=0.55),
    Row("d1", "1 to 1,000, window 1", TRAFFIC + "-P1 -S1000 -T1 -w1", aim=5.8),
    Row("e", "500 to 1, window 16", TRAFFIC + "-P500 -S1 -T1 -w16", aim=0.12, above_floor=True),
    Row("f", "50 pairs, 16 KiB, window 8", TRAFFIC + "-P50 -S50 -s16384 -w8", aim=6.5),
    Row("g", "latency at 5,000 messages/s, 50 pairs", TRAFFIC + "-P50 -S50 -r5000",
        figure="latency_us/p50", unit="µs, median", aim=8, above_floor=True),
    Row("tls", "50 pairs, QoS 0, window 64, TLS", TRAFFIC + "-P50 -S50", tls=True),
    Row("connect", "CONNECT and SUBSCRIBE", CROWD + "-N8000",
        figure="broker_us_per_connect", unit="CPU µs per client", aim=40),
    Row("idle", "memory of an idle client", CROWD + "-N8000",
        figure="rss_per_client", unit="bytes of RSS", aim=1024),
    Row("connect-tls", "CONNECT and SUBSCRIBE, TLS", CROWD + "-N1000",
        figure="broker_us_per_connect", unit="CPU µs per client", tls=True),
    Row("idle-tls", "memory of an idle client, TLS", CROWD + "-N1000",
        figure="rss_per_client", unit="bytes of RSS", aim=18 * 1024, tls=True),
]
