// SPDX-License-Identifier: BSD-3-Clause
// `synproxy top`: asks the running proxy once a second and shows what it says, on a terminal or
// once.
#define NCURSES_NOMACROS 1  // its macros hide names and cast in the old style
#include <langinfo.h>
#include <ncurses.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <clocale>
#include <csignal>
#include <cstdlib>
#include <string_view>

#include "base/errors.h"
#include "control/commands.h"
#include "control/control_client.h"
#include "control/top_view.h"

namespace synproxy::control {
namespace {

using Json = nlohmann::ordered_json;

constexpr unsigned kSeconds = 120;  // of the sparklines
constexpr int kEveryMs = 1000;
constexpr std::size_t kUsualColumns = 80;
constexpr std::string_view kKeys = "q quits   p pauses   space asks at once";

volatile std::sig_atomic_t told_to_stop = 0;

void stop(int) { told_to_stop = 1; }

Json ask(ControlClient& proxy) {
  return proxy.ask({{"command", "history"}, {"seconds", kSeconds}});
}

std::vector<ScreenLine> lines_of(const Json& history, const Screen& screen) {
  try {
    return top_lines(history, screen);
  } catch (const Json::exception&) {
    throw RuntimeFailure(
        "top: what answers under this name is a proxy of another version; use the program that "
        "was started");
  }
}

// The terminal is ours while this lives, and as it was afterwards.
class Terminal {
 public:
  Terminal() {
    // Before ncurses, which would end the program by its own handlers.
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) static_cast<void>(std::signal(signal, stop));
    screen_ = ::newterm(nullptr, stdout, stdin);
    if (screen_ == nullptr) {
      const char* name = std::getenv("TERM");
      throw UsageError("synproxy top: this kind of terminal is not known (TERM " +
                       std::string(name == nullptr ? "is not set" : name) +
                       "); set TERM, or give --once");
    }
    ::cbreak();
    ::noecho();
    ::curs_set(0);
    ::keypad(stdscr, true);
    ::timeout(kEveryMs);
    colours_ = ::has_colors() && std::getenv("NO_COLOR") == nullptr;
    if (!colours_) return;
    ::start_color();
    ::use_default_colors();
    ::init_pair(kGreen, COLOR_GREEN, -1);
    ::init_pair(kYellow, COLOR_YELLOW, -1);
    ::init_pair(kRed, COLOR_RED, -1);
  }
  ~Terminal() {
    ::endwin();
    ::delscreen(screen_);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  // The key pressed within a second, or ERR.
  [[nodiscard]] static int key() { return ::getch(); }
  [[nodiscard]] static Screen screen(bool utf8) {
    // The last line has the keys.
    return {.columns = static_cast<std::size_t>(std::max(1, ::getmaxx(stdscr))),
            .lines = static_cast<std::size_t>(std::max(2, ::getmaxy(stdscr))) - 1,
            .utf8 = utf8};
  }

  void show(const std::vector<ScreenLine>& lines, bool paused) const {
    ::erase();
    for (std::size_t i = 0; i < lines.size(); ++i) {
      ::move(static_cast<int>(i), 0);
      for (const Run& run : lines[i]) put(run.tint, run.text);
    }
    ::move(::getmaxy(stdscr) - 1, 0);
    put(Tint::kTitle, kKeys.substr(0, static_cast<std::size_t>(::getmaxx(stdscr) - 1)));
    if (paused) put(Tint::kWatch, "   paused");
    ::refresh();
  }

 private:
  static constexpr short kGreen = 1;
  static constexpr short kYellow = 2;
  static constexpr short kRed = 3;

  [[nodiscard]] attr_t look(Tint tint) const {
    const auto in = [this](short pair) { return colours_ ? ::COLOR_PAIR(pair) : 0; };
    switch (tint) {
      case Tint::kPlain:
        return A_NORMAL;
      case Tint::kFaint:
        return A_DIM;
      case Tint::kTitle:
        return A_BOLD;
      case Tint::kCalm:
        return static_cast<attr_t>(in(kGreen)) | A_BOLD;
      case Tint::kWatch:
        return static_cast<attr_t>(in(kYellow)) | A_BOLD;
      case Tint::kAlarm:
        return static_cast<attr_t>(in(kRed)) | A_BOLD;
    }
    return A_NORMAL;
  }
  void put(Tint tint, std::string_view text) const {
    ::attrset(static_cast<int>(look(tint)));
    ::addnstr(text.data(), static_cast<int>(text.size()));
    ::attrset(A_NORMAL);
  }

  SCREEN* screen_ = nullptr;
  bool colours_ = false;
};

bool speaks_utf8() {
  static_cast<void>(std::setlocale(LC_CTYPE, ""));
  return std::string_view(::nl_langinfo(CODESET)) == "UTF-8";
}

std::size_t columns_of_script() {
  const char* text = std::getenv("COLUMNS");
  const std::string_view given = text == nullptr ? "" : text;
  std::size_t columns = 0;
  const auto [end, error] = std::from_chars(given.data(), given.data() + given.size(), columns);
  const bool good = error == std::errc() && end == given.data() + given.size();
  return good && columns >= 20 && columns <= 1000 ? columns : kUsualColumns;
}

void watch(ControlClient& proxy, bool utf8) {
  Json history = ask(proxy);
  const Terminal terminal;
  for (bool paused = false; told_to_stop == 0;) {
    terminal.show(lines_of(history, Terminal::screen(utf8)), paused);
    const int key = Terminal::key();
    if (key == 'q' || key == 'Q') return;
    if (key == 'p' || key == 'P') paused = !paused;
    if (!paused && key != KEY_RESIZE && told_to_stop == 0) history = ask(proxy);
  }
}

void run_top(const CommandLine& line, const Print& print) {
  const bool utf8 = speaks_utf8();
  const bool once = line.has("once");
  if (!once && (::isatty(STDOUT_FILENO) == 0 || ::isatty(STDIN_FILENO) == 0)) {
    throw UsageError(
        "synproxy top: standard input or output is no terminal; give --once to print "
        "it for a script");
  }
  ControlClient proxy(line.name());
  if (!once) return watch(proxy, utf8);
  print(
      plain_text(lines_of(ask(proxy), {.columns = columns_of_script(), .lines = 0, .utf8 = utf8})));
}

constexpr std::array kTopFlags = {
    CommandFlag{.name = "once",
                .help = "print it once and end, for a script; as wide as COLUMNS says, or 80"},
    kNameFlag};

}  // namespace

Command top_command() {
  return {.name = "top",
          .usage = "[--once] [--name NAME]",
          .help =
              "a live view: what is happening in words, rates with the last two minutes as curves, "
              "drops by reason, how busy each worker is, sources over a limit",
          .flags = kTopFlags,
          .notes =
              "\nKeys: q quits, p pauses and goes on, space asks at once. Colours where the "
              "terminal has them;\nNO_COLOR switches them off.\n",
          .run = run_top};
}

}  // namespace synproxy::control
