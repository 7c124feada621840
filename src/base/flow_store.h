// SPDX-License-Identifier: BSD-3-Clause
// What the next process needs to go on with the connections of this one: the file of --state-dir,
// or memory that a service manager keeps (its descriptor store).
//
// A header says whose it is: version, boot of the machine, shape, the keys and the clock that the
// arrays were filled under. Behind it each worker has a region, and its engine says what is in it
// (Engine::store_bytes, flow/arena.h). The header is written once, and its first word last. Beside
// it stand the keys of the present epochs, so that cookies that clients hold stay good where each
// process draws a secret of its own. The file is private to its owner, and locked for as long as a
// process uses it; the memory has no name at all. Both are kept out of core dumps.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "synproxy/cookie/key_ring.h"
#include "synproxy/flow/index_hash.h"

namespace synproxy {

// What a process must share with the one before it to go on with its arrays.
struct StoreShape {
  std::uint32_t workers = 1;
  std::uint32_t max_flows = 0;  // of one worker
  std::uint32_t replays_per_epoch = 0;
  std::uint32_t epoch_ms = 0;
  std::uint64_t region_bytes = 0;  // of one worker: follows from the above and what is protected

  friend bool operator==(const StoreShape&, const StoreShape&) = default;
};

// What the first process drew, and all that follow it keep.
struct StoreIdentity {
  IndexKey index_key{};
  std::uint64_t zero_ms = 0;  // of CLOCK_MONOTONIC, when the workers' clock read 0
  std::uint32_t rss_word = 0;
  std::uint32_t owner = 0;  // how the owner of a connection is found; the dataplane says
};

class FlowStore {
 public:
  // Opens or makes the file of a proxy of that name, and the directory if it alone is missing.
  // `fresh`: what is there counts for nothing. Throws UsageError.
  FlowStore(const std::string& directory, const std::string& name, const StoreShape& shape,
            bool fresh);
  // In memory without a name. `kept`: what the manager has kept of it, -1: nothing; the store
  // closes it. `fresh`: as above. Throws UsageError.
  FlowStore(int kept, const StoreShape& shape, bool fresh);
  ~FlowStore();
  FlowStore(const FlowStore&) = delete;
  FlowStore& operator=(const FlowStore&) = delete;

  // Whether another process has left something to go on with. If not, all regions are zero.
  [[nodiscard]] bool found() const { return found_; }
  // Lines for the operator: why what was there does not count, and what is wrong with the place.
  [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }
  // Of what was found.
  [[nodiscard]] const StoreIdentity& identity() const { return identity_; }
  // Memory that the manager has to keep from now on, in place of what it has kept. -1: none.
  [[nodiscard]] int to_keep() const { return made_memory_ ? fd_ : -1; }
  // Call it if nothing was found, once the identity is known. From here on the next process finds
  // what is in the regions.
  void begin(const StoreIdentity& identity);
  // What was found does not count: `why` completes "what it holds ...".
  void forget(const std::string& why);

  [[nodiscard]] std::span<std::byte> region(unsigned worker) const;

  // --- The keys of the epochs. One thread.
  // Those that the former process has published; none if its secret was another one. `secret`:
  // tells secrets apart; 0: whatever it was.
  [[nodiscard]] std::vector<EpochKeys> keys(std::uint64_t secret) const;
  void keep_secret(std::uint64_t secret);
  void keep(const EpochKeys& keys);

 private:
  struct Header;
  struct Keys;
  [[nodiscard]] Header& header() const { return *static_cast<Header*>(memory_); }
  [[nodiscard]] Keys& stored_keys() const;
  void open(const std::string& name);
  void make_memory();
  void look(bool fresh);
  void give_room_back();
  void let_go();
  void look_at_place();
  [[nodiscard]] std::string why_not(const Header& header, std::uint64_t size) const;
  void map();
  void note_unused(const std::string& why);

  std::string where_;  // "--state-dir DIR", or whose memory it is
  std::string path_;
  StoreShape shape_;
  StoreIdentity identity_;
  std::vector<std::string> notes_;
  bool found_ = false;
  bool made_memory_ = false;
  bool locked_ = false;  // the file is ours
  bool begun_ = false;   // and holds something
  int fd_ = -1;
  std::uint64_t align_ = 0;
  std::uint64_t region_ = 0;  // from one region to the next
  std::uint64_t total_ = 0;
  void* memory_ = nullptr;
};

}  // namespace synproxy
