// A disk that forgets. Preloaded into a process (LD_PRELOAD), this file layer stands between it and the files below one folder:
// what was written since the last fsync of a file is remembered with what was there before, and a "power cut" puts that back and
// ends the process at once. An fsync does not reach the real disk; it only says that this file is now safe. Names are as on a real
// file system: a file made, removed or renamed is safe only once its directory was synced.
//
// Owns: what a disk may do to a program that trusts it too early. Refuses to know: SQLite, and what the files mean.
//
//   POWERCUT_DIR          the folder (its real path); files whose name ends in "-shm" are memory and left alone
//   POWERCUT_SEED         of everything random here
//   POWERCUT_AT           the power fails at the change with this number: write, truncation, new or lost name, sync
//   POWERCUT_FILE         count only changes of files whose name ends so
//   POWERCUT_WHEN         a FIFO: the power fails when somebody writes into it; at the latest it fails when the process ends
//   POWERCUT_KEEP         what survives of the unsynced: "none", "some" (random 512-byte sectors: torn writes), or "all", which is
//                         the death of the process only
//   POWERCUT_SYNC_FAILS   the sync with this number (of files that are counted) fails with EIO; later ones of the same file report
//                         success, but nothing of it becomes safe any more
//   POWERCUT_WRITE_FAILS  from the write with this number on all fail with EIO
//   POWERCUT_FULL_AFTER   files can grow by so many bytes, then ENOSPC
//   POWERCUT_ROOM         once this file exists there is room again
//
// Real calls are made by number, so that nothing here depends on the order in which libraries are loaded.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
enum { SECTOR = 512, FILES = 512, EXIT_STATUS = 137 };

struct file {
  dev_t dev;
  ino_t ino;
  int fd;  // our own, for reading and writing; never closed: that would drop the program's locks on the file
  int is_deaf;  // a sync of it has failed: nothing of it becomes safe any more
  char path[PATH_MAX];
};

enum kind { DATA, CREATED, REMOVED, RENAMED };

