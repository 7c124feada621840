// SPDX-License-Identifier: BSD-3-Clause
#include "control/state.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>

#include "base/errors.h"
#include "control/secret.h"
#include "synproxy/cookie/epoch.h"
#include "synproxy/flow/huge_pages.h"

namespace synproxy::control {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr StoreShape kShape{.workers = 2,
                            .max_flows = 10,
                            .replays_per_epoch = 100,
                            .epoch_ms = 64'000,
                            .region_bytes = 10'000};
constexpr StoreIdentity kIdentity{
    .index_key = {1, 2, 3, 4}, .zero_ms = 5, .rss_word = 7, .owner = 1};

// Processes, one after the other, with one directory.
class State : public testing::Test {
 protected:
  State() {
    std::string path = "/dev/shm/synproxy-test-XXXXXX";
    directory = ::mkdtemp(path.data());
  }
  ~State() override { std::filesystem::remove_all(directory); }

  FlowStore& start(const StoreShape& shape = kShape, bool fresh = false) {
    store.reset();
    store.emplace(directory, "web", shape, fresh);
    return *store;
  }
  [[nodiscard]] std::string file() const { return directory + "/web.flows"; }
  [[nodiscard]] std::string refusal() {
    store.reset();
    try {
      start();
    } catch (const UsageError& error) {
      return error.what();
    }
    return {};
  }

