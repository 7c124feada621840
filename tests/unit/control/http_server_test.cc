// SPDX-License-Identifier: BSD-3-Clause
#include "control/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <vector>

#include "control/listen_address.h"
#include "local_http.h"

namespace synproxy::control {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class HttpServerTest : public testing::Test {
 protected:
  HttpServerTest()
      : listener_(listen_at(parse_listen_address(test::free_address()))),
        port_(test::port_of(listener_)),
        server_(listener_, {{"/a", [] { return Page{.type = "text/x", .body = "hello"}; }},
                            {"/a text/y", [] { return Page{.type = "text/y", .body = "hi"}; }},
                            {"/long", [] { return Page{.type = "text/x", .body = kLong}; }},
                            {"/bad", []() -> Page { throw std::bad_alloc(); }}}) {}

  static const std::string kLong;
  const int listener_;
  const std::uint16_t port_;
  const HttpServer server_;
};
const std::string HttpServerTest::kLong = std::string(8U << 20, 'x');

TEST_F(HttpServerTest, APageIsAnsweredWithItsTypeAndAStrictPolicy) {
  const std::string answer = test::ask(port_, "GET /a?x=1 HTTP/1.1");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(answer, HasSubstr("Content-Type: text/x\r\n"));
  EXPECT_THAT(answer, HasSubstr("Content-Security-Policy: default-src 'none'\r\n"));
  EXPECT_THAT(answer, HasSubstr("Cache-Control: no-store\r\n"));
  EXPECT_THAT(answer, EndsWith("\r\n\r\nhello"));
}

TEST_F(HttpServerTest, WhoAcceptsAnotherTypeGetsIt) {
  for (const char* accepts : {"text/y", "text/y;version=1,*/*;q=0.1", "image/png, text/y"}) {
    const std::string answer =
        test::ask(port_, "GET /a HTTP/1.1\r\nAccept: " + std::string(accepts));
    EXPECT_THAT(answer, HasSubstr("Content-Type: text/y\r\n")) << accepts;
    EXPECT_THAT(answer, EndsWith("\r\n\r\nhi")) << accepts;
  }
  for (const char* accepts : {"text/x", "*/*", ""}) {
    EXPECT_THAT(test::ask(port_, "GET /a HTTP/1.1\r\nAccept: " + std::string(accepts)),
                EndsWith("\r\n\r\nhello"))
        << accepts;
  }
  EXPECT_THAT(test::ask(port_, "GET /a%20text/y HTTP/1.1"), StartsWith("HTTP/1.1 404 "));
}

TEST_F(HttpServerTest, HeadHasNoBody) {
  const std::string answer = test::ask(port_, "HEAD /a HTTP/1.1");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(answer, HasSubstr("Content-Length: 5\r\n"));
  EXPECT_THAT(answer, Not(HasSubstr("hello")));
}

TEST_F(HttpServerTest, WhatIsNotThereNamesWhatIs) {
  const std::string answer = test::ask(port_, "GET /b HTTP/1.1");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(answer, HasSubstr("There is: /a /bad /long"));
}

TEST_F(HttpServerTest, NothingIsWrittenHere) {
  for (const char* line : {"POST /a HTTP/1.1", "DELETE /a HTTP/1.1", "PUT /a HTTP/1.1"}) {
    const std::string answer = test::ask(port_, line);
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 405 ")) << line;
    EXPECT_THAT(answer, HasSubstr("Allow: GET, HEAD\r\n")) << line;
  }
}

TEST_F(HttpServerTest, ClientsThatAskSlowlyOrDoNotReadHoldUpNobody) {
  std::vector<std::unique_ptr<test::Client>> slow;
  for (const char* start :
       {"", "GET", "GET /a HTTP/1.1\r\n", "GET /long HTTP/1.1\r\nHost: x\r\n\r\n"}) {
    for (int i = 0; i < 20; ++i) {
      slow.push_back(std::make_unique<test::Client>(port_));
      ASSERT_TRUE(slow.back()->connected());
      slow.back()->send(start);
    }
  }
  EXPECT_THAT(test::ask(port_, "GET /a HTTP/1.1"), EndsWith("hello"));
  EXPECT_THAT(test::ask(port_, "GET /long HTTP/1.1"), EndsWith(kLong));
}

TEST_F(HttpServerTest, ThoseWhoTakeAllPlacesLoseThem) {
  std::vector<std::unique_ptr<test::Client>> slow;
  for (unsigned i = 0; i < HttpServer::kConnections + 20; ++i) {
    slow.push_back(std::make_unique<test::Client>(port_));
    ASSERT_TRUE(slow.back()->connected());
    slow.back()->send("GET /a HTTP/1.1\r\n");
  }
  EXPECT_THAT(test::ask(port_, "GET /a HTTP/1.1"), EndsWith("hello"));
  EXPECT_EQ(slow.front()->rest(), "") << "cut, not answered";
}

TEST_F(HttpServerTest, APageThatCannotBeMadeClosesItsConnectionAlone) {
  EXPECT_EQ(test::ask(port_, "GET /bad HTTP/1.1"), "");
  EXPECT_THAT(test::ask(port_, "GET /a HTTP/1.1"), EndsWith("hello"));
}

TEST_F(HttpServerTest, RubbishIsRefused) {
  EXPECT_THAT(test::ask(port_, "\x16\x03\x01 not http at all"), Not(HasSubstr("200 OK")));
  EXPECT_THAT(test::ask(port_, "GET /" + std::string(40'000, 'a') + " HTTP/1.1"),
              Not(HasSubstr("200 OK")));
  EXPECT_THAT(test::ask(port_, "GET /a HTTP/1.1"), EndsWith("hello"));
}

}  // namespace
}  // namespace synproxy::control
