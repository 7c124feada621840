// SPDX-License-Identifier: BSD-3-Clause
#include "control/activation_lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace synproxy::control {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

ActiveService service(std::uint16_t port, std::uint32_t value, bool by_rate = false) {
  ActiveService s;
  s.address = {203, 0, 113, 10};
  s.port = port;
  s.value = value;
  s.by_rate = by_rate;
  return s;
}

class Lines : public ::testing::Test {
 protected:
  std::vector<std::string> look(const std::vector<ActiveService>& active) {
    return lines_.look(active, tuning_);
  }
  Lines() { tuning_.mode = Mode::kAdaptive; }
  EngineTuning tuning_;
  ActivationLines lines_;
};

TEST_F(Lines, OneWhenTheyBeginAndOneWhenTheyEnd) {
  EXPECT_THAT(look({}), IsEmpty());
  EXPECT_THAT(look({service(80, 128)}),
              ElementsAre("cookies began for 203.0.113.10:80: 128 half-open connections are more "
                          "than 25 % of --adaptive-backlog 511"));
  EXPECT_THAT(look({service(80, 128)}), IsEmpty());
  EXPECT_THAT(look({}), ElementsAre("cookies ended for 203.0.113.10:80: for 60 s less than 12 % of "
                                    "--adaptive-backlog 511 would have been half-open"));
  EXPECT_THAT(look({}), IsEmpty());
}

TEST_F(Lines, OneForAllWorkersAndEachService) {
  EXPECT_THAT(look({service(80, 128), service(80, 130), service(443, 10'000, true)}),
              ElementsAre("cookies began for 203.0.113.10:80: 128 half-open connections are more "
                          "than 25 % of --adaptive-backlog 511",
                          "cookies began for 203.0.113.10:443: 10000 SYNs a second are above "
                          "--adaptive-rate 10000"));
  // One worker goes on.
  EXPECT_THAT(look({service(80, 130), service(443, 10'000, true)}), IsEmpty());
}

TEST_F(Lines, NameFamilyAndVlan) {
  ActiveService s = service(443, 10'000, true);
  s.ipv6 = true;
  s.address = {0x20, 1, 0xd, 0xb8};
  s.vlan = VlanStack{}.pushed(kEtherTypeVlan, 7).packed;
  EXPECT_THAT(look({s}), ElementsAre("cookies began for [2001:db8::]:443 in VLAN 7: 10000 SYNs a "
                                     "second are above --adaptive-rate 10000"));
}

TEST_F(Lines, AChangeOfTheModeBringsNone) {
  static_cast<void>(look({service(80, 128)}));
  tuning_.mode = Mode::kAlways;
  EXPECT_THAT(look({}), IsEmpty());
  tuning_.mode = Mode::kAdaptive;
  EXPECT_THAT(look({}), IsEmpty());
}

TEST_F(Lines, SayWhoseMarksWerePassedAndWhatIsOnlyWatched) {
  ActiveService s = service(80, 33);
  s.named = 1;
  s.monitored = true;
  NamedService web{.name = "web", .tuning = tuning_, .lists = {}};
  web.tuning.adaptive.backlog = 128;
  EXPECT_THAT(lines_.look({s}, tuning_, {&web, 1}),
              ElementsAre("cookies would begin without --monitor mode for 203.0.113.10:80: 33 "
                          "half-open connections are more than 25 % of --adaptive-backlog 128"));
  EXPECT_THAT(lines_.look({}, tuning_, {&web, 1}),
              ElementsAre("cookies would end for 203.0.113.10:80: for 60 s less than 12 % of "
                          "--adaptive-backlog 128 would have been half-open"));
}

}  // namespace
}  // namespace synproxy::control