  std::string directory;
  std::optional<FlowStore> store;
};

TEST_F(State, NextProcessFindsWhatThisOneHasLeft) {
  EXPECT_FALSE(start().found());
  EXPECT_THAT(store->notes(), IsEmpty());
  store->begin(kIdentity);
  store->region(0)[9'999] = std::byte{1};
  store->region(1)[0] = std::byte{2};
  EXPECT_TRUE(start().found());
  EXPECT_THAT(store->notes(), IsEmpty());
  EXPECT_EQ(store->region(0)[9'999], std::byte{1});
  EXPECT_EQ(store->region(1)[0], std::byte{2});
  EXPECT_EQ(store->identity().index_key, kIdentity.index_key);
  EXPECT_EQ(store->identity().rss_word, 7U);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(store->region(1).data()) % 4096, 0U);
}

TEST_F(State, FileIsForItsOwnerAlone) {
  start();
  struct stat seen {};
  ASSERT_EQ(::stat(file().c_str(), &seen), 0);
  EXPECT_EQ(seen.st_mode & 0777U, 0600U);
  ::chmod(file().c_str(), 0640);
  EXPECT_THAT(refusal(), HasSubstr("is not a file of this user alone"));
  std::filesystem::remove(file());
  std::filesystem::create_symlink("/etc/passwd", file());
  EXPECT_THAT(refusal(), HasSubstr("cannot open"));
  std::filesystem::remove(file());
  std::filesystem::create_directory(file());
  EXPECT_THAT(refusal(), HasSubstr("cannot open"));
  std::filesystem::remove(file());
  ASSERT_EQ(::mkfifo(file().c_str(), 0600), 0);
  EXPECT_THAT(refusal(), HasSubstr("is not a file of this user alone"));
  std::filesystem::remove(file());
  start();
  std::filesystem::create_hard_link(file(), directory + "/other");
  EXPECT_THAT(refusal(), HasSubstr("is not a file of this user alone"));
  std::filesystem::remove(directory + "/other");
  EXPECT_EQ(refusal(), "");
  if (::geteuid() != 0) return;
  ASSERT_EQ(::chown(file().c_str(), 65534, 65534), 0);
  EXPECT_THAT(refusal(), HasSubstr("is not a file of this user alone"));
}

TEST_F(State, TwoProcessesNeverShareIt) {
  start().begin(kIdentity);
  try {
    const FlowStore other(directory, "web", kShape, false);
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_EQ(std::string(error.what()),
              "--state-dir " + directory +
                  ": another proxy of the name web uses it; stop that one, or give this one "
                  "another --name or directory");
  }
  EXPECT_FALSE(FlowStore(directory, "mail", kShape, false).found()) << "another name, another file";
}

TEST_F(State, DirectoryIsMadeIfItAloneIsMissing) {
  directory += "/a";
  EXPECT_FALSE(start().found());
  EXPECT_TRUE(std::filesystem::is_directory(directory));
  directory += "/b/c";
  EXPECT_THAT(refusal(), HasSubstr("cannot be made"));
  directory = std::filesystem::path(directory).parent_path().parent_path();
  std::ofstream(directory + "/file") << "x";
  directory += "/file";
  EXPECT_THAT(refusal(), HasSubstr("give a directory"));
  directory = std::filesystem::path(directory).parent_path().parent_path();
}

TEST_F(State, AStartThatComesToNothingKeepsNoRoom) {
  start();
  store.reset();
  EXPECT_EQ(std::filesystem::file_size(file()), 0U) << "before it began";
  StoreShape endless = kShape;
  endless.region_bytes = std::uint64_t{1} << 52;
  EXPECT_THROW(start(endless), UsageError);
  EXPECT_EQ(std::filesystem::file_size(file()), 0U);
  start().begin(kIdentity);
  EXPECT_THROW(FlowStore(directory, "web", endless, true), UsageError) << "another one has it";
  store.reset();
  EXPECT_TRUE(start().found()) << "what has begun stays";
}

TEST_F(State, WhatDoesNotFitIsSaidInOneLineAndStartsEmpty) {
  struct Row {
    const char* why;
    std::size_t at;  // of a byte to damage
    StoreShape shape;
  };
  StoreShape workers = kShape;
  workers.workers = 1;
  StoreShape flows = kShape;
  flows.max_flows = 11;
  StoreShape epoch = kShape;
  epoch.epoch_ms = 8'000;
  StoreShape more = kShape;
  more.region_bytes = 20'000;
  constexpr std::size_t kNone = ~std::size_t{0};
  const Row rows[] = {
      {"was not written by this program", 0, kShape},
      {"was written by another version of this program", 8, kShape},
      {"is damaged", 90, kShape},
      {"has another shape: the number of workers was 2 and is 1", kNone, workers},
      {"has another shape: --max-flows of each worker was 10 and is 11", kNone, flows},
      {"has another shape: --epoch in milliseconds was 64000 and is 8000", kNone, epoch},
      {"has another shape: much more or less is protected than before", kNone, more}};
  for (const Row& row : rows) {
    start(kShape, true).begin(kIdentity);
    store->region(0)[1] = std::byte{1};
    store.reset();
    if (row.at != kNone) {
      std::fstream f(file(), std::ios::in | std::ios::out | std::ios::binary);
      f.seekg(static_cast<std::streamoff>(row.at));
      const auto byte = static_cast<char>(f.get() ^ 1);
      f.seekp(static_cast<std::streamoff>(row.at));
      f.put(byte);
    }
    EXPECT_FALSE(start(row.shape).found()) << row.why;
    EXPECT_THAT(store->notes(), ElementsAre("--state-dir " + directory + ": what it holds " +
                                            row.why + "; started empty"));
    EXPECT_EQ(store->region(0)[1], std::byte{0});
  }
}

// Where things stand in the file: the header, whose sum covers it, and the keys behind it.
constexpr std::size_t kPageAt = 12;
constexpr std::size_t kShapeAt = 56;
constexpr std::size_t kZeroMsAt = 112;
constexpr std::size_t kSumAt = 128;
constexpr std::size_t kKeysAt = 2048;
constexpr std::size_t kKeySlot = 72;

class Patch {
 public:
  explicit Patch(const std::string& path) : file_(path, kMode) {}
  void flip(std::size_t at) {
    file_.seekg(static_cast<std::streamoff>(at));
    const auto byte = static_cast<char>(file_.get() ^ 1);
    file_.seekp(static_cast<std::streamoff>(at));
    file_.put(byte);
  }
  template <typename T>
  void write(std::size_t at, T value) {
    file_.seekp(static_cast<std::streamoff>(at));
    file_.write(reinterpret_cast<const char*>(&value), sizeof value);
  }
  // As the program does it: whoever may write the file can do so too.
  void write_sum() {
    file_.seekg(0);
    std::uint64_t sum = 0xcbf29ce484222325U;
    for (std::size_t i = 0; i < kSumAt; ++i) {
      sum = (sum ^ static_cast<unsigned char>(file_.get())) * 0x100000001b3U;
    }
    write(kSumAt, sum);
  }

 private:
  static constexpr auto kMode = std::ios::in | std::ios::out | std::ios::binary;
  std::fstream file_;
};

TEST_F(State, NoByteOfTheHeaderMayBeAnother) {
  for (std::size_t at = 0; at < kSumAt + 8; ++at) {
    SCOPED_TRACE(at);
    start(kShape, true).begin(kIdentity);
    store->region(0)[1] = std::byte{1};
    store.reset();
    Patch(file()).flip(at);
    EXPECT_FALSE(start().found());
    EXPECT_EQ(store->notes().size(), 1U);
    EXPECT_EQ(store->region(0)[1], std::byte{0});
  }
}

TEST_F(State, AHeaderThatLiesIsNotBelieved) {
  struct Row {
    const char* what;
    void (*lie)(Patch&);
  };
  const Row rows[] = {
      {"pages of no size", [](Patch& p) { p.write(kPageAt, std::uint32_t{0}); }},
      {"other pages", [](Patch& p) { p.write(kPageAt, std::uint32_t{1} << 30); }},
      {"no worker", [](Patch& p) { p.write(kShapeAt, std::uint32_t{0}); }},
      {"more workers than there is room", [](Patch& p) { p.write(kShapeAt, 0xffffffffU); }},
      {"larger regions", [](Patch& p) { p.write(kShapeAt + 16, ~std::uint64_t{0}); }},
      {"a clock that begins later", [](Patch& p) { p.write(kZeroMsAt, ~std::uint64_t{0} >> 1); }},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.what);
    start(kShape, true).begin(kIdentity);
    store.reset();
    {
      Patch patch(file());
      patch.write_sum();
    }
    ASSERT_TRUE(start().found()) << "the sum of these tests is that of the program";
    store.reset();
    {
      Patch patch(file());
      row.lie(patch);
      patch.write_sum();
    }
    EXPECT_FALSE(start().found());
    EXPECT_EQ(store->notes().size(), 1U);
    store->region(1)[9'999] = std::byte{1};  // is there
  }
}

TEST_F(State, KeysThatAreTornAreNotUsed) {
  for (std::size_t at = 0; at < kKeySlot; ++at) {
    SCOPED_TRACE(at);
    start(kShape, true).begin(kIdentity);
    store->keep_secret(7);
    for (std::uint64_t epoch = 100; epoch < 104; ++epoch) {
      store->keep({.epoch = epoch,
                   .timestamps = {.k0 = epoch, .k1 = 2, .multiplier = 3},
                   .plain = {.k0 = 4, .k1 = 5, .multiplier = 6, .tight = false}});
    }
    EXPECT_EQ(start().keys(7).size(), 4U);
    EXPECT_EQ(store->keys(8).size(), 0U) << "of another secret";
    store.reset();
    Patch(file()).flip(kKeysAt + 8 + 101 % 4 * kKeySlot + at);
    EXPECT_EQ(start().keys(7).size(), 3U);
    for (const EpochKeys& keys : store->keys(7)) EXPECT_NE(keys.epoch, 101U);
  }
}

TEST_F(State, AFileWithHolesHoldsNothingThere) {
  start().begin(kIdentity);
  const std::uintmax_t size = std::filesystem::file_size(file());
  store->region(1)[5] = std::byte{1};
  store.reset();
  std::filesystem::resize_file(file(), 4096);
  std::filesystem::resize_file(file(), size);
  EXPECT_TRUE(start().found());
  EXPECT_EQ(store->region(1)[5], std::byte{0});
  store.reset();
  std::filesystem::resize_file(file(), size + 1);
  EXPECT_FALSE(start().found()) << "longer than it was made";
}

TEST_F(State, FreshStartsEmptyWithoutAWord) {
  start().begin(kIdentity);
  store->region(0)[1] = std::byte{1};
  EXPECT_FALSE(start(kShape, true).found());
  EXPECT_THAT(store->notes(), IsEmpty());
  EXPECT_EQ(store->region(0)[1], std::byte{0});
}

// Of the mapping that begins there, in KB.
std::uint64_t in_huge_pages(const void* begin) {
  std::ostringstream address;
  address << std::hex << reinterpret_cast<std::uintptr_t>(begin) << '-';
  std::ifstream maps("/proc/self/smaps");
  std::string line;
  while (std::getline(maps, line) && !line.starts_with(address.str())) {
  }
  while (std::getline(maps, line)) {
    if (line.starts_with("ShmemPmdMapped:")) return std::stoull(line.substr(15));
  }
  return 0;
}

TEST_F(State, ItsMemoryIsInHugePages) {
  StoreShape large = kShape;
  large.region_bytes = 5U << 20;
  for (const bool first : {true, false}) {
    SCOPED_TRACE(first);
    EXPECT_EQ(start(large).found(), !first);
    if (first) store->begin(kIdentity);
    if (!hold_in_huge_pages(store->region(0))) GTEST_SKIP() << "the kernel has none to give";
    constexpr std::size_t kHeader = 2U << 20;
    EXPECT_EQ(in_huge_pages(store->region(0).data() - kHeader), 14U << 10);
  }
}

TEST_F(State, FileThatWasCutIsDamaged) {
  start().begin(kIdentity);
  store.reset();
  std::filesystem::resize_file(file(), 8192);
  EXPECT_FALSE(start().found());
  EXPECT_EQ(store->notes().size(), 1U);
  store->region(1)[0] = std::byte{1};  // is there
}

TEST_F(State, FileOfSomebodyElseIsNamed) {
  std::ofstream(file()) << "notes";
  ::chmod(file().c_str(), 0600);
  EXPECT_FALSE(start().found());
  EXPECT_THAT(store->notes(), ElementsAre(HasSubstr("was not written by this program")));
}

TEST_F(State, StartThatNeverGotReadyLeavesNothing) {
  start().region(0)[1] = std::byte{1};
  EXPECT_FALSE(start().found());
  EXPECT_THAT(store->notes(), IsEmpty());
  EXPECT_EQ(store->region(0)[1], std::byte{0});
}

TEST_F(State, WhatIsFoundCanBeForgotten) {
  start().begin(kIdentity);
  store->region(1)[3] = std::byte{1};
  start().forget("was spread over the workers in another way");
  EXPECT_FALSE(store->found());
  EXPECT_EQ(store->region(1)[3], std::byte{0});
  EXPECT_THAT(store->notes(), ElementsAre(HasSubstr("in another way; started empty")));
}

TEST_F(State, DiskIsUsedWithAWarning) {
  const FlowStore on_disk("/proc/self/cwd", "synproxy-test", kShape, true);
  std::filesystem::remove("/proc/self/cwd/synproxy-test.flows");
  if (on_disk.notes().empty()) GTEST_SKIP() << "the tests run in a tmpfs";
  EXPECT_THAT(on_disk.notes(), ElementsAre(HasSubstr("is on a disk")));
}

// Processes, one after the other, of a manager that keeps their memory.
class KeptMemory : public testing::Test {
 protected:
  ~KeptMemory() override {
    if (kept_ >= 0) ::close(kept_);
  }
  FlowStore& start(const StoreShape& shape = kShape, bool fresh = false) {
    store_.reset();
    store_.emplace(kept_ < 0 ? -1 : ::dup(kept_), shape, fresh);
    if (const int memory = store_->to_keep(); memory >= 0) {
      if (kept_ >= 0) ::close(kept_);
      kept_ = ::dup(memory);
      ++replaced_;
    }
    return *store_;
  }

  int kept_ = -1;
  int replaced_ = 0;
  std::optional<FlowStore> store_;
};

TEST_F(KeptMemory, NextProcessFindsWhatThisOneHasLeft) {
  EXPECT_FALSE(start().found());
  store_->begin(kIdentity);
  store_->region(1)[9'999] = std::byte{1};
  EXPECT_TRUE(start().found());
  EXPECT_EQ(store_->region(1)[9'999], std::byte{1});
  EXPECT_EQ(store_->identity().rss_word, 7U);
  EXPECT_THAT(store_->notes(), IsEmpty());
  EXPECT_EQ(replaced_, 1) << "what the manager has is kept";
}

TEST_F(KeptMemory, NobodyCanCutIt) {
  start();
  EXPECT_NE(::ftruncate(kept_, 4096), 0);
  EXPECT_NE(::ftruncate(kept_, 1L << 30), 0);
}

TEST_F(KeptMemory, WhatDoesNotFitIsReplaced) {
  start().begin(kIdentity);
  StoreShape other = kShape;
  other.max_flows = 11;
  EXPECT_FALSE(start(other).found());
  EXPECT_THAT(store_->notes(),
              ElementsAre("the descriptor store of the service manager: what it holds has another "
                          "shape: --max-flows of each worker was 10 and is 11; started empty"));
  store_->begin(kIdentity);
  EXPECT_FALSE(start(other, true).found()) << "--fresh";
  EXPECT_THAT(store_->notes(), IsEmpty());
  store_->begin(kIdentity);
  EXPECT_TRUE(start(other).found());
  EXPECT_EQ(replaced_, 3);
}

TEST_F(KeptMemory, ADescriptorOfAnythingElseIsReplaced) {
  for (const char* path : {"/dev/null", "/proc/self/exe"}) {
    kept_ = ::open(path, O_RDONLY | O_CLOEXEC);
    EXPECT_FALSE(start().found()) << path;
    store_->region(0)[1] = std::byte{1};
  }
  EXPECT_EQ(replaced_, 2);
}

constexpr std::uint64_t kNow = 1'700'000'000'000;
EngineConfig engine_at(std::uint64_t unix_ms) {
  EngineConfig config;
  config.shape.unix_ms_at_start = unix_ms;
  return config;
}
std::uint64_t key_of(const KeyRing& ring, std::uint64_t epoch) {
  EpochKeys keys;
  return ring.read(epoch, keys) ? keys.plain.k0 : 0;
}

TEST_F(State, CookiesOfARandomSecretAreAcceptedByTheNextProcess) {
  const std::uint64_t epoch = epoch_at(kNow, 64'000).epoch;
  std::array<std::uint64_t, 4> before{};
  {
    KeyRing ring;
    start().begin(kIdentity);
    const EpochKeeper keeper(MasterSecret::random(), ring, engine_at(kNow), {&*store, true});
    for (std::uint64_t i = 0; i < 4; ++i) before[i] = key_of(ring, epoch - 1 + i);
  }
  KeyRing ring;
  start();
  EpochKeeper keeper(MasterSecret::random(), ring, engine_at(kNow + 64'000), {&*store, true});
  for (std::uint64_t i = 1; i < 4; ++i) EXPECT_EQ(key_of(ring, epoch - 1 + i), before[i]);
  EXPECT_NE(key_of(ring, epoch + 3), 0U) << "of the new secret";
  keeper.keep(64'000);
  EXPECT_NE(key_of(ring, epoch + 4), 0U);
}

// Plain cookies of a tight epoch are read with as many bits as they were made with.
TEST_F(State, TheNextProcessKnowsWhichEpochsAreTight) {
  const std::uint64_t epoch = epoch_at(kNow, 64'000).epoch;
  {
    KeyRing ring;
    start().begin(kIdentity);
    EpochKeeper keeper(MasterSecret::random(), ring, engine_at(kNow), {&*store, true});
    ASSERT_FALSE(ring.settle_tight(epoch));
    keeper.want_tight(true, 0);
    ASSERT_TRUE(ring.settle_tight(epoch + 1));
    keeper.keep(250);
  }
  KeyRing ring;
  start();
  EpochKeeper keeper(MasterSecret::random(), ring, engine_at(kNow), {&*store, true});
  EXPECT_FALSE(ring.settle_tight(epoch, true)) << "a later wish changes nothing";
  EXPECT_TRUE(ring.is_tight(epoch + 1));
  EXPECT_FALSE(ring.settle_tight(epoch + 2)) << "nobody had settled it";
  // Who hands over settles all that it gives away, so that it makes no other cookies meanwhile.
  keeper.want_tight(true, 0);
  KeyRing next_ring;
  std::vector<EpochKeys> given = keeper.published(0, 0);
  keeper.want_tight(false, 0);
  const EpochKeeper next(MasterSecret::random(), next_ring, engine_at(kNow),
                         {.store = nullptr, .of_any_secret = true, .handed_over = given});
  for (std::uint64_t e = epoch - 1; e <= epoch + 2; ++e) {
    EXPECT_EQ(next_ring.settle_tight(e), ring.settle_tight(e)) << e - epoch;
  }
  EXPECT_TRUE(next_ring.is_tight(epoch + 1));
}

TEST_F(State, AnotherSecretFileMakesTheOldOneWorthlessAtOnce) {
  const std::uint64_t epoch = epoch_at(kNow, 64'000).epoch;
  Config config;
  config.secret_file = directory + "/secret";
  const auto secret = [&](const char* text) {
    std::ofstream(config.secret_file) << text;
    ::chmod(config.secret_file.c_str(), 0600);
    return load_secret(config);
  };
  std::uint64_t replaced = 0;
  {
    KeyRing ring;
    start().begin(kIdentity);
    EpochKeeper keeper(secret("0123456789abcdef"), ring, engine_at(kNow), {&*store, false});
    replaced = key_of(ring, epoch);
    EXPECT_TRUE(keeper.replace(secret("another 0123456789"), 0));
  }
  {
    KeyRing ring;
    start();
    const EpochKeeper keeper(secret("another 0123456789"), ring, engine_at(kNow), {&*store, false});
    EXPECT_EQ(key_of(ring, epoch), replaced) << "a reload had changed the secret";
  }
  KeyRing ring;
  start();
  const EpochKeeper keeper(secret("0123456789abcdef"), ring, engine_at(kNow), {&*store, false});
  EXPECT_EQ(key_of(ring, epoch), replaced) << "it is the one that made them";
  KeyRing third;
  const EpochKeeper last(secret("one more 0123456789"), third, engine_at(kNow), {&*store, false});
  EXPECT_NE(key_of(third, epoch), replaced);
}

TEST(StateLines, SayHowMany) {
  EXPECT_EQ(resumed_line({.kept = 1, .dropped = 0}),
            "1 connection goes on, 0 records were dropped");
  EXPECT_EQ(resumed_line({.kept = 2, .dropped = 1}), "2 connections go on, 1 record was dropped");
}

TEST_F(State, IsOpenedOnlyWhereAsked) {
  Config config;
  EXPECT_EQ(open_store(config, ProtectSet({})), nullptr);
  config.engine.shape.max_flows = 100;
  config.engine.shape.replays_per_epoch = 100;
  const auto kept = open_store(config, ProtectSet({}), -1);
  ASSERT_NE(kept, nullptr) << "a manager keeps it";
  EXPECT_GE(kept->to_keep(), 0);
  config.state_dir = directory;
  config.name = "web";
  config.workers = {0, 1};
  const auto opened = open_store(config, ProtectSet({parse_protect_rule("203.0.113.10:80")}));
  ASSERT_NE(opened, nullptr);
  EXPECT_GT(opened->region(1).size(), 50 * sizeof(FlowRecord));
  EXPECT_TRUE(std::filesystem::exists(file()));
  EXPECT_EQ(opened->to_keep(), -1);
}

}  // namespace
}  // namespace synproxy::control
