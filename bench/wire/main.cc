// SPDX-License-Identifier: BSD-3-Clause
// The generator of bench/wire: one thread that plays all clients and the server, at the far ends of
// a SYN proxy's two memif links. It prints one line of JSON per step.
#include <rte_eal.h>
#include <rte_lcore.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <boost/program_options.hpp>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "connections.h"
#include "flood.h"
#include "overload.h"
#include "ready.h"

namespace {

using namespace synproxy::generator;
namespace po = boost::program_options;

struct Usage : std::runtime_error {
  using std::runtime_error::runtime_error;
};

std::atomic<bool> stop{false};

struct Settings {
  std::string sockets;
  std::string name = "wire";
  unsigned cpu = 0;
  Contender contender = Contender::kProxy;
  std::vector<Step> steps;
  std::vector<std::string> eal;
};

Contender contender_of(const std::string& text) {
  if (text == "proxy") return Contender::kProxy;
  if (text == "echo") return Contender::kEcho;
  if (text == "wire") return Contender::kWire;
  throw Usage("--contender " + text + ": takes proxy, echo or wire");
}

// Empty if only help was asked for.
std::unique_ptr<Settings> read_settings(std::vector<std::string> words) {
  auto s = std::make_unique<Settings>();
  const auto dashes = std::find(words.begin(), words.end(), "--");
  if (dashes != words.end()) s->eal.assign(dashes + 1, words.end());
  words.erase(dashes, words.end());

  std::string contender = "proxy";
  std::vector<std::string> steps;
  po::options_description options("Options");
  options.add_options()("help,h", "print this text")("sockets", po::value(&s->sockets),
                                                     "directory for client.sock and server.sock")(
      "name", po::value(&s->name), "DPDK's file prefix")("cpu", po::value(&s->cpu),
                                                         "the CPU to run on")(
      "contender", po::value(&contender),
      "what is at the other end: proxy, echo (sends frames of the client link back, MAC addresses "
      "swapped), wire (passes frames from link to link)");
  po::options_description all;
  all.add(options).add_options()("step", po::value(&steps));
  po::positional_options_description positional;
  positional.add("step", -1);
  po::variables_map given;
  try {
    po::store(po::command_line_parser(words).options(all).positional(positional).run(), given);
    po::notify(given);
  } catch (const po::error& e) {
    throw Usage(e.what());
  }
  if (given.count("help") != 0) {
    std::cout << "usage: wire_generator --sockets DIR [OPTION...] STEP... [-- EAL ARGUMENTS]\n\n"
              << options
              << "\nSTEP is flood, latency, connections or overload, with settings after commas:\n"
                 "flood,family=6,seconds=2. bench/README.md explains them.\n";
    return nullptr;
  }
  if (s->sockets.empty()) throw Usage("--sockets is missing: a directory for the links' sockets");
  s->contender = contender_of(contender);
  if (steps.empty()) throw Usage("nothing to do: name a step, as in flood,seconds=1");
  for (const std::string& text : steps) {
    s->steps.push_back(parse_step(text));
    const auto kind = s->steps.back().kind;
    const bool flood = kind == Step::Kind::kFlood || kind == Step::Kind::kLatency;
    if (flood ? s->contender == Contender::kWire : s->contender == Contender::kEcho) {
      throw Usage(text + ": " + contender + " gives no answer to that");
    }
  }
  return s;
}

// Call it before EAL starts, whose other threads would otherwise take the contender's CPU.
void stay_on(unsigned cpu) {
  cpu_set_t only;
  CPU_ZERO(&only);
  CPU_SET(cpu, &only);
  if (cpu >= CPU_SETSIZE || ::sched_setaffinity(0, sizeof only, &only) != 0) {
    throw Usage("--cpu " + std::to_string(cpu) + ": this process may not use that CPU");
  }
}

void start_eal(const Settings& s) {
  std::vector<std::string> words = {
      "wire_generator", "--file-prefix",  s.name,
      "--no-pci",       "--no-telemetry", "--log-level",
      "*:error",        "--lcores",       "0@" + std::to_string(s.cpu)};
  words.insert(words.end(), s.eal.begin(), s.eal.end());
  std::vector<char*> argv;
  for (std::string& w : words) argv.push_back(w.data());
  if (rte_eal_init(static_cast<int>(argv.size()), argv.data()) < 0) {
    throw std::runtime_error("DPDK does not start");
  }
}

nlohmann::json run(const Step& step, const Stand& stand) {
  switch (step.kind) {
    case Step::Kind::kConnections:
      return run_connections(step, stand);
    case Step::Kind::kOverload:
      return run_overload(step, stand);
    case Step::Kind::kFlood:
    case Step::Kind::kLatency:
      break;
  }
  return run_flood(step, stand);
}

void wait_for(const Link& link, const char* which) {
  constexpr int kTurns = 2000;  // 20 s
  for (int i = 0; i < kTurns && !stop; ++i) {
    if (link.up()) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  throw std::runtime_error(std::string("nobody has connected to the ") + which + " link");
}

// Returns how many faults were found.
std::uint64_t run_all(const Settings& s) {
  const Pool pool("frames", 16383, 2048 + RTE_PKTMBUF_HEADROOM);
  Link client({"client", s.sockets + "/client.sock"});
  // An echo has no use for this link, but a proxy that plays one needs it to start.
  Link server({"server", s.sockets + "/server.sock"});
  const bool both = s.contender != Contender::kEcho;
  wait_for(client, "client");
  if (both) wait_for(server, "server");
  const Stand stand{s.contender, &client, both ? &server : nullptr, pool.get(), &stop};
  wait_for_traffic(stand);
  std::uint64_t faults = 0;
  for (const Step& step : s.steps) {
    nlohmann::json result = run(step, stand);
    if (stop) break;
    result["step"] = step.text;
    result["tsc_hz"] = rte_get_tsc_hz();
    for (const auto& [name, count] : result["faults"].items()) faults += count.get<std::uint64_t>();
    std::cout << result.dump() << std::endl;
  }
  return faults;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const auto settings = read_settings({argv + 1, argv + argc});
    if (settings == nullptr) return 0;
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
      std::signal(signal, [](int) { stop = true; });
    }
    stay_on(settings->cpu);
    start_eal(*settings);
    const std::uint64_t faults = run_all(*settings);
    rte_eal_cleanup();
    if (stop) return 1;
    if (faults != 0) std::cerr << "wire_generator: " << faults << " wrong answers\n";
    return faults == 0 ? 0 : 1;
  } catch (const Usage& e) {
    std::cerr << "wire_generator: " << e.what() << "\n";
    return 2;
  } catch (const BadStep& e) {
    std::cerr << "wire_generator: " << e.what() << "\n";
    return 2;
  } catch (const std::exception& e) {
    std::cerr << "wire_generator: " << e.what() << "\n";
    return 1;
  }
}
