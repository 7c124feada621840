// SPDX-License-Identifier: BSD-3-Clause
#include "control/flow_requests.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "base/errors.h"
#include "control/flow_wire.h"
#include "control/log.h"
#include "control/rule_text.h"
#include "dataplane/flow_mail.h"

namespace synproxy::control {
namespace {

using Json = nlohmann::ordered_json;
using dataplane::FlowMail;
using State = FlowMail::State;

// Who is served by the worker's mail. All of it happens on one thread; several answers take turns.
struct Desk {
  explicit Desk(dataplane::Dataplane& from) : dataplane(from), users(from.workers(), nullptr) {}

  dataplane::Dataplane& dataplane;
  std::vector<const Answer*> users;
};

// One question to a worker after the other.
class MailAnswer : public Answer {
 public:
  explicit MailAnswer(std::shared_ptr<Desk> desk) : desk_(std::move(desk)) {}
  ~MailAnswer() override {
    // What the worker still does of the last letter is for nobody.
    std::ranges::replace(desk_->users, static_cast<const Answer*>(this),
                         static_cast<const Answer*>(nullptr));
  }
  MailAnswer(const MailAnswer&) = delete;
  MailAnswer& operator=(const MailAnswer&) = delete;

 protected:
  [[nodiscard]] unsigned workers() const { return desk_->dataplane.workers(); }
  // The mail of the worker if it may be written to; then this answer holds it until close().
  [[nodiscard]] FlowMail* open(unsigned worker) {
    FlowMail& mail = desk_->dataplane.flow_mail(worker);
    if (desk_->users[worker] != nullptr || mail.state() == State::kAsked) return nullptr;
    desk_->users[worker] = this;
    return &mail;
  }
  void close(unsigned worker) {
    desk_->dataplane.flow_mail(worker).forget();
    desk_->users[worker] = nullptr;
  }

 private:
  std::shared_ptr<Desk> desk_;
};

class Listing final : public MailAnswer {
 public:
  enum class What : char { kFlows, kServices };

  Listing(std::shared_ptr<Desk> desk, What what, std::string head)
      : MailAnswer(std::move(desk)), what_(what), head_(std::move(head)) {}

  Step next(std::string& out) override {
    out += std::exchange(head_, {});
    if (worker_ == workers()) {
      out += "{\"end\":true}\n";
      return Step::kEnd;
    }
    if (mail_ == nullptr) {
      mail_ = open(worker_);
      if (mail_ == nullptr) return Step::kWait;
      what_ == What::kFlows ? mail_->ask_for_flows(from_) : mail_->ask_for_services(from_);
    }
    if (mail_->state() != State::kDone) return Step::kWait;
    what_ == What::kFlows ? append(out, mail_->flows()) : append(out, mail_->services());
    from_ = mail_->next();
    close(worker_);
    mail_ = nullptr;
    if (from_ == kNoFlow) {
      from_ = 0;
      ++worker_;
    }
    return Step::kMore;
  }

 private:
  template <typename Info>
  void append(std::string& out, std::span<const Info> part) const {
    out += Json{{"worker", worker_}, {"count", part.size()}}.dump() + "\n";
    const std::size_t at = out.size();
    out.resize(at + part.size_bytes());
    if (!part.empty()) std::memcpy(out.data() + at, part.data(), part.size_bytes());
  }

  What what_;
  std::string head_;
  unsigned worker_ = 0;
  FlowIndex from_ = 0;
  FlowMail* mail_ = nullptr;
};

class Deletion final : public MailAnswer {
 public:
  using Names = std::vector<std::vector<FlowMail::FlowName>>;  // by worker

  Deletion(std::shared_ptr<Desk> desk, Names names, std::string who)
      : MailAnswer(std::move(desk)), names_(std::move(names)), who_(std::move(who)) {}

  Step next(std::string& out) override {
    while (worker_ < names_.size() && names_[worker_].empty()) ++worker_;
    if (worker_ == names_.size()) {
      if (asked_) {
        say("deleted " + std::to_string(deleted_) + (deleted_ == 1 ? " flow (" : " flows (") +
            who_ + ")");
      }
      out += answer_line({{"deleted", deleted_}});
      return Step::kEnd;
    }
    if (mail_ == nullptr) {
      mail_ = open(worker_);
      if (mail_ == nullptr) return Step::kWait;
      asked_ = true;
      mail_->ask_to_delete(names_[worker_]);
    }
    if (mail_->state() != State::kDone) return Step::kWait;
    deleted_ += mail_->deleted();
    close(worker_++);
    mail_ = nullptr;
    return Step::kMore;
  }

 private:
  Names names_;
  std::string who_;
  unsigned worker_ = 0;
  std::size_t deleted_ = 0;
  bool asked_ = false;  // a worker, for at least one flow
  FlowMail* mail_ = nullptr;
};

// Throws Json::exception where the entry is another one.
void read_name(const Json& entry, FlowMail::FlowName& name) {
  name.index = entry.at("index").get<FlowIndex>();
  const auto client = entry.at("client").get<std::string>();
  const auto server = entry.at("server").get<std::string>();
  name.key.ipv6 = client.find(':') != std::string::npos;
  const int family = name.key.ipv6 ? AF_INET6 : AF_INET;
  if (::inet_pton(family, client.c_str(), name.key.client.data()) != 1 ||
      ::inet_pton(family, server.c_str(), name.key.server.data()) != 1) {
    throw UsageError("a flow of the request has no address of a family");
  }
  name.key.client_port = entry.at("sport").get<std::uint16_t>();
  name.key.server_port = entry.at("dport").get<std::uint16_t>();
  name.key.vlan.packed = entry.at("vlan").get<std::uint32_t>();
}

Deletion::Names read_names(const Json& request, unsigned workers) {
  Deletion::Names names(workers);
  for (const Json& entry : request.at("flows")) {
    const auto worker = entry.at("worker").get<unsigned>();
    if (worker >= workers) throw UsageError("a flow of the request has a worker that is not there");
    read_name(entry, names[worker].emplace_back());
  }
  return names;
}

}  // namespace

void add_flow_requests(Requests& requests, dataplane::Dataplane& dataplane, const Config& config) {
  const auto desk = std::make_shared<Desk>(dataplane);
  Json head{{"format", kFlowFormat}, {"size", sizeof(FlowInfo)}};
  head["protect"] = Json::array();
  head["services"] = Json::array();  // the name of each rule's service
  for (const ProtectRule& rule : config.protect) {
    head["protect"].push_back(rule_text(rule));
    const std::size_t service = rule.service;
    head["services"].push_back(service == 0 ? "" : config.services[service - 1].name);
  }
  requests.add_long("flows", Requests::Kind::kReading, [desk, head](const Json&, const Peer&) {
    return std::make_unique<Listing>(desk, Listing::What::kFlows, answer_line(head));
  });
  const Json about{{"format", kFlowFormat}, {"size", sizeof(ServiceInfo)}};
  requests.add_long("services", Requests::Kind::kReading, [desk, about](const Json&, const Peer&) {
    return std::make_unique<Listing>(desk, Listing::What::kServices, answer_line(about));
  });
  requests.add_long("delete-flows", Requests::Kind::kChanging,
                    [desk, &dataplane](const Json& request, const Peer& peer) {
                      return std::make_unique<Deletion>(
                          desk, read_names(request, dataplane.workers()), peer.text());
                    });
}

}  // namespace synproxy::control