// One change that is not safe yet. Of DATA: the range, and what was there of it before.
struct change {
  enum kind kind;
  struct change *older, *newer;
  struct file *file;
  off_t offset, length, old_size;
  char *old;
  size_t old_length;
  char path[PATH_MAX], from[PATH_MAX];  // REMOVED: path, and where it lies now; RENAMED: to path
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct file files[FILES];
static int file_count, grave_count;
static struct change *newest;
static char folder[PATH_MAX - 64];
static const char *keep = "none", *counted = "", *room, *trigger;
static long cut_at, sync_fails, write_fails, full_after = -1;
static long changes, syncs, writes, grown;
static uint64_t randomness;
static pid_t owner;  // a fork has none of this

static void die(const char *why) {
  char line[PATH_MAX + 64];
  int length = snprintf(line, sizeof line, "powercut: %s (errno %d)\n", why, errno);
  syscall(SYS_write, 2, line, length);
  syscall(SYS_exit_group, 99);
}

static uint64_t rnd(uint64_t below) {  // splitmix64
  uint64_t z = (randomness += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return (z ^ (z >> 31)) % below;
}

static int ends(const char *text, const char *end) {
  size_t all = strlen(text), part = strlen(end);
  return part <= all && strcmp(text + all - part, end) == 0;
}

static int is_ours(const char *path) {
  size_t length = strlen(folder);
  return length && strncmp(path, folder, length) == 0 && path[length] == '/' && !ends(path, "-shm");
}

static off_t size_of(int fd) {
  struct stat now;
  if (fstat(fd, &now)) die("fstat");
  return now.st_size;
}

static void write_all(int fd, const char *bytes, size_t length, off_t at) {
  while (length) {
    ssize_t done = syscall(SYS_pwrite64, fd, bytes, length, at);
    if (done <= 0) die("cannot put back what was there");
    bytes += done, at += done, length -= (size_t)done;
  }
}

static void move(const char *from, const char *to) {
  if (syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0)) die("cannot put back a name");
}

static void erase(const char *path) { syscall(SYS_unlinkat, AT_FDCWD, path, 0); }

static void unlist(struct change *change) {
  if (change->newer) change->newer->older = change->older;
  else newest = change->older;
  if (change->older) change->older->newer = change->newer;
  free(change->old);
  free(change);
}

static struct change *list(enum kind kind, struct file *file, const char *path) {
  struct change *change = calloc(1, sizeof *change);
  if (!change) die("no memory");
  change->kind = kind, change->file = file, change->older = newest;
  snprintf(change->path, sizeof change->path, "%s", path);
  if (newest) newest->newer = change;
  return newest = change;
}

// --- The cut.

static void undo_name(struct change *change) {
  if (change->kind == CREATED) erase(change->path);
  else if (change->kind == REMOVED) move(change->from, change->path);
  else move(change->path, change->from);
}

static void undo_data(struct change *change) {
  write_all(change->file->fd, change->old, change->old_length, change->offset);
  if (syscall(SYS_ftruncate, change->file->fd, change->old_size)) die("cannot put back a size");
}

// Of each sector some version between the safe one and the last survives; the size is one that the file had.
static void tear(struct file *file, uint64_t survivors) {
  uint64_t versions = 1;
  off_t size = size_of(file->fd), end = size;
  for (struct change *c = newest; c; c = c->older) {
    if (c->kind != DATA || c->file != file) continue;
    if (rnd(++versions) == 0) size = c->old_size;
    if (c->offset + c->length > end) end = c->offset + c->length;
  }
  char *is_kept = calloc(1, (size_t)(end / SECTOR + 1));
  static const char nothing[SECTOR];
  for (struct change *c = newest; c; c = c->older) {
    if (c->kind != DATA || c->file != file) continue;
    for (off_t at = c->offset; at < c->offset + c->length;) {
      off_t next = (at / SECTOR + 1) * SECTOR;
      if (next > c->offset + c->length) next = c->offset + c->length;
      if (!is_kept[at / SECTOR]) is_kept[at / SECTOR] = rnd(100) < survivors;
      if (!is_kept[at / SECTOR]) {
        off_t had = c->offset + (off_t)c->old_length;
        off_t middle = had < at ? at : had > next ? next : had;
        write_all(file->fd, c->old + (at - c->offset), (size_t)(middle - at), at);
        write_all(file->fd, nothing, (size_t)(next - middle), middle);
      }
      at = next;
    }
  }
  free(is_kept);
  if (syscall(SYS_ftruncate, file->fd, size)) die("cannot tear a size");
}

// Names change in order: the later ones are lost.
static void tear_names(void) {
  uint64_t names = 0;
  for (struct change *c = newest; c; c = c->older) names += c->kind != DATA;
  uint64_t lost = rnd(names + 1);
  for (struct change *c = newest; c && lost; c = c->older) {
    if (c->kind == DATA) continue;
    undo_name(c);
    c->kind = DATA, c->file = NULL;
    lost--;
  }
}

static void cut(void) {
  if (strcmp(keep, "none") == 0) {
    for (struct change *c = newest; c; c = c->older) (c->kind == DATA ? undo_data : undo_name)(c);
  } else if (strcmp(keep, "some") == 0) {
    uint64_t survivors = 5 + rnd(91);
    for (int n = 0; n < file_count; n++) tear(&files[n], survivors);
    tear_names();
  }
  for (struct change *c = newest; c; c = c->older)
    if (c->kind == REMOVED) erase(c->from);  // does nothing where it was put back
  syscall(SYS_exit_group, EXIT_STATUS);
}

// After a change was noted and made, and before a sync: whether the power fails here.
static void count(const char *path) {
  if (ends(path, counted) && ++changes == cut_at) cut();
}

__attribute__((destructor)) static void end(void) {
  if (!folder[0] || getpid() != owner) return;
  pthread_mutex_lock(&lock);
  cut();
}

static void *wait_for_trigger(void *unused) {
  char byte;
  int fd = (int)syscall(SYS_openat, AT_FDCWD, trigger, O_RDONLY, 0);
  if (fd < 0) die("cannot open POWERCUT_WHEN");
  while (syscall(SYS_read, fd, &byte, 1) != 1) usleep(1000);
  pthread_mutex_lock(&lock);
  cut();
  return unused;
}

// --- What is there.

static long number(const char *name, long otherwise) {
  const char *text = getenv(name);
  return text ? atol(text) : otherwise;
}

__attribute__((constructor)) static void begin(void) {
  const char *text = getenv("POWERCUT_DIR");
  if (!text) return;
  snprintf(folder, sizeof folder, "%s", text);
  if ((text = getenv("POWERCUT_KEEP"))) keep = text;
  if ((text = getenv("POWERCUT_FILE"))) counted = text;
  room = getenv("POWERCUT_ROOM");
  owner = getpid();
  randomness = (uint64_t)number("POWERCUT_SEED", 1);
  cut_at = number("POWERCUT_AT", 0);
  sync_fails = number("POWERCUT_SYNC_FAILS", 0);
  write_fails = number("POWERCUT_WRITE_FAILS", 0);
  full_after = number("POWERCUT_FULL_AFTER", -1);
  trigger = getenv("POWERCUT_WHEN");
  if (trigger) {
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&thread, NULL, wait_for_trigger, NULL)) die("no thread");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
  }
}

