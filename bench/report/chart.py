# SPDX-License-Identifier: BSD-3-Clause
"""Charts as SVG, drawn by gnuplot for use inside a page: text in the page's colour, no background."""
import re
import subprocess

OURS, THEIRS, BUDGET = "#c2452d", "#7aa6c2", "#8a6d00"
LINES = ("#7aa6c2", "#d08a3c", "#c2452d")
# A placeholder for the page's own colour.
INK = "#123456"
INK_AS_WRITTEN = re.compile(r"rgb\(\s*18,\s*52,\s*86\)|#123456", re.I)


def quoted(text):
    """A text inside gnuplot's double quotes; terminals are set to take it literally (noenhanced)."""
    return '"' + text.replace("\\", "\\\\").replace('"', "'").replace("\n", " ") + '"'


def head(name, width, height):
    return [f'set terminal svg size {width},{height} dynamic noenhanced font "sans-serif,13" name "{name}"',
            f'set border 0 lc rgb "{INK}"', f'set tics nomirror scale 0 textcolor rgb "{INK}"',
            f'set key textcolor rgb "{INK}"', f'set xlabel textcolor rgb "{INK}"', f'set ylabel textcolor rgb "{INK}"',
            'set grid lc rgb "#b0888888" lw 1 lt 1']


def draw(script):
    """The SVG element alone, without the declarations of a separate file."""
    done = subprocess.run(["gnuplot"], input="\n".join(script) + "\n", capture_output=True, text=True, check=False)
    if done.returncode != 0 or "<svg" not in done.stdout:
        raise RuntimeError(f"gnuplot: {done.stderr.strip() or 'drew nothing'}")
    text = INK_AS_WRITTEN.sub("currentColor", done.stdout[done.stdout.index("<svg"):])
    # currentColor must mean the page's colour, not gnuplot's.
    text = re.sub(r' color="[a-z]+"', "", text)
    return re.sub(r"<(title|desc)>.*?</\1>\s*", "", text, flags=re.S)


def bars(name, unit, items):
    """Horizontal bars, one for each item: (label, value, budget or None, whether it belongs to another program)."""
    margin = 9 * max(len(label) for label, *_ in items) * 0.82 + 16
    height = 27 * len(items) + 72
    script = head(name, 900, height) + ["$data << EOD"]
    for label, value, budget, of_others in items:
        # If the mark of the budget is near, the figure goes behind it.
        at = budget if budget is not None and value < budget < 1.15 * value else value
        script.append(f"{quoted(label)} {value:.6g} {'NaN' if budget is None else f'{budget:.6g}'} {int(of_others)} {at:.6g}")
    longest = max([value for _, value, *_ in items] + [budget for *_, budget, _ in items if budget is not None])
    script += [
        "EOD", f"set lmargin at screen {margin / 900:.4f}", "set rmargin at screen 0.985",
        f"set tmargin at screen {1 - 6 / height:.4f}", f"set bmargin at screen {60 / height:.4f}",
        f"set yrange [{len(items) - 0.4}:-0.6]", f"set xrange [0:{longest * 1.13 or 1:.6g}]", "set grid noytics xtics",
        f"set xlabel {quoted(unit)}", "set style fill solid 0.92 noborder", "unset key",
        f'plot $data using 2:0:(0):2:($0-0.33):($0+0.33):ytic(1) with boxxyerror lc rgb "{OURS}", '
        f'"" using ($4 > 0 ? $2 : NaN):0:(0):2:($0-0.33):($0+0.33) with boxxyerror lc rgb "{THEIRS}", '
        f'"" using 3:($0-0.45):(0):(0.9) with vectors nohead lw 3 lc rgb "{BUDGET}", '
        f'"" using 5:0:(sprintf($2 < 10 ? "%.2f" : $2 < 100 ? "%.1f" : "%.0f", $2)) with labels left offset 0.6,0 '
        f'textcolor rgb "{INK}"']
    return draw(script)


def lines(name, unit, xlabel, xtics, series):
    """Lines over a few places; `series`: (label, values), on a logarithmic axis."""
    script = head(name, 900, 340) + ["$data << EOD"]
    for number, tic in enumerate(xtics):
        script.append(" ".join([quoted(tic)] + [f"{values[number]:.6g}" for _, values in series]))
    plots = [f'$data using 0:{column}:xtic(1) with linespoints lw 2.5 pt 7 ps 0.7 lc rgb "{color}" title {quoted(label)}, '
             f'"" using 0:{column}:(sprintf("%.3g", ${column})) with labels offset 0,0.9 textcolor rgb "{INK}" notitle'
             for column, ((label, _), color) in enumerate(zip(series, LINES), 2)]
    flat = [value for _, values in series for value in values]
    script += ["EOD", "set logscale y", f"set xrange [-0.3:{len(xtics) - 0.7}]", f"set yrange [{min(flat) / 1.6:.6g}:{max(flat) * 2.5:.6g}]",
               f"set xlabel {quoted(xlabel)}", f"set ylabel {quoted(unit)}", "set key outside top center horizontal",
               "plot " + ", ".join(plots)]
    return draw(script)
