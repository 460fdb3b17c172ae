#include "train/loop/run_lock.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tensor/error.h"
#include "train/setup/run_folder.h"

namespace patchcl {

RunLock::RunLock(const std::string& folder) {
  const std::string path = in_run(folder, run_file::lock);
  fd_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd_ < 0) fail(ExitCode::io, "train", "cannot create ", path, ": ", std::strerror(errno));
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  // Other errors come from file systems that know no locks.
  if (fcntl(fd_, F_SETLK, &lock) == 0 || (errno != EAGAIN && errno != EACCES)) return;
  fcntl(fd_, F_GETLK, &lock);
  close(fd_);
  fail(ExitCode::usage, "train", folder, " is in use by process ", lock.l_pid,
      "; wait for it or stop it (kill ", lock.l_pid, "), or choose another --out");
}

RunLock::~RunLock() { close(fd_); }

}  // namespace patchcl