static struct file *find(int fd) {
  struct stat now;
  if (!folder[0] || fstat(fd, &now) || !S_ISREG(now.st_mode)) return NULL;
  for (int n = 0; n < file_count; n++)
    if (files[n].dev == now.st_dev && files[n].ino == now.st_ino) return &files[n];
  return NULL;
}

static int path_of(int fd, char path[PATH_MAX]) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, PATH_MAX - 1);
  path[length < 0 ? 0 : length] = 0;
  return length > 0;
}

static void full_path(int at, const char *path, char full[PATH_MAX]) {
  char base[PATH_MAX] = "";
  if (path[0] != '/' && !(at == AT_FDCWD ? getcwd(base, sizeof base) != NULL : path_of(at, base))) die("a path that leads nowhere");
  if (snprintf(full, PATH_MAX, "%s%s%s", base, base[0] ? "/" : "", path) >= PATH_MAX) die("a path that is too long");
}

static struct file *follow(int fd, const char *path) {
  struct file *file = find(fd);
  if (file) return file;
  if (file_count == FILES) die("too many files");
  struct stat now;
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  file = &files[file_count];
  file->fd = (int)syscall(SYS_openat, AT_FDCWD, link, O_RDWR | O_CLOEXEC, 0);
  if (file->fd < 0 || fstat(fd, &now)) die("cannot follow a file");
  file->dev = now.st_dev, file->ino = now.st_ino;
  snprintf(file->path, sizeof file->path, "%s", path);
  file_count++;
  return file;
}

// Notes what is in a range before it changes.
static void note(struct file *file, off_t offset, off_t length) {
  struct change *change = list(DATA, file, file->path);
  change->offset = offset, change->length = length, change->old_size = size_of(file->fd);
  off_t had = change->old_size - offset;
  had = had < 0 ? 0 : had > length ? length : had;
  if (!(change->old = malloc((size_t)had + 1))) die("no memory");
  while ((off_t)change->old_length < had) {
    size_t got_so_far = change->old_length;
    ssize_t got = pread(file->fd, change->old + got_so_far, (size_t)had - got_so_far, offset + (off_t)got_so_far);
    if (got <= 0) die("cannot note what was there");
    change->old_length += (size_t)got;
  }
}

static int resize(struct file *file, int fd, off_t size) {
  off_t before = size_of(fd);
  note(file, size < before ? size : before, size < before ? before - size : size - before);
  int result = (int)syscall(SYS_ftruncate, fd, size);
  count(file->path);
  return result;
}

