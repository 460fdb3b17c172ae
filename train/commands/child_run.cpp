#include "train/commands/child_run.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "tensor/error.h"
#include "train/loop/stop_signals.h"

namespace patchcl {

namespace {

std::array<std::atomic<pid_t>, kMostChildren> g_children{};  // 0: a free place

std::atomic<pid_t>& place_for(pid_t child) {
  for (std::atomic<pid_t>& place : g_children) {
    pid_t none = 0;
    if (place.compare_exchange_strong(none, child)) return place;
  }
  fail(ExitCode::internal, "run", "more than ", kMostChildren, " children");
}

pid_t spawn(std::vector<std::string> arguments, const std::string& log) {
  arguments.insert(arguments.begin(), "patchcl");
  std::vector<char*> argv;
  for (std::string& a : arguments) argv.push_back(a.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  posix_spawn_file_actions_adddup2(&files, STDOUT_FILENO, STDERR_FILENO);
  pid_t child;
  const int error = posix_spawn(&child, "/proc/self/exe", &files, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  if (error != 0) fail(ExitCode::internal, "run", "cannot start another: ", std::strerror(error));
  return child;
}

}  // namespace

void stop_children(const siginfo_t& signal) {
  if (signal.si_code > 0) return;  // the kernel's: a terminal has told them too
  for (const std::atomic<pid_t>& child : g_children)
    if (const pid_t pid = child; pid > 0) kill(pid, kAskToStop);
}

int run_self(std::vector<std::string> arguments, const std::string& log) {
  const pid_t child = spawn(std::move(arguments), log);
  std::atomic<pid_t>& place = place_for(child);
  if (StopSignals::asked()) kill(child, kAskToStop);  // the signal came before the child had its place
  siginfo_t ended{};
  while (waitid(P_PID, id_t(child), &ended, WEXITED | WNOWAIT) < 0 && errno == EINTR) {}
  place = 0;  // while its number is still its own
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace patchcl
