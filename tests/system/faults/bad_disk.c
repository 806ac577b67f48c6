/* A disk that fails: LD_PRELOAD beside a process that uses SQLite.

   The file that NII_BAD_DISK names holds three words: a call (pread, pwrite, sync, truncate), how the names of the
   files end on which it fails with EIO, and "once" or "always". While it is there, such calls fail; "once" takes it
   away at the first. A sync that fails has not synced, and a write that fails has not written. Children of the
   process are left alone. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static char orders[PATH_MAX];
static ssize_t (*real_pread)(int, void *, size_t, off64_t), (*real_pwrite)(int, const void *, size_t, off64_t);
static int (*real_sync)(int), (*real_truncate)(int, off64_t);

__attribute__((constructor)) static void begin(void) {
    real_pread = dlsym(RTLD_NEXT, "pread64");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_sync = dlsym(RTLD_NEXT, "fdatasync");
    real_truncate = dlsym(RTLD_NEXT, "ftruncate64");
    const char *named = getenv("NII_BAD_DISK");
    if (named && strlen(named) < sizeof orders) strcpy(orders, named);
    unsetenv("LD_PRELOAD"), unsetenv("NII_BAD_DISK");
}

static int fails(int fd, const char *call) {
    char wanted[16], ending[64], often[16], link[64], path[PATH_MAX];
    FILE *file = orders[0] ? fopen(orders, "r") : NULL;
    if (!file) return 0;
    int words = fscanf(file, "%15s %63s %15s", wanted, ending, often);
    fclose(file);
    if (words != 3 || strcmp(wanted, call)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < (ssize_t)strlen(ending)) return 0;
    path[length] = 0;
    if (strcmp(path + length - strlen(ending), ending)) return 0;
    if (!strcmp(often, "once") && unlink(orders)) return 0; /* another thread was first */
    errno = EIO;
    return 1;
}

ssize_t pread64(int fd, void *data, size_t length, off64_t offset) {
    return fails(fd, "pread") ? -1 : real_pread(fd, data, length, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
    return fails(fd, "pwrite") ? -1 : real_pwrite(fd, data, length, offset);
}

int fdatasync(int fd) { return fails(fd, "sync") ? -1 : real_sync(fd); }

int ftruncate64(int fd, off64_t length) { return fails(fd, "truncate") ? -1 : real_truncate(fd, length); }
