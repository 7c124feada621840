// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/xdp_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "base/xdp_limits.h"

namespace synproxy::dataplane {
namespace {

constexpr std::uint64_t kMagic = 0x31306d656d706478;  // xdpmem01
constexpr std::size_t kHeaderBytes = 4096;
constexpr std::uint32_t kMostFrames = 1U << 16;
// A file that shrinks would end whoever reads it.
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

struct Header {
  std::uint64_t magic = kMagic;
  XdpShape shape;
};

[[noreturn]] void fail(int error, const char* what) {
  throw std::system_error(error, std::generic_category(), what);
}

std::size_t queue_bytes(const XdpShape& s) {
  return std::size_t{s.receive_frames + s.send_frames} * s.chunk_bytes;
}

std::size_t file_bytes(const XdpShape& s) { return kHeaderBytes + s.queues * queue_bytes(s); }

bool is_sound(const XdpShape& s) {
  const auto some = [](std::uint32_t value, std::uint32_t most) {
    return value >= 1 && value <= most;
  };
  return some(s.queues, kXdpQueues) && some(s.send_queues, s.queues) &&
         (s.chunk_bytes == 2048 || s.chunk_bytes == 4096) && some(s.receive_frames, kMostFrames) &&
         some(s.send_frames, kMostFrames);
}

bool set_lock(int file, short kind) {
  struct flock lock {};
  lock.l_type = kind;
  lock.l_whence = SEEK_SET;
  return ::fcntl(file, F_SETLK, &lock) == 0;
}

}  // namespace

XdpMemory::XdpMemory(const XdpShape& shape)
    : file_(::memfd_create("synproxy-xdp", MFD_CLOEXEC | MFD_ALLOW_SEALING)), shape_(shape) {
  if (file_.get() < 0) fail(errno, "memfd_create");
  if (::ftruncate(file_.get(), static_cast<off_t>(file_bytes(shape))) != 0 ||
      ::fcntl(file_.get(), F_ADD_SEALS, kSeals) != 0) {
    fail(errno, "memory of AF_XDP");
  }
  map();
  const Header header{.shape = shape};
  std::memcpy(map_.data(), &header, sizeof header);
}

XdpMemory::XdpMemory(Descriptor file) : file_(std::move(file)) {
  Header header;
  struct stat facts {};
  const int seals = ::fcntl(file_.get(), F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals ||
      ::pread(file_.get(), &header, sizeof header, 0) != sizeof header || header.magic != kMagic ||
      !is_sound(header.shape) || ::fstat(file_.get(), &facts) != 0 ||
      static_cast<std::size_t>(facts.st_size) != file_bytes(header.shape)) {
    fail(EPROTO, "memory of AF_XDP");
  }
  shape_ = header.shape;
  map();
}

XdpMemory::~XdpMemory() { ::munmap(map_.data(), map_.size()); }

void XdpMemory::map() {
  const std::size_t bytes = file_bytes(shape_);
  void* at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), 0);
  if (at == MAP_FAILED) fail(errno, "mmap");
  map_ = {static_cast<std::uint8_t*>(at), bytes};
}

XdpChunks XdpMemory::chunks(std::uint32_t queue) const {
  return {map_.subspan(kHeaderBytes + queue * queue_bytes(shape_), queue_bytes(shape_)),
          shape_.chunk_bytes};
}

bool XdpMemory::lock() const { return set_lock(file_.get(), F_WRLCK); }
void XdpMemory::unlock() const { static_cast<void>(set_lock(file_.get(), F_UNLCK)); }

}  // namespace synproxy::dataplane
