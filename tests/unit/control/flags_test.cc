// SPDX-License-Identifier: BSD-3-Clause
#include "control/flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace synproxy::control {
namespace {

std::vector<Flag> rows_with_value() {
  std::vector<Flag> rows;
  for (const Flag& flag : flags()) {
    if (flag.kind != FlagKind::kBare) rows.push_back(flag);
  }
  return rows;
}

void apply_all(const Flag& flag, Config& config, const std::vector<std::string>& texts) {
  for (const std::string& text : texts) flag.value.apply(config, text);
}

TEST(Flags, ABareRowHasNoValueAndEveryOtherRowIsWhole) {
  for (const Flag& flag : flags()) {
    const bool bare = flag.kind == FlagKind::kBare;
    EXPECT_EQ(flag.value.apply == nullptr, bare) << flag.name;
    EXPECT_EQ(flag.value.print == nullptr, bare) << flag.name;
    EXPECT_EQ(flag.form.empty(), bare) << flag.name;
    EXPECT_EQ(flag.example.empty(), bare) << flag.name;
    EXPECT_EQ(find_flag(flag.name), &flag);
  }
}

TEST(Flags, TheDefaultsTextGivesTheDefault) {
  for (const Flag& flag : rows_with_value()) {
    Config config;
    apply_all(flag, config, flag.value.print(config));
    EXPECT_EQ(config, Config{}) << flag.name;
  }
}

TEST(Flags, AnotherValueChangesTheConfigAndPrintsAsItIs) {
  for (const Flag& flag : rows_with_value()) {
    Config config;
    flag.value.apply(config, flag.example);
    EXPECT_FALSE(config == Config{}) << flag.name;
    Config again;
    apply_all(flag, again, flag.value.print(config));
    EXPECT_EQ(again, config) << flag.name;
  }
}

TEST(Flags, NoRowTouchesWhatAnotherPrints) {
  for (const Flag& flag : rows_with_value()) {
    Config config;
    flag.value.apply(config, flag.example);
    for (const Flag& other : rows_with_value()) {
      if (other.name == flag.name) continue;
      EXPECT_EQ(other.value.print(config), other.value.print(Config{}))
          << flag.name << " " << other.name;
    }
  }
}

// What all rows together have printed is all that there is to say about a configuration.
TEST(Flags, PrintedAndAppliedAgainAWholeConfigIsTheSame) {
  Config config;
  for (const Flag& flag : rows_with_value()) flag.value.apply(config, flag.example);
  Config again;
  for (const Flag& flag : rows_with_value()) apply_all(flag, again, flag.value.print(config));
  EXPECT_EQ(again, config);
}

// A field that is added does not compile here before it is listed.
struct Field {
  std::string name;
  bool same;
};
std::vector<Field> fields(const Config& a, const Config& b) {
  std::vector<Field> out;
  const auto add = [&](const char* name, const auto& x, const auto& y) {
    out.push_back({name, x == y});
  };
#define SYNPROXY_SAME(field) add(#field, field, other_##field)
  const auto& [client_port, server_port, protect, services, vlan_pairs, engine, loop, flow_offload,
               workers, name, lists, tight_cookies, control_group, secret_file, state_dir, fresh,
               take_over, config_file, user, seccomp, confirm, stats_interval, metrics, log_level,
               eal_arguments] = a;
  const auto& [other_client_port, other_server_port, other_protect, other_services,
               other_vlan_pairs, other_engine, other_loop, other_flow_offload, other_workers,
               other_name, other_lists, other_tight_cookies, other_control_group, other_secret_file,
               other_state_dir, other_fresh, other_take_over, other_config_file, other_user,
               other_seccomp, other_confirm, other_stats_interval, other_metrics, other_log_level,
               other_eal_arguments] = b;
  SYNPROXY_SAME(client_port);
  SYNPROXY_SAME(server_port);
  SYNPROXY_SAME(protect);
  SYNPROXY_SAME(services);
  SYNPROXY_SAME(vlan_pairs);
  SYNPROXY_SAME(flow_offload);
  SYNPROXY_SAME(workers);
  SYNPROXY_SAME(name);
  SYNPROXY_SAME(control_group);
  const auto& [allow_files, deny_files, bogons] = lists;
  const auto& [other_allow_files, other_deny_files, other_bogons] = other_lists;
  SYNPROXY_SAME(allow_files);
  SYNPROXY_SAME(deny_files);
  SYNPROXY_SAME(tight_cookies);
  SYNPROXY_SAME(bogons);
  SYNPROXY_SAME(secret_file);
  SYNPROXY_SAME(state_dir);
  SYNPROXY_SAME(fresh);
  SYNPROXY_SAME(take_over);
  SYNPROXY_SAME(config_file);
  SYNPROXY_SAME(user);
  SYNPROXY_SAME(seccomp);
  SYNPROXY_SAME(confirm);
  SYNPROXY_SAME(stats_interval);
  SYNPROXY_SAME(metrics);
  SYNPROXY_SAME(log_level);
  SYNPROXY_SAME(eal_arguments);
  const auto& [shape, tuning, most_vectors] = engine;
  const auto& [other_shape, other_tuning, other_most_vectors] = other_engine;
  SYNPROXY_SAME(most_vectors);
  const auto& [workers_of_shape, max_flows, early_data_memory, epoch_ms, replays_per_epoch,
               limit_memory, unix_ms_at_start, adopt_ms, shared_secret] = shape;
  const auto& [other_workers_of_shape, other_max_flows, other_early_data_memory, other_epoch_ms,
               other_replays_per_epoch, other_limit_memory, other_unix_ms_at_start, other_adopt_ms,
               other_shared_secret] = other_shape;
  SYNPROXY_SAME(workers_of_shape);
  SYNPROXY_SAME(max_flows);
  SYNPROXY_SAME(early_data_memory);
  SYNPROXY_SAME(epoch_ms);
  SYNPROXY_SAME(replays_per_epoch);
  SYNPROXY_SAME(limit_memory);
  SYNPROXY_SAME(unix_ms_at_start);
  SYNPROXY_SAME(adopt_ms);
  SYNPROXY_SAME(shared_secret);
  const auto& [mode, adaptive, offer, early_window, synack_repeats, hide_rtt, fragments,
               forward_tcp_auth, unknown, server_timeout_ms, idle_timeout_ms, close_timeout_ms,
               strict_window, min_ttl, limits] = tuning;
  const auto& [other_mode, other_adaptive, other_offer, other_early_window, other_synack_repeats,
               other_hide_rtt, other_fragments, other_forward_tcp_auth, other_unknown,
               other_server_timeout_ms, other_idle_timeout_ms, other_close_timeout_ms,
               other_strict_window, other_min_ttl, other_limits] = other_tuning;
  SYNPROXY_SAME(mode);
  SYNPROXY_SAME(adaptive);
  SYNPROXY_SAME(early_window);
  SYNPROXY_SAME(synack_repeats);
  SYNPROXY_SAME(hide_rtt);
  SYNPROXY_SAME(fragments);
  SYNPROXY_SAME(forward_tcp_auth);
  SYNPROXY_SAME(unknown);
  SYNPROXY_SAME(strict_window);
  SYNPROXY_SAME(min_ttl);
  SYNPROXY_SAME(server_timeout_ms);
  SYNPROXY_SAME(idle_timeout_ms);
  SYNPROXY_SAME(close_timeout_ms);
  const auto& [rate, conns, action, reply, backlog, monitored] = limits;
  const auto& [other_rate, other_conns, other_action, other_reply, other_backlog, other_monitored] =
      other_limits;
  SYNPROXY_SAME(rate);
  SYNPROXY_SAME(conns);
  SYNPROXY_SAME(action);
  SYNPROXY_SAME(reply);
  SYNPROXY_SAME(backlog);
  SYNPROXY_SAME(monitored);
  const auto& [sack, timestamps, ecn, window_scale, mss] = offer;
  const auto& [other_sack, other_timestamps, other_ecn, other_window_scale, other_mss] =
      other_offer;
  SYNPROXY_SAME(sack);
  SYNPROXY_SAME(timestamps);
  SYNPROXY_SAME(ecn);
  SYNPROXY_SAME(window_scale);
  SYNPROXY_SAME(mss);
  const auto& [shed_syns, idle_sleep_us] = loop;
  const auto& [other_shed_syns, other_idle_sleep_us] = other_loop;
  SYNPROXY_SAME(shed_syns);
  SYNPROXY_SAME(idle_sleep_us);
#undef SYNPROXY_SAME
  return out;
}

TEST(Flags, EveryFieldIsReachedBySomeRow) {
  // What comes after `--`; what no user decides; the hour; what follows from --workers, and from
  // --secret-file and the like; what only sections of a file make.
  const std::set<std::string> others{"eal_arguments",     "services",         "most_vectors",
                                     "replays_per_epoch", "unix_ms_at_start", "workers_of_shape",
                                     "shared_secret"};
  Config config;
  for (const Flag& flag : rows_with_value()) flag.value.apply(config, flag.example);
  for (const Field& field : fields(config, Config{})) {
    EXPECT_EQ(field.same, others.contains(field.name)) << field.name;
  }
}

}  // namespace
}  // namespace synproxy::control
