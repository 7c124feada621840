// SPDX-License-Identifier: BSD-3-Clause
#include "base/flow_store.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <fstream>
#include <system_error>
#include <type_traits>

#include "base/errors.h"
#include "synproxy/flow/arena.h"
#include "synproxy/flow/huge_pages.h"

namespace synproxy {
namespace {

constexpr std::array<char, 8> kMagic{'s', 'y', 'n', 'f', 'l', 'o', 'w', 's'};
constexpr std::uint64_t kHugePage = 2U << 20;
constexpr std::size_t kKeysAt = 2048;  // within the first page

std::string text_of(int error) { return std::generic_category().message(error); }

std::array<char, 40> boot_id() {
  std::array<char, 40> out{};
  std::string line;
  std::getline(std::ifstream("/proc/sys/kernel/random/boot_id"), line);
  std::copy_n(line.begin(), std::min(line.size(), out.size()), out.begin());
  return out;
}

std::uint64_t monotonic_ms() {
  std::timespec t{};
  static_cast<void>(::clock_gettime(CLOCK_MONOTONIC, &t));
  return static_cast<std::uint64_t>(t.tv_sec) * 1000 +
         static_cast<std::uint64_t>(t.tv_nsec) / 1'000'000;
}

// FNV-1a: finds damage, not malice.
std::uint64_t sum_of(const void* data, std::size_t bytes) {
  std::uint64_t sum = 0xcbf29ce484222325U;
  const auto* const at = static_cast<const unsigned char*>(data);
  for (std::size_t i = 0; i < bytes; ++i) sum = (sum ^ at[i]) * 0x100000001b3U;
  return sum;
}

// A shared mapping of the file that begins at a multiple of `align`. nullptr: see errno.
void* map_aligned(int file, std::uint64_t bytes, std::uint64_t align) {
  const std::uint64_t room = bytes + align;
  void* const any =
      ::mmap(nullptr, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (any == MAP_FAILED) return nullptr;
  auto* const begin = static_cast<std::byte*>(any);
  const std::uint64_t head = (align - reinterpret_cast<std::uintptr_t>(any) % align) % align;
  void* const at =
      ::mmap(begin + head, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0);
  if (at == MAP_FAILED) {
    const int error = errno;
    ::munmap(any, room);
    errno = error;
    return nullptr;
  }
  if (head != 0) ::munmap(begin, head);
  ::munmap(begin + head + bytes, align - head);
  return at;
}

// All that is stored before it reaches the file before all that is stored after it.
void in_order() { std::atomic_signal_fence(std::memory_order_seq_cst); }

}  // namespace

struct FlowStore::Header {
  std::array<char, 8> magic;
  std::uint32_t version;
  std::uint32_t page;  // of the file system: the places of the regions follow from it
  std::array<char, 40> boot;
  StoreShape shape;
  StoreIdentity identity;
  std::uint64_t sum;  // of all above

  [[nodiscard]] std::uint64_t right_sum() const { return sum_of(this, offsetof(Header, sum)); }
};

struct FlowStore::Keys {
  struct Slot {
    std::uint64_t epoch;
    KeyWords words;
    std::uint64_t sum;  // of all above; 0: the slot is being written

