// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/policy/reply_cap.h"

namespace synproxy {
namespace {

// A mask of `bits` leading bits, as it lies in a packet.
template <typename Word>
Word raw_mask(unsigned bits) {
  constexpr unsigned kBits = 8 * sizeof(Word);
  const Word mask = bits == 0 ? Word{0} : static_cast<Word>(~Word{0} << (kBits - bits));
  std::array<std::uint8_t, sizeof(Word)> bytes;
  store_be<Word>(bytes.data(), mask);
  return load_raw<Word>(bytes.data());
}

}  // namespace

// What prefixes have spent stays; it was spent at the old rate.
void ReplyCap::retune(const LimitTuning& tuning) {
  const ReplyRate& rate = tuning.reply;
  monitored_ = (tuning.monitored & kMonitorReplyRate) != 0;
  mask4_ = raw_mask<std::uint32_t>(rate.mask.ipv4);
  mask6_ = {raw_mask<std::uint64_t>(std::min<unsigned>(rate.mask.ipv6, 64)),
            raw_mask<std::uint64_t>(std::max<unsigned>(rate.mask.ipv6, 64) - 64)};
  interval_ = 0;
  if (rate.per_second == 0) return;
  const std::uint64_t second = std::uint64_t{1000} << kShift;
  interval_ = std::max<std::uint64_t>(second * workers_ / rate.per_second, 1);
  const std::uint64_t at_once = std::max<std::uint64_t>(rate.per_second / workers_ / 4, 1);
  first_ = (at_once - 1) * interval_;
  again_ = first_ + at_once * interval_;
}

ReplyCap::Answer ReplyCap::over(std::uint64_t place, std::uint64_t now_ms, std::uint64_t flow,
                                std::uint32_t isn) {
  if (monitored_) return Answer::kMonitored;
  retries_.set_time(now_ms);
  const auto source = static_cast<std::uint32_t>(flow);
  const bool again = retries_.concerns(source) && retries_.asked_again(source, mark_of(flow, isn));
  return again && taker(now_ms, again_).take(place) ? Answer::kYes : Answer::kNo;
}

}  // namespace synproxy
