// SPDX-License-Identifier: BSD-3-Clause
#include "control/live_page.h"

#include <openssl/evp.h>

#include <array>
#include <string>
#include <string_view>

namespace synproxy::control {
namespace {

constexpr std::string_view kStyle = R"css(
:root { color-scheme: light dark; --back: #fff; --card: #f5f6f8; --text: #16181d; --faint: #626874;
  --line: #d6d9df; --calm: #1a7f37; --watch: #9a6700; --alarm: #cf222e;
  --c0: #0969da; --c1: #1a7f37; --c2: #cf222e; --c3: #8250df; --c4: #bc4c00; --c5: #0b7285; --c6: #a61e62; --c7: #57606a; }
@media (prefers-color-scheme: dark) { :root { --back: #0e1116; --card: #171b22; --text: #e8eaee; --faint: #969ca8;
  --line: #2c323c; --calm: #3fb950; --watch: #d29922; --alarm: #ff6a61;
  --c0: #58a6ff; --c1: #3fb950; --c2: #ff7b72; --c3: #bc8cff; --c4: #ffa657; --c5: #56d4dd; --c6: #f778ba; --c7: #9aa4b0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 90rem; padding: .8rem; background: var(--back); color: var(--text);
  font: 15px/1.4 system-ui, sans-serif; }
header { border-left: .4rem solid var(--faint); padding: .1rem .8rem; margin-bottom: .8rem; }
header.calm { border-color: var(--calm); } header.watch { border-color: var(--watch); }
header.alarm, header.lost { border-color: var(--alarm); }
h1 { font-size: 1.15rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: .9rem; margin: 0; }
p { margin: 0; color: var(--faint); font-size: .85rem; overflow-wrap: anywhere; }
main { display: grid; gap: .8rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 23rem), 1fr)); }
section { background: var(--card); border-radius: .5rem; padding: .6rem .8rem; min-width: 0; }
svg { display: block; width: 100%; height: 9rem; }
svg text { fill: var(--faint); font-size: 11px; }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg path { fill: none; stroke-width: 1.5; vector-effect: non-scaling-stroke; }
ul { list-style: none; margin: .3rem 0 0; padding: 0; display: flex; flex-wrap: wrap; gap: .1rem 1rem; font-size: .85rem; }
li::before { content: "\2014\00a0"; font-weight: bold; }
li b { font-variant-numeric: tabular-nums; }
.c0 { stroke: var(--c0); } .c1 { stroke: var(--c1); } .c2 { stroke: var(--c2); } .c3 { stroke: var(--c3); }
.c4 { stroke: var(--c4); } .c5 { stroke: var(--c5); } .c6 { stroke: var(--c6); } .c7 { stroke: var(--c7); }
li.c0::before { color: var(--c0); } li.c1::before { color: var(--c1); } li.c2::before { color: var(--c2); }
li.c3::before { color: var(--c3); } li.c4::before { color: var(--c4); } li.c5::before { color: var(--c5); }
li.c6::before { color: var(--c6); } li.c7::before { color: var(--c7); }
)css";

