"""What is compared: loads, and the figure that counts of each."""


class Row:
    """One line of the table. `arguments` are the load generator's; `figure` names one of its figures,
    `unit` says what it is; `aim` is what the daemon is to reach, and is added to what the floor has
    if `above_floor`. `contestants` are those that can carry the load; None: all can."""

    def __init__(self, name, what, arguments, figure="broker_us_per_delivery",
                 unit="CPU µs per delivery", aim=None, above_floor=False, tls=False,
                 contestants=None):
        self.name, self.what, self.arguments = name, what, arguments.split()
        self.figure, self.unit, self.tls = figure, unit, tls
        self.aim, self.above_floor = aim, above_floor
        self.contestants = contestants

    def suits(self, contestant):
        return (contestant.tls or not self.tls) and (
            self.contestants is None or contestant.name in self.contestants)

    def value(self, figures):
        for part in self.figure.split("/"):
            figures = figures[part]
        return figures


TRAFFIC = "traffic -W 0.3 -d 1.2 "
CROWD = "idle --hold 0.4 "
FILTERS = "filters -N100000 --form plus -W 0.3 -d 1.2 -S100 -P10"
RETAINED = "retained -N100000 -w1000"
OFFLINE = "offline -N50000 -w1000"
HEALTH = "health -d 1.5 --connecting 300 --while "
PING = dict(figure="latency_us/max", unit="µs, longest wait for a ping's answer", aim=50_000,
            contestants=("mosquitto", "mqtt-stackd"))
STORES = ("mosquitto", "mqtt-stackd")  # with limits so high that all of it is kept

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
    Row("filters", "100,000 filters `d/+/N/y`, one of them matches", FILTERS, contestants=STORES),
    Row("filter-rss", "memory of one of 100,000 filters", FILTERS, figure="rss_per_filter",
        unit="bytes of RSS", aim=300, contestants=STORES),
    Row("replay", "100,000 retained messages, replayed", RETAINED,
        figure="broker_us_per_replay", unit="CPU µs each", aim=0.7, contestants=STORES),
    Row("replay-time", "until 100,000 retained messages are replayed", RETAINED, figure="replay_ms",
        unit="ms", contestants=STORES),
    Row("retained-rss", "memory of a retained message, 64 bytes", RETAINED, figure="rss_per_message",
        unit="bytes of RSS", aim=300, contestants=STORES),
    Row("drain", "50,000 queued QoS 1 messages, fetched", OFFLINE, figure="broker_us_per_drain",
        unit="CPU µs each", aim=0.7, contestants=STORES),
    Row("drain-time", "until 50,000 queued messages are fetched", OFFLINE, figure="drain_ms", unit="ms",
        contestants=STORES),
    Row("queued-rss", "memory of a queued message, 64 bytes", OFFLINE, figure="rss_per_message",
        unit="bytes of RSS", aim=160, contestants=STORES),
    Row("storm", "while 300 at a time connect and leave", HEALTH + "connects", **PING),
    Row("churn", "while 100 subscribe and unsubscribe among 50,000 filters",
        HEALTH + "churn -N100 --filters 50000", **PING),
    Row("broadcast", "while each message goes to 5,000", HEALTH + "broadcast -N5000", **PING),
    Row("unread", "while 10 clients ask for 100,000 retained messages and don't read",
        HEALTH + "unread -N10 --stored 100000 -w1000", **PING),
]