    [[nodiscard]] std::uint64_t right_sum() const { return sum_of(this, offsetof(Slot, sum)) | 1; }
  };
  std::uint64_t secret;
  std::array<Slot, 4> slots;
};

FlowStore::Keys& FlowStore::stored_keys() const {
  static_assert(sizeof(Header) <= kKeysAt && kKeysAt + sizeof(Keys) <= 4096);
  static_assert(std::is_trivially_copyable_v<Header> && std::is_trivially_copyable_v<Keys>);
  return *reinterpret_cast<Keys*>(static_cast<std::byte*>(memory_) + kKeysAt);
}

FlowStore::FlowStore(const std::string& directory, const std::string& name, const StoreShape& shape,
                     bool fresh)
    : where_("--state-dir " + directory), path_(directory + "/" + name + ".flows"), shape_(shape) {
  try {
    open(name);
    look_at_place();
    look(fresh);
    map();
  } catch (...) {
    give_room_back();
    let_go();
    throw;
  }
}

FlowStore::FlowStore(int kept, const StoreShape& shape, bool fresh)
    : where_("the descriptor store of the service manager"), shape_(shape), fd_(kept) {
  try {
    if (fd_ >= 0) {
      look_at_place();
      look(fresh);
    }
    if (!found_) make_memory();
    map();
    // Nobody who gets hold of it can take pages away under a worker.
    if (made_memory_) static_cast<void>(::fcntl(fd_, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
  } catch (...) {
    let_go();
    throw;
  }
}

FlowStore::~FlowStore() {
  give_room_back();
  let_go();
}

// A start that has failed before there was anything to go on with keeps no memory of a tmpfs. In a
// place that is full it may be all that is left.
void FlowStore::give_room_back() {
  if (!locked_ || found_ || begun_) return;
  [[maybe_unused]] const int emptied = ::ftruncate(fd_, 0);
}

void FlowStore::let_go() {
  if (memory_ != nullptr) ::munmap(memory_, total_);
  if (fd_ >= 0) ::close(fd_);
}

void FlowStore::make_memory() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = ::memfd_create("synproxy-flows", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd_ < 0) throw UsageError(where_ + ": no memory to be kept there (" + text_of(errno) + ")");
  made_memory_ = true;
  look_at_place();
}

// Whether there is anything to go on with.
void FlowStore::look(bool fresh) {
  struct stat file {};
  static_cast<void>(::fstat(fd_, &file));
  const auto size = static_cast<std::uint64_t>(file.st_size);
  Header left{};
  const bool some = ::pread(fd_, &left, sizeof left, 0) == sizeof left;
  // All zero: another process has died before it began.
  if (size == 0 || fresh || (some && left.magic == decltype(left.magic){})) return;
  const std::string why = some ? why_not(left, size) : "was not written by this program";
  found_ = why.empty();
  if (!found_) return note_unused(why);
  identity_ = left.identity;
}

void FlowStore::open(const std::string& name) {
  const std::string directory = path_.substr(0, path_.rfind('/'));
  if (::mkdir(directory.c_str(), S_IRWXU) != 0 && errno != EEXIST) {
    throw UsageError(where_ + ": cannot be made (" + text_of(errno) + "); give a directory of a " +
                     "tmpfs, as in /run/synproxy");
  }
  fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
               S_IRUSR | S_IWUSR);
  if (fd_ < 0) {
    const int error = errno;
    throw UsageError(where_ + ": cannot open " + path_ + " (" + text_of(error) + "); " +
                     (error == ENOTDIR ? "give a directory" : "make it writable for this user"));
  }
  struct stat file {};
  static_cast<void>(::fstat(fd_, &file));
  const bool ours = S_ISREG(file.st_mode) && file.st_uid == ::geteuid() && file.st_nlink == 1 &&
                    (file.st_mode & (S_IRWXG | S_IRWXO)) == 0;
  if (!ours) {
    throw UsageError(where_ + ": " + path_ +
                     " is not a file of this user alone (mode 600, one name); remove it");
  }
  if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
    throw UsageError(where_ + ": another proxy of the name " + name +
                     " uses it; stop that one, or give this one another --name or directory");
  }
  locked_ = true;
}

void FlowStore::look_at_place() {
  struct statfs place {};
  static_cast<void>(::fstatfs(fd_, &place));
  const auto type = static_cast<std::uint64_t>(place.f_type);
  const bool huge = type == HUGETLBFS_MAGIC;
  if (!huge && type != TMPFS_MAGIC && type != RAMFS_MAGIC) {
    notes_.push_back(where_ + ": is on a disk, which may slow the workers down, and where the " +
                     "cookies' keys do not belong; give a directory of a tmpfs, as in " +
                     "/run/synproxy");
  }
  align_ = huge ? std::max(kHugePage, static_cast<std::uint64_t>(place.f_bsize)) : kHugePage;
  region_ = (shape_.region_bytes + align_ - 1) / align_ * align_;
  total_ = align_ + region_ * shape_.workers;
}

std::string FlowStore::why_not(const Header& h, std::uint64_t size) const {
  if (h.magic != kMagic) return "was not written by this program";
  if (h.version != kStoreVersion) return "was written by another version of this program";
  if (h.sum != h.right_sum()) return "is damaged";
  const std::array<char, 40> boot = boot_id();
  if (h.boot != boot || boot[0] == 0) return "is from before the machine was booted";
  const auto differs = [](const char* what, std::uint64_t was, std::uint64_t now) {
    return std::string("has another shape: ") + what + " was " + std::to_string(was) + " and is " +
           std::to_string(now);
  };
  const StoreShape& s = h.shape;
  if (s.workers != shape_.workers)
    return differs("the number of workers", s.workers, shape_.workers);
  if (s.max_flows != shape_.max_flows) {
    return differs("--max-flows of each worker", s.max_flows, shape_.max_flows);
  }
  if (s.epoch_ms != shape_.epoch_ms) {
    return differs("--epoch in milliseconds", s.epoch_ms, shape_.epoch_ms);
  }
  if (s != shape_) return "has another shape: much more or less is protected than before";
  if (h.page != align_ || size != total_ || h.identity.zero_ms > monotonic_ms())
    return "is damaged";
  return {};
}

void FlowStore::note_unused(const std::string& why) {
  notes_.push_back(where_ + ": what it holds " + why + "; started empty");
}

// All pages are taken here: no worker waits for one, and none is refused later.
void FlowStore::map() {
  const auto no_room = [&](int error) {
    const std::uint64_t mb = (total_ + (1U << 20) - 1) >> 20;
    throw UsageError(where_ + ": no room for " + std::to_string(mb) + " MB (" + text_of(error) +
                     "); free some there, or ask for fewer --max-flows");
  };
  const auto bytes = static_cast<off_t>(total_);
  if (!found_ && (::ftruncate(fd_, 0) != 0 || ::ftruncate(fd_, bytes) != 0)) no_room(errno);
  memory_ = map_aligned(fd_, total_, align_);
  if (memory_ == nullptr) no_room(errno);
  static_cast<void>(::madvise(memory_, total_, MADV_DONTDUMP));
  static_cast<void>(::madvise(memory_, total_, MADV_HUGEPAGE));
  // Where nothing is, nothing is held in huge pages.
  for (std::uint64_t i = 0; i < total_ && !found_; i += kHugePage) {
    static_cast<void>(::madvise(static_cast<std::byte*>(memory_) + i, 1, MADV_POPULATE_WRITE));
  }
  hold_in_huge_pages({static_cast<std::byte*>(memory_), total_});
  // An old kernel does not know it; then the pages are taken below, and mapped one by one.
  static_cast<void>(::madvise(memory_, total_, MADV_POPULATE_WRITE));
  if (const int error = ::posix_fallocate(fd_, 0, bytes); error != 0) no_room(error);
}

void FlowStore::begin(const StoreIdentity& identity) {
  identity_ = identity;
  Header h{};
  h.magic = kMagic;
  h.version = kStoreVersion;
  h.page = static_cast<std::uint32_t>(align_);
  h.boot = boot_id();
  h.shape = shape_;
  h.identity = identity;
  h.sum = h.right_sum();
  Header& there = header();
  there.magic = {};
  in_order();
  std::memcpy(&there.version, &h.version, sizeof h - offsetof(Header, version));
  in_order();
  there.magic = kMagic;
  begun_ = true;
}

void FlowStore::forget(const std::string& why) {
  header().magic = {};
  in_order();
  std::memset(static_cast<std::byte*>(memory_) + align_, 0, total_ - align_);
  found_ = false;
  note_unused(why);
}

std::span<std::byte> FlowStore::region(unsigned worker) const {
  return {static_cast<std::byte*>(memory_) + align_ + region_ * worker, shape_.region_bytes};
}

std::vector<EpochKeys> FlowStore::keys(std::uint64_t secret) const {
  const Keys& stored = stored_keys();
  std::vector<EpochKeys> out;
  if (!found_ || (secret != 0 && secret != stored.secret)) return out;
  for (const Keys::Slot& slot : stored.slots) {
    if (slot.sum != slot.right_sum()) continue;
    out.push_back(epoch_keys(slot.epoch, slot.words));
  }
  return out;
}

void FlowStore::keep_secret(std::uint64_t secret) { stored_keys().secret = secret; }

void FlowStore::keep(const EpochKeys& keys) {
  Keys::Slot& slot = stored_keys().slots[keys.epoch % 4];
  const KeyWords words = words_of(keys);
  if (slot.epoch == keys.epoch && slot.words == words && slot.sum == slot.right_sum()) return;
  slot.sum = 0;
  in_order();
  slot.epoch = keys.epoch;
  slot.words = words;
  in_order();
  slot.sum = slot.right_sum();
}

}  // namespace synproxy
