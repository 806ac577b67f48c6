/* What a disk would hold if the power failed now: LD_PRELOAD beside a process that uses SQLite.

   Writes to files in NII_POWER_CUT_DIR are noted; when a file is synced, what was noted for it is applied to
   its twin in NII_POWER_CUT_TO. So the twins hold what a sync promised and nothing more. With
   NII_POWER_CUT_LIES a sync says it is done and is not. Children of the process are left alone. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

struct note {
    struct note *next;
    char path[PATH_MAX];
    off64_t offset; /* where, or the new length of the file if data is NULL */
    size_t length;
    char *data;
};

static char root[PATH_MAX], twins[PATH_MAX];
static int lies;
static struct note *first, **last = &first;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static ssize_t (*real_pwrite)(int, const void *, size_t, off64_t);
static int (*real_sync)(int), (*real_truncate)(int, off64_t), (*real_unlink)(const char *);

static int ours(const char *path) {
    size_t length = strlen(root);
    return length && !strncmp(path, root, length) && path[length] == '/' && !strchr(path + length + 1, '/');
}

static int path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return ours(path);
}

static void twin_of(const char *path, char *twin) {
    if (snprintf(twin, PATH_MAX, "%s/%s", twins, strrchr(path, '/') + 1) >= PATH_MAX) abort();
}

static void note(const char *path, off64_t offset, const void *data, size_t length) {
    struct note *made = malloc(sizeof *made);
    if (!made) abort();
    strcpy(made->path, path);
    made->next = NULL, made->offset = offset, made->length = length, made->data = NULL;
    if (data) {
        made->data = malloc(length);
        if (!made->data) abort();
        memcpy(made->data, data, length);
    }
    *last = made, last = &made->next;
}

/* Take the notes of one file, applied to `fd` unless that is -1. */
static void take(const char *path, int fd) {
    struct note **place = &first;
    while (*place) {
        struct note *here = *place;
        if (strcmp(here->path, path)) { place = &here->next; continue; }
        if (fd >= 0 && here->data && real_pwrite(fd, here->data, here->length, here->offset) < 0) abort();
        if (fd >= 0 && !here->data && real_truncate(fd, here->offset)) abort();
        *place = here->next;
        free(here->data), free(here);
    }
    last = place;
}

static void copy(const char *from, const char *to) {
    char buffer[1 << 16];
    int source = open(from, O_RDONLY), target = open(to, O_CREAT | O_WRONLY | O_TRUNC, 0600);
    if (source < 0 || target < 0) abort();
    off64_t at = 0;
    for (ssize_t n; (n = read(source, buffer, sizeof buffer)) > 0; at += n)
        if (real_pwrite(target, buffer, n, at) != n) abort();
    close(source), close(target);
}

__attribute__((constructor)) static void begin(void) {
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_sync = dlsym(RTLD_NEXT, "fdatasync");
    real_truncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_unlink = dlsym(RTLD_NEXT, "unlink");
    const char *from = getenv("NII_POWER_CUT_DIR"), *to = getenv("NII_POWER_CUT_TO");
    lies = getenv("NII_POWER_CUT_LIES") != NULL;
    if (!from || !to || !realpath(from, root) || !realpath(to, twins)) { root[0] = 0; return; }
    unsetenv("LD_PRELOAD"), unsetenv("NII_POWER_CUT_DIR");
    DIR *folder = opendir(root);
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        char path[PATH_MAX], twin[PATH_MAX];
        if (entry->d_type != DT_REG || lies) continue;
        if (snprintf(path, sizeof path, "%s/%s", root, entry->d_name) >= PATH_MAX) abort();
        twin_of(path, twin), copy(path, twin);
    }
    if (folder) closedir(folder);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
    char path[PATH_MAX];
    ssize_t done = real_pwrite(fd, data, length, offset);
    if (done > 0 && root[0] && path_of(fd, path)) {
        pthread_mutex_lock(&lock), note(path, offset, data, done), pthread_mutex_unlock(&lock);
    }
    return done;
}

int ftruncate64(int fd, off64_t length) {
    char path[PATH_MAX];
    int done = real_truncate(fd, length);
    if (!done && root[0] && path_of(fd, path)) {
        pthread_mutex_lock(&lock), note(path, length, NULL, 0), pthread_mutex_unlock(&lock);
    }
    return done;
}

int fdatasync(int fd) {
    char path[PATH_MAX], twin[PATH_MAX];
    if (!root[0] || !path_of(fd, path)) return real_sync(fd);
    if (lies) return 0;
    int done = real_sync(fd);
    if (done) return done;
    pthread_mutex_lock(&lock);
    twin_of(path, twin);
    int target = open(twin, O_CREAT | O_WRONLY, 0600);
    if (target < 0) abort();
    take(path, target), close(target);
    pthread_mutex_unlock(&lock);
    return 0;
}

int unlink(const char *path) {
    char twin[PATH_MAX];
    int done = real_unlink(path);
    if (!done && root[0] && ours(path)) {
        pthread_mutex_lock(&lock), take(path, -1), twin_of(path, twin), real_unlink(twin), pthread_mutex_unlock(&lock);
    }
    return done;
}