// --- What the program calls.

static int open_at(int at, const char *path, int flags, mode_t mode) {
  if (!folder[0]) return (int)syscall(SYS_openat, at, path, flags, mode);
  pthread_mutex_lock(&lock);
  int is_new = (flags & O_CREAT) && syscall(SYS_faccessat, at, path, F_OK);
  int fd = (int)syscall(SYS_openat, at, path, flags & ~O_TRUNC, mode), error = errno;
  struct stat now;
  char full[PATH_MAX];
  if (fd >= 0 && !fstat(fd, &now) && S_ISREG(now.st_mode)) {
    if (path_of(fd, full) && is_ours(full)) {
      struct file *file = follow(fd, full);
      if (is_new) {
        list(CREATED, file, full);
        count(full);
      } else if (flags & O_TRUNC) {
        resize(file, fd, 0);
      }
    } else if (flags & O_TRUNC) {
      syscall(SYS_ftruncate, fd, (off_t)0);
    }
  }
  pthread_mutex_unlock(&lock);
  errno = error;
  return fd;
}

#define MODE(flags, last) \
  mode_t mode = 0;        \
  if ((flags) & (O_CREAT | O_TMPFILE)) { va_list more; va_start(more, last); mode = va_arg(more, mode_t); va_end(more); }

EXPORT int open(const char *path, int flags, ...) { MODE(flags, flags) return open_at(AT_FDCWD, path, flags, mode); }
EXPORT int open64(const char *path, int flags, ...) { MODE(flags, flags) return open_at(AT_FDCWD, path, flags, mode); }
EXPORT int openat(int at, const char *path, int flags, ...) { MODE(flags, flags) return open_at(at, path, flags, mode); }
EXPORT int openat64(int at, const char *path, int flags, ...) { MODE(flags, flags) return open_at(at, path, flags, mode); }
EXPORT int creat(const char *path, mode_t mode) { return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
EXPORT int creat64(const char *path, mode_t mode) { return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

// How much files may still grow.
static long room_left(void) {
  int is_limited = full_after >= 0 && !(room && syscall(SYS_faccessat, AT_FDCWD, room, F_OK) == 0);
  return is_limited ? full_after - grown : LONG_MAX;
}

// A write into a followed file; `advance`: at the descriptor's own position.
static ssize_t change_range(struct file *file, int fd, const void *bytes, size_t length, off_t at, int advance) {
  if (write_fails && ends(file->path, counted) && ++writes >= write_fails) return errno = EIO, -1;
  if (advance) at = lseek(fd, 0, (fcntl(fd, F_GETFL) & O_APPEND) ? SEEK_END : SEEK_CUR);
  off_t growth = at + (off_t)length - size_of(fd), left = room_left();
  if (growth > left) {
    if ((off_t)length <= growth - left) return errno = ENOSPC, -1;
    length -= (size_t)(growth - left);  // what still fits, as a real disk does
    growth = left;
  }
  grown += growth > 0 ? growth : 0;
  note(file, at, (off_t)length);
  ssize_t done = syscall(SYS_pwrite64, fd, bytes, length, at);
  if (done > 0 && advance) lseek(fd, at + done, SEEK_SET);
  count(file->path);
  return done;
}

static ssize_t write_at(int fd, const void *bytes, size_t length, off_t at, int advance) {
  pthread_mutex_lock(&lock);
  struct file *file = find(fd);
  ssize_t done = file ? change_range(file, fd, bytes, length, at, advance) : 0;
  int error = errno;
  pthread_mutex_unlock(&lock);
  errno = error;
  if (file) return done;
  return advance ? syscall(SYS_write, fd, bytes, length) : syscall(SYS_pwrite64, fd, bytes, length, at);
}

static ssize_t write_pieces(int fd, const struct iovec *pieces, int count_of, off_t at, int advance) {
  pthread_mutex_lock(&lock);
  struct file *file = find(fd);
  pthread_mutex_unlock(&lock);
  if (!file && advance) return syscall(SYS_writev, fd, pieces, count_of);
  if (!file) return syscall(SYS_pwritev, fd, pieces, count_of, (long)at, 0L);
  ssize_t sum = 0;
  for (int n = 0; n < count_of; n++) {
    ssize_t done = write_at(fd, pieces[n].iov_base, pieces[n].iov_len, at + sum, advance);
    if (done < 0) return sum ? sum : done;
    sum += done;
    if ((size_t)done < pieces[n].iov_len) break;
  }
  return sum;
}

EXPORT ssize_t write(int fd, const void *bytes, size_t length) { return write_at(fd, bytes, length, 0, 1); }
EXPORT ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) { return write_at(fd, bytes, length, at, 0); }
EXPORT ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t at) { return write_at(fd, bytes, length, at, 0); }
EXPORT ssize_t writev(int fd, const struct iovec *pieces, int n) { return write_pieces(fd, pieces, n, 0, 1); }
EXPORT ssize_t pwritev(int fd, const struct iovec *pieces, int n, off_t at) { return write_pieces(fd, pieces, n, at, 0); }
EXPORT ssize_t pwritev64(int fd, const struct iovec *pieces, int n, off_t at) { return write_pieces(fd, pieces, n, at, 0); }

