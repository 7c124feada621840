// SPDX-License-Identifier: BSD-3-Clause
// The totals of each second of the last hour, in a fixed memory.
//
// The control thread writes one row a second. Readers copy rows without a lock, so they hold up
// nobody; a row that was overwritten meanwhile is left out. A row has a column for each counter and
// gauge of the program's lists and for each range of what clients felt, summed over the workers,
// two for each worker, and those of service_columns() for each service with a name. With the
// counters there are now, an hour takes 6 MB, 58 KB for each worker, and 264 KB for each service.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "control/felt.h"
#include "control/view.h"
#include "synproxy/base/reasons.h"

namespace synproxy::control {

// A column that is the same whatever the number of workers.
struct Column {
  enum class Kind : std::uint8_t { kCounter, kGauge, kFelt };  // kFelt: see felt_between()
  std::string_view name;
  Kind kind = Kind::kCounter;
  bool drop = false;  // a Reason of kind DROP
};

// In the order in which they stand in a row.
[[nodiscard]] const std::vector<Column>& columns();
[[nodiscard]] constexpr std::size_t column_of(Reason r) { return static_cast<std::size_t>(r); }
[[nodiscard]] std::size_t column_of(std::string_view name);  // that there is

struct Second;
// What clients felt between two rows.
[[nodiscard]] FeltSum felt_between(const Second& from, const Second& to);

struct Second {
  std::uint64_t unix_ms = 0;
  // columns(), then cycles and packets of each worker, then service_columns() of each service
  std::vector<std::uint64_t> values;
};

class Recorder {
 public:
  static constexpr std::size_t kSeconds = 3600;

  explicit Recorder(std::size_t workers, std::size_t services = 0);

  // For one thread. Writes a row if `unix_ms` is in another second than the last row.
  [[nodiscard]] bool due(std::uint64_t unix_ms) const { return unix_ms / 1000 != last_ms_ / 1000; }
  void record(const View& view, std::uint64_t unix_ms);

  // For any thread: the last rows, one more than `seconds` if there are so many, oldest first.
  [[nodiscard]] std::vector<Second> last(std::size_t seconds) const;

  // What clients felt in the last minute. Its notes are taken by record().
  [[nodiscard]] const FeltLately& felt() const { return felt_; }

  [[nodiscard]] std::size_t workers() const { return workers_; }
  [[nodiscard]] std::size_t services() const { return services_; }
  [[nodiscard]] std::size_t bytes() const { return kRows * width_ * sizeof(std::uint64_t); }

 private:
  // Rates need a row more than seconds; the rest is for readers that are slow to copy.
  static constexpr std::size_t kRows = kSeconds + 60;

  [[nodiscard]] std::atomic<std::uint64_t>* row(std::uint64_t number) const {
    return &cells_[number % kRows * width_];
  }

  const std::size_t workers_;
  const std::size_t services_;
  const std::size_t width_;
  const std::unique_ptr<std::atomic<std::uint64_t>[]> cells_;
  std::atomic<std::uint64_t> begun_{0};    // rows that were ever begun
  std::atomic<std::uint64_t> written_{0};  // and finished
  std::uint64_t last_ms_ = 0;
  FeltLately felt_;
};

}  // namespace synproxy::control
