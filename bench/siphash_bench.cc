// SPDX-License-Identifier: BSD-3-Clause
// SipHash-2-4 of cookie inputs: one by one, each burst kernel, and OpenSSL's EVP_MAC beside them.
#include "synproxy/cookie/siphash.h"

#include <benchmark/benchmark.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <array>
#include <random>
#include <string>
#include <vector>

#include "median_cycles.h"

namespace {

using synproxy::MacInput;
using synproxy::SipHashKernel;

constexpr std::size_t kBurst = 32;
constexpr std::size_t kBursts = 64;  // 96 KB of inputs: more than the first-level cache holds

struct Inputs {
  std::vector<std::uint64_t> k0s, k1s, out;
  std::vector<MacInput> in;

  explicit Inputs(const std::string& mix) : k0s(kBurst), k1s(kBurst), out(kBurst) {
    std::mt19937_64 random(1);
    // Four keys, as in an engine: two layouts in two epochs.
    std::array<std::uint64_t, 8> keys;
    for (std::uint64_t& key : keys) {
      key = random();
    }
    for (std::size_t i = 0; i < kBurst; ++i) {
      const std::size_t choice = random() % 4;
      k0s[i] = keys[2 * choice];
      k1s[i] = keys[2 * choice + 1];
    }
    for (std::size_t i = 0; i < kBurst * kBursts; ++i) {
      MacInput message{};
      for (std::uint64_t& word : message.words) {
        word = random();
      }
      const bool ipv6 = mix == "ipv6" || (mix == "mixed" && (random() & 1) != 0);
      message.count = ipv6 ? 5 : 2;
      in.push_back(message);
    }
  }
};

// Calls hash(keys, messages, out) for every burst of the inputs and counts cycles for each hash.
template <typename Hash>
void run(benchmark::State& state, const std::string& mix, std::size_t size, Hash hash) {
  Inputs inputs(mix);
  MedianCycles cycles;
  while (state.KeepRunning()) {
    cycles.start();
    for (std::size_t i = 0; i < kBurst * kBursts; i += kBurst) {
      hash(inputs.k0s.data(), inputs.k1s.data(), &inputs.in[i], inputs.out.data(), size);
      benchmark::DoNotOptimize(inputs.out.data());
      benchmark::ClobberMemory();
    }
    cycles.stop();
  }
  cycles.report(state, "cycles/hash", size * kBursts);
}

void single(benchmark::State& state, const std::string& mix) {
  run(state, mix, kBurst,
      [](const std::uint64_t* k0s, const std::uint64_t* k1s, const MacInput* in, std::uint64_t* out,
         std::size_t n) {
        for (std::size_t i = 0; i < n; ++i) {
          out[i] = synproxy::siphash24(k0s[i], k1s[i], in[i].words.data(), in[i].count);
        }
      });
}

void burst(benchmark::State& state, const SipHashKernel& kernel, const std::string& mix,
           std::size_t size) {
  run(state, mix, size, kernel.run);
}

// The cheapest way that EVP offers: one context, its key set once, then init, update, final.
void openssl(benchmark::State& state, const std::string& mix) {
  EVP_MAC* mac = EVP_MAC_fetch(nullptr, "SIPHASH", nullptr);
  EVP_MAC_CTX* context = EVP_MAC_CTX_new(mac);
  std::size_t size = 8;
  const std::array<OSSL_PARAM, 2> params{OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size),
                                         OSSL_PARAM_construct_end()};
  const std::array<unsigned char, 16> key{1, 2, 3};
  if (EVP_MAC_init(context, key.data(), key.size(), params.data()) == 1) {
    run(state, mix, kBurst,
        [&](const std::uint64_t*, const std::uint64_t*, const MacInput* in, std::uint64_t* out,
            std::size_t n) {
          for (std::size_t i = 0; i < n; ++i) {
            std::size_t written = 0;
            EVP_MAC_init(context, nullptr, 0, nullptr);
            EVP_MAC_update(context, reinterpret_cast<const unsigned char*>(in[i].words.data()),
                           8UL * in[i].count);
            EVP_MAC_final(context, reinterpret_cast<unsigned char*>(&out[i]), &written, 8);
          }
        });
  } else {
    state.SkipWithError("OpenSSL has no SipHash");
  }
  EVP_MAC_CTX_free(context);
  EVP_MAC_free(mac);
}

}  // namespace

int main(int argc, char** argv) {
  for (const std::string mix : {"ipv4", "ipv6", "mixed"}) {
    benchmark::RegisterBenchmark(("single/" + mix).c_str(), single, mix);
    for (const SipHashKernel& kernel : synproxy::siphash24_kernels()) {
      for (const std::size_t size : {std::size_t{2}, std::size_t{4}, std::size_t{6}, std::size_t{8},
                                     std::size_t{13}, kBurst}) {
        const std::string name =
            "burst/" + std::string(kernel.name) + "/" + mix + "/" + std::to_string(size);
        benchmark::RegisterBenchmark(name.c_str(), burst, kernel, mix, size);
      }
    }
    benchmark::RegisterBenchmark(("openssl/" + mix).c_str(), openssl, mix);
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 1;
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