static int truncate_to(int fd, off_t size) {
  pthread_mutex_lock(&lock);
  struct file *file = find(fd);
  int result = file ? resize(file, fd, size) : (int)syscall(SYS_ftruncate, fd, size);
  pthread_mutex_unlock(&lock);
  return result;
}

EXPORT int ftruncate(int fd, off_t size) { return truncate_to(fd, size); }
EXPORT int ftruncate64(int fd, off_t size) { return truncate_to(fd, size); }

static int allocate(int fd, int mode, off_t at, off_t length) {
  pthread_mutex_lock(&lock);
  struct file *file = find(fd);
  int result = 0;
  if (!file) result = (int)syscall(SYS_fallocate, fd, mode, at, length);
  else if (mode) die("fallocate with a mode");
  else if (at + length - size_of(fd) > room_left()) result = (errno = ENOSPC, -1);
  else if (at + length > size_of(fd)) result = resize(file, fd, at + length);
  pthread_mutex_unlock(&lock);
  return result;
}

EXPORT int fallocate(int fd, int mode, off_t at, off_t length) { return allocate(fd, mode, at, length); }
EXPORT int fallocate64(int fd, int mode, off_t at, off_t length) { return allocate(fd, mode, at, length); }
EXPORT int posix_fallocate(int fd, off_t at, off_t length) { return allocate(fd, 0, at, length) ? errno : 0; }
EXPORT int posix_fallocate64(int fd, off_t at, off_t length) { return allocate(fd, 0, at, length) ? errno : 0; }

// A removed file lies under another name until its directory is synced.
static int bury(const char *path) {
  struct change *change = list(REMOVED, NULL, path);
  snprintf(change->from, sizeof change->from, "%s/.powercut-%ld-%d", folder, (long)getpid(), grave_count++);
  int result = (int)syscall(SYS_renameat2, AT_FDCWD, path, AT_FDCWD, change->from, 0), error = errno;
  if (result) unlist(change);
  errno = error;
  return result;
}

static int remove_at(int at, const char *path, int flags) {
  char full[PATH_MAX];
  if (folder[0]) full_path(at, path, full);
  if (!folder[0] || (flags & AT_REMOVEDIR) || !is_ours(full)) return (int)syscall(SYS_unlinkat, at, path, flags);
  pthread_mutex_lock(&lock);
  int result = bury(full), error = errno;
  if (!result) count(full);
  pthread_mutex_unlock(&lock);
  errno = error;
  return result;
}

EXPORT int unlink(const char *path) { return remove_at(AT_FDCWD, path, 0); }
EXPORT int unlinkat(int at, const char *path, int flags) { return remove_at(at, path, flags); }

