# SPDX-License-Identifier: BSD-3-Clause
"""More SYNs than one CPU can answer, the same number for each contender.

One CPU runs the flood, the clients and the server; another runs the contender between them: floods.divided().
"""
import statistics
import time

from contenders import SHED_OFF, standing
from floods import Rates, Reader, ask_pages, divided, flood

OFFERED = 400_000      # SYNs per second: one CPU of the machines seen so far answers less over veth
PATH, SIZE = "/overload.bin", 128 << 20  # more than a Reader reads
CALM, LEAD = 1.0, 1.0  # seconds of download before the flood, and of flood before the first page is asked for


class Goodput:
    """The download's bytes per second."""

    def __init__(self, reader):
        self.reader, self.bytes, self.begin = reader, reader.bytes, time.monotonic()

    def so_far(self):
        return (self.reader.bytes - self.bytes) / (time.monotonic() - self.begin)


def measure(lab, name, ends, pages, limit):
    with Reader(lab, PATH, ends) as reader:
        time.sleep(0.3)
        calm = Goodput(reader)
        time.sleep(CALM)
        calm = calm.so_far()
        with flood(lab, "syn", 4, OFFERED, ends, met=True):
            time.sleep(LEAD)
            rates, during, begin = Rates(lab), Goodput(reader), time.monotonic()
            clients = ask_pages(lab, pages, ends, limit)
            # The pages may all arrive at once, but measuring the download takes time.
            time.sleep(max(0.0, begin + 2 - time.monotonic()))
            goodput, rates = during.so_far(), rates.end()
    return {"offered": rates["sent"], "answered": rates["answered"], "goodput": goodput / calm if calm else 0.0,
            "pages": sum(client.whole for client in clients) / pages,
            "page_s": statistics.median(client.seconds for client in clients)}


def run(lab, names, cpus, quick, results, say):
    ends, middle = cpus
    pages, limit = (8, 5.0) if quick else (16, 10.0)
    lab.page_file(PATH.removeprefix("/"), SIZE)
    seen = {}
    for name in names:
        with divided(lab, ends, middle), standing(lab, name, middle):
            seen[name] = measure(lab, name, ends, pages, limit)
        say(f"overload, {name}: offered {seen[name]['offered'] / 1e3:.0f} k/s, answered "
            f"{seen[name]['answered'] / 1e3:.0f} k/s, goodput {seen[name]['goodput']:.3f} of that before the flood, "
            f"{seen[name]['pages'] * pages:.0f} of {pages} pages")
    for line, unit, better, note in (
            ("offered", "SYNs/s", "higher", f"{OFFERED:,} wanted"),
            ("answered", "SYNs/s", "higher", ""),
            ("goodput", "share", "higher", "of the download's rate before the flood"),
            ("pages", "share", "higher", f"of {pages} new clients, within {limit:.0f} s"),
            ("page_s", "s", "lower", "median, those counted that never came")):
        for name in names:
            results.add(f"overload/{line}/{name}", seen[name][line], unit, better, note=note)
    answered = [seen[name]["answered"] for name in ("synproxy", SHED_OFF)]
    results.add("overload/answered/ratio_to_shed_off", answered[0] / max(1, answered[1]), "ratio", "higher",
                note="more answers cannot be had")