// Text goes into the page as text only: names of ports and reasons are never read as HTML.
constexpr std::string_view kScript = R"js(
'use strict';
const LONGEST = 600e3, SHORTEST = 60e3, EVERY = 1000, COLOURS = 8, W = 600, H = 130, LEFT = 4, TOP = 14, BOTTOM = 16;
const sum = (...lists) => lists.filter(Boolean).reduce((a, b) => a ? a.map((x, i) => x + b[i]) : b, null);
const times = (list, factor) => list && list.map(x => x * factor);
const CHARTS = [
  ['Handshakes, per second', d => [['SYN', sum(d.rates.syn_received, d.rates.syn_shed)], ['SYN-ACK', d.rates.synack_sent],
    ['invalid cookie', d.rates.cookie_invalid], ['valid cookie', d.rates.cookie_valid], ['shed', sum(d.rates.syn_shed, d.rates.ack_shed)]]],
  ['Drops by reason, per second', d => d.drops.map(n => [n, d.rates[n]]).sort((a, b) => d.grown[b[0]] - d.grown[a[0]])],
  ['Packets, per second', d => [['from clients', d.rates.rx_packets_client], ['to clients', d.rates.tx_packets_client],
    ['from servers', d.rates.rx_packets_server], ['to servers', d.rates.tx_packets_server]]],
  ['Bits, per second', d => [['from clients', times(d.rates.rx_bytes_client, 8)], ['to clients', times(d.rates.tx_bytes_client, 8)],
    ['from servers', times(d.rates.rx_bytes_server, 8)], ['to servers', times(d.rates.tx_bytes_server, 8)]]],
  ['Connections', d => [['in use', d.gauges.flows], ['established', d.gauges.flows_established],
    ['waiting for the server', d.gauges.flows_embryonic]]],
  ['Connections, per second', d => [['made', d.rates.conn_established], ['closed', sum(d.rates.conn_finished, d.rates.conn_reset)],
    ['refused', d.rates.conn_refused], ['server silent', d.rates.conn_timed_out]]],
  ['What clients wait, milliseconds', d => [['handshake, half', d.felt.handshake_ms.p50], ['handshake, 90 %', d.felt.handshake_ms.p90],
    ['first byte, half', d.felt.first_byte_ms.p50], ['first byte, 90 %', d.felt.first_byte_ms.p90]].filter(l => l[1].some(v => v !== null))],
  ['Over a limit, connections per second', d => [['refused by rate', d.rates.limit_rate], ['refused by number', d.rates.limit_conns],
    ['watched, rate', d.rates.limit_rate_monitored], ['watched, number', d.rates.limit_conns_monitored]]],
  ['Workers, busy percent', d => d.workers.map((w, i) => ['worker ' + i + ' (cpu ' + w.cpu + ')', times(w.busy, 100)]), 100],
];
function short(x) {
  if (x === null) return '-';
  const units = ['', ' k', ' M', ' G', ' T'];
  let u = 0;
  while (Math.abs(x) >= 999.5 && u < units.length - 1) { x /= 1000; u++; }
  return (x && (u || x < 1) && x < 9.95 ? x.toFixed(1) : Math.round(x)) + units[u];
}
function make(name, parent, words, attributes) {
  const svg = ['svg', 'path', 'text', 'line'].includes(name);
  const e = svg ? document.createElementNS('http://www.w3.org/2000/svg', name) : document.createElement(name);
  if (words !== undefined) e.textContent = words;
  for (const [k, v] of Object.entries(attributes || {})) e.setAttribute(k, v);
  parent.append(e);
  return e;
}
function chart(section, title, lines, d, most) {
  section.replaceChildren();
  make('h2', section, title);
  const shown = lines.filter(l => l[1] && l[1].length).slice(0, COLOURS);
  const top = most || Math.max(1, ...shown.map(l => Math.max(...l[1])));
  const span = Math.min(LONGEST, Math.max(SHORTEST, d.now - d.times[0]));
  const svg = make('svg', section, undefined, {viewBox: `0 0 ${W} ${H}`, preserveAspectRatio: 'none', role: 'img', 'aria-label':
    title + ': ' + shown.map(l => l[0] + ' ' + short(l[1][l[1].length - 1])).join(', ')});
  const y = v => H - BOTTOM - v / top * (H - TOP - BOTTOM);
  for (const v of [0, top / 2, top]) make('line', svg, undefined, {class: 'grid', x1: 0, x2: W, y1: y(v), y2: y(v)});
  shown.forEach((l, i) => make('path', svg, undefined, {class: 'c' + i, d: l[1].map((v, n) =>
    v === null ? '' : (n && l[1][n - 1] !== null ? 'L' : 'M') + (W - (d.now - d.times[n]) / span * W).toFixed(1) + ' ' + y(v).toFixed(1)).join('')}));
  const scale = make('p', section, '0 to ' + short(top) + ', the last ' + (span < 119e3 ? Math.round(span / 1e3) + ' seconds' : Math.round(span / 60e3) +
    ' minutes'));
  const list = make('ul', section);
  shown.forEach((l, i) => {
    const item = make('li', list, l[0] + ' ', {class: 'c' + i});
    make('b', item, short(l[1][l[1].length - 1]));
  });
  if (!shown.length) scale.textContent = 'nothing, in the last ten minutes';
}
const main = document.querySelector('main'), head = document.querySelector('header');
const sections = CHARTS.map(() => make('section', main));
const limited = make('section', main);
function show(d) {
  head.className = d.mood;
  document.title = d.name + ': ' + d.headline;
  head.querySelector('h1').textContent = d.headline;
  const port = p => p.name + (p.up ? '' : ' (no link)');
  head.querySelector('p').textContent = 'synproxy ' + d.version + ', ' + d.name + ', since ' + new Date(d.started).toLocaleString() +
    '; clients at ' + port(d.ports.client) + ', servers at ' + port(d.ports.server) + '; ' + short(d.max_flows) + ' connections at most; ' +
    new Date(d.now).toLocaleTimeString();
  CHARTS.forEach(([title, lines, most], i) => chart(sections[i], title, lines(d), d, most));
  limited.replaceChildren();
  make('h2', limited, 'Sources over a limit');
  const list = make('ul', limited);
  for (const l of d.limited) {
    make('li', list, l.source + ' ' + l.rule + ' ' + (l.monitored ? 'watched ' : 'refused ') + short(l.refused));
  }
  if (!d.limited.length) make('p', limited, 'none');
}
async function turn() {
  if (document.hidden) return;
  try {
    const answer = await fetch('data.json', {cache: 'no-store', signal: AbortSignal.timeout(5000)});
    show(await answer.json());
  } catch (error) {
    head.className = 'lost';
    head.querySelector('h1').textContent = 'The proxy does not answer. Traffic stops where it has stopped.';
  }
}
async function go() { await turn(); setTimeout(go, EVERY); }
go();
)js";

// As a policy names a script or a style that stands in the page: 'sha256-...'.
std::string digest_of(std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha256(), nullptr);
  std::array<unsigned char, std::size_t{2} * EVP_MAX_MD_SIZE> base64{};
  const int length = EVP_EncodeBlock(base64.data(), digest.data(), static_cast<int>(size));
  return "'sha256-" + std::string(base64.data(), base64.data() + length) + "'";
}

}  // namespace

Page live_page() {
  std::string body =
      "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<link rel=\"icon\" href=\"data:,\">\n<title>synproxy</title>\n<style>";
  body += kStyle;
  body +=
      "</style>\n<header><h1>synproxy</h1><p>asking the proxy</p></header>\n<main></main>\n"
      "<noscript><p>The curves need JavaScript; the numbers are at /metrics.</p></noscript>\n<script>";
  body += kScript;
  body += "</script>\n</html>\n";
  return {.type = "text/html; charset=utf-8",
          .body = std::move(body),
          .policy = "default-src 'none'; script-src " + digest_of(kScript) + "; style-src " +
                    digest_of(kStyle) +
                    "; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
                    "frame-ancestors 'none'"};
}

}  // namespace synproxy::control
