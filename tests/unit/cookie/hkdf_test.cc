// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/cookie/hkdf.h"

#include <gtest/gtest.h>

#include <string_view>
#include <vector>

namespace synproxy {
namespace {

std::vector<std::uint8_t> hex(std::string_view digits) {
  std::vector<std::uint8_t> bytes;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
    bytes.push_back(
        static_cast<std::uint8_t>(std::stoul(std::string(digits.substr(i, 2)), nullptr, 16)));
  }
  return bytes;
}

std::vector<std::uint8_t> counting(std::uint8_t first, std::size_t n) {
  std::vector<std::uint8_t> bytes(n);
  for (std::size_t i = 0; i < n; ++i) {
    bytes[i] = static_cast<std::uint8_t>(first + i);
  }
  return bytes;
}

struct Case {
  const char* name;  // in RFC 5869 appendix A
  std::vector<std::uint8_t> secret, salt, info;
  const char* prk;
  const char* okm;
};

TEST(Hkdf, AgreesWithTheTestVectorsOfRfc5869) {
  const std::array cases{
      Case{"A.1", std::vector<std::uint8_t>(22, 0x0b), counting(0x00, 13), counting(0xf0, 10),
           "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
           "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"},
      Case{"A.2", counting(0x00, 80), counting(0x60, 80), counting(0xb0, 80),
           "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
           "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41"
           "c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"},
      // No salt given means a salt of zeros (section 2.2).
      Case{"A.3",
           std::vector<std::uint8_t>(22, 0x0b),
           std::vector<std::uint8_t>(32, 0),
           {},
           "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
           "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"},
  };
  for (const Case& c : cases) {
    const HkdfKey prk = hkdf_extract(c.salt, c.secret);
    EXPECT_EQ(std::vector<std::uint8_t>(prk.begin(), prk.end()), hex(c.prk)) << c.name;
    std::vector<std::uint8_t> okm(hex(c.okm).size());
    hkdf_expand(prk, c.info, okm);
    EXPECT_EQ(okm, hex(c.okm)) << c.name;
  }
}

TEST(Hkdf, RefusesMoreOutputThanTheRfcAllows) {
  std::vector<std::uint8_t> okm(255 * 32 + 1);
  EXPECT_THROW(hkdf_expand(HkdfKey{1}, {}, okm), std::runtime_error);
}

}  // namespace
}  // namespace synproxy