static int rename_at(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
  char old[PATH_MAX], new[PATH_MAX];
  if (folder[0]) full_path(from_at, from, old), full_path(to_at, to, new);
  if (!folder[0] || !is_ours(new)) return (int)syscall(SYS_renameat2, from_at, from, to_at, to, flags);
  if (flags) die("renameat2 with flags");
  pthread_mutex_lock(&lock);
  int result = (int)syscall(SYS_faccessat, AT_FDCWD, old, F_OK), error = errno;
  if (!result) {
    if (syscall(SYS_faccessat, AT_FDCWD, new, F_OK) == 0 && bury(new)) die("cannot replace a file");
    move(old, new);
    struct change *change = list(RENAMED, NULL, new);
    snprintf(change->from, sizeof change->from, "%s", old);
    for (int n = 0; n < file_count; n++)
      if (strcmp(files[n].path, old) == 0) snprintf(files[n].path, sizeof files[n].path, "%s", new);
    count(new);
  }
  pthread_mutex_unlock(&lock);
  errno = error;
  return result;
}

EXPORT int rename(const char *from, const char *to) { return rename_at(AT_FDCWD, from, AT_FDCWD, to, 0); }
EXPORT int renameat(int a, const char *from, int b, const char *to) { return rename_at(a, from, b, to, 0); }
EXPORT int renameat2(int a, const char *from, int b, const char *to, unsigned flags) { return rename_at(a, from, b, to, flags); }

// Whether a change is made safe by a sync of this file, or of this directory.
static int is_of(const struct change *change, const struct file *file, const char *directory) {
  if (change->kind == DATA) return file && change->file == file;
  size_t length = strlen(directory);
  int is_below = strncmp(change->path, directory, length) == 0 && change->path[length] == '/';
  return !file && is_below && !strchr(change->path + length + 1, '/');
}

static int sync_it(int fd) {
  struct stat now;
  char path[PATH_MAX] = "";
  if (!folder[0] || fstat(fd, &now) || !path_of(fd, path)) return (int)syscall(SYS_fsync, fd);
  pthread_mutex_lock(&lock);
  struct file *file = find(fd);
  int is_folder = S_ISDIR(now.st_mode) && (strcmp(path, folder) == 0 || is_ours(path));
  if (!file && !is_folder) {
    pthread_mutex_unlock(&lock);
    return (int)syscall(SYS_fsync, fd);
  }
  unsigned pause_us = (unsigned)rnd(1500);
  pthread_mutex_unlock(&lock);
  usleep(pause_us);  // a disk takes its time; meanwhile work queues
  pthread_mutex_lock(&lock);
  count(file ? file->path : path);
  int fails = file && ends(file->path, counted) && ++syncs == sync_fails;
  if (fails) file->is_deaf = 1;
  for (struct change *c = newest, *older; c && !(file && file->is_deaf); c = older) {
    older = c->older;
    if (!is_of(c, file, path)) continue;
    if (c->kind == REMOVED) erase(c->from);
    unlist(c);
  }
  pthread_mutex_unlock(&lock);
  return fails ? (errno = EIO, -1) : 0;
}

EXPORT int fsync(int fd) { return sync_it(fd); }
EXPORT int fdatasync(int fd) { return sync_it(fd); }

// Writing through memory would pass by unseen: better to end than to prove nothing.
static void *map(void *where, size_t length, int protection, int flags, int fd, off_t at) {
  int is_written = (protection & PROT_WRITE) && (flags & MAP_TYPE) != MAP_PRIVATE;
  if (fd >= 0 && is_written && find(fd)) die("a followed file is mapped for writing");
  return (void *)syscall(SYS_mmap, where, length, protection, flags, fd, at);
}

#define MAP(name)                                                                                  \
  EXPORT void *name(void *where, size_t length, int protection, int flags, int fd, off_t at) {     \
    return map(where, length, protection, flags, fd, at);                                          \
  }
MAP(mmap)
MAP(mmap64)
