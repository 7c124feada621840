// SPDX-License-Identifier: BSD-3-Clause
#include "common/results.h"

#include <sys/utsname.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <thread>

#include "common/tsc.h"

namespace synproxy::bench {
namespace {

// The text behind "key :" or "key:" on the first line that begins so.
std::string field_of(const char* path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.rfind(key, 0) != 0) continue;
    const auto value = line.find_first_not_of(" \t", line.find(':') + 1);
    return value == std::string::npos ? "" : line.substr(value);
  }
  return "";
}

std::string first_line(const char* path) {
  std::string line;
  std::ifstream file(path);
  std::getline(file, line);
  return line;
}

std::string cpu_model() {
  const std::string name = field_of("/proc/cpuinfo", "model name");
  return name + " (family " + field_of("/proc/cpuinfo", "cpu family") + ", model " +
         field_of("/proc/cpuinfo", "model\t") + ")";
}

std::string format(const char* pattern, double value) {
  std::array<char, 64> text{};
  static_cast<void>(std::snprintf(text.data(), text.size(), pattern, value));
  return text.data();
}

}  // namespace

nlohmann::ordered_json machine() {
  utsname system{};
  ::uname(&system);
  return {{"cpu", cpu_model()},
          {"cores", std::thread::hardware_concurrency()},
          {"tsc_mhz", static_cast<int>(tsc_hz() / 1e6 + 0.5)},
          {"kernel", system.release},
          {"compiler", __VERSION__},
          {"transparent_hugepages", first_line("/sys/kernel/mm/transparent_hugepage/enabled")},
          {"hugepages", first_line("/proc/sys/vm/nr_hugepages")}};
}

std::string machine_line() {
  const auto m = machine();
  return m["cpu"].get<std::string>() + ", " + std::to_string(m["cores"].get<int>()) +
         " cores, time-stamp counter " + std::to_string(m["tsc_mhz"].get<int>()) + " MHz, Linux " +
         m["kernel"].get<std::string>() + ", compiler " + m["compiler"].get<std::string>();
}

std::string line_of(const Result& r) {
  std::string line = r.name;
  line.resize(std::max<std::size_t>(line.size() + 1, 56), ' ');
  line += format(r.value < 1000 ? "%9.1f " : "%9.0f ", r.value) + r.unit;
  if (r.budget) {
    const bool met = r.lower_is_better ? r.value <= *r.budget : r.value >= *r.budget;
    line += "  budget " + format("%g", *r.budget) + format(" x %.2f", r.value / *r.budget) +
            (met ? " met" : " MISSED");
  }
  for (const auto& [name, value] : r.more) line += ", " + name + format(" %.1f", value);
  if (!r.note.empty()) line += ", " + r.note;
  return line;
}

void write_results(const std::string& path, const std::string& bench, const std::string& command,
                   const std::vector<Result>& results) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const Result& r : results) {
    nlohmann::ordered_json row{
        {"name", r.name},    {"value", r.value},
        {"unit", r.unit},    {"better", r.lower_is_better ? "lower" : "higher"},
        {"budget", nullptr}, {"note", r.note}};
    if (r.budget) row["budget"] = *r.budget;
    for (const auto& [name, value] : r.more) row[name] = value;
    rows.push_back(std::move(row));
  }
  const nlohmann::ordered_json document{
      {"bench", bench}, {"command", command}, {"machine", machine()}, {"results", rows}};
  std::ofstream file(path);
  file << document.dump(1) << '\n';
  file.close();
  if (!file) throw std::runtime_error("--json " + path + ": cannot be written");
}

}  // namespace synproxy::bench
