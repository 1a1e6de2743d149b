// Simulates a disk that a test can fill, or whose power it can cut. Loaded by LD_PRELOAD; see disk.rs.
//
// DISK is the directory on the simulated disk. DISK_KEPT is a directory elsewhere: its `files` contains each file of
// the disk as of its last sync, and its file `full` exists while the disk is full.

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/// Returns whether a file or directory is on the disk, and sets its name: its path below DISK, with `%` for `/`.
static int on_disk(int fd, char *name, struct stat *status) {
    const char *disk = getenv("DISK");
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (!disk || length <= 0) return 0;
    path[length] = 0;
    size_t prefix = strlen(disk);
    if (strncmp(path, disk, prefix) || (path[prefix] && path[prefix] != '/')) return 0;
    if (fstat(fd, status) || !status->st_nlink) return 0;
    strcpy(name, path[prefix] ? path + prefix + 1 : "");
    for (char *at = name; *at; at++) if (*at == '/') *at = '%';
    return 1;
}

static void kept_path(char *path, const char *place, const char *name) {
    if (snprintf(path, PATH_MAX, "%s/%s%s", getenv("DISK_KEPT"), place, name) >= PATH_MAX) abort();
}

static void copy(int from, int to) {
    static char buffer[1 << 16];
    off_t offset = 0;
    ssize_t length;
    while ((length = pread(from, buffer, sizeof buffer, offset)) > 0) {
        if (syscall(SYS_write, to, buffer, length) != length) abort();
        offset += length;
    }
    if (length < 0) abort();
}

/// Returns a readable descriptor: `fd` itself if possible, because closing another one would release SQLite's locks.
static int readable(int fd) {
    char link[64];
    if ((fcntl(fd, F_GETFL) & O_ACCMODE) != O_WRONLY) return fd;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    return open(link, O_RDONLY);
}

/// Copies a synced file. The copy is renamed into place, so that a kill does not leave a partial one.
static void keep_file(int fd, const char *name) {
    char part[PATH_MAX], whole[PATH_MAX];
    kept_path(part, "part", "");
    kept_path(whole, "files/", name);
    int to = open(part, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (to < 0) abort();
    int from = readable(fd);
    copy(from, to);
    if (from != fd) close(from);
    close(to);
    if (rename(part, whole)) abort();
}

/// Deletes the copies of files that were removed from a synced directory. Before the sync, a power cut restores them.
static void keep_removals(int fd, const char *folder) {
    char path[PATH_MAX];
    size_t prefix = strlen(folder) + (*folder != 0);
    struct dirent *entry;
    kept_path(path, "files", "");
    DIR *kept = opendir(path);
    if (!kept) abort();
    while ((entry = readdir(kept))) {
        const char *name = entry->d_name;
        int inside = *name != '.' && !strncmp(name, folder, strlen(folder)) && strlen(name) > prefix
            && (!prefix || name[prefix - 1] == '%') && !strchr(name + prefix, '%');
        if (!inside || !faccessat(fd, name + prefix, F_OK, 0)) continue;
        kept_path(path, "files/", name);
        if (unlink(path)) abort();
    }
    closedir(kept);
}

static void keep(int fd) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    char name[PATH_MAX];
    struct stat status;
    if (!on_disk(fd, name, &status)) return;
    pthread_mutex_lock(&lock);
    if (S_ISREG(status.st_mode)) keep_file(fd, name);
    if (S_ISDIR(status.st_mode)) keep_removals(fd, name);
    pthread_mutex_unlock(&lock);
}

int fsync(int fd) {
    int result = syscall(SYS_fsync, fd);
    if (!result) keep(fd);
    return result;
}

int fdatasync(int fd) {
    int result = syscall(SYS_fdatasync, fd);
    if (!result) keep(fd);
    return result;
}

/// Returns how many of the bytes can be written: on a full disk, those that overwrite existing ones; -1 if none.
static ssize_t room(int fd, size_t count, off_t offset) {
    char flag[PATH_MAX], name[PATH_MAX];
    struct stat status;
    if (!getenv("DISK_KEPT")) return count;
    kept_path(flag, "full", "");
    if (access(flag, F_OK) || !on_disk(fd, name, &status) || !S_ISREG(status.st_mode)) return count;
    if (offset < 0) offset = lseek(fd, 0, SEEK_CUR);
    if (offset + (off_t)count <= status.st_size) return count;
    if (offset < status.st_size) return status.st_size - offset;
    errno = ENOSPC;
    return -1;
}

ssize_t write(int fd, const void *bytes, size_t count) {
    int before = errno;
    ssize_t fits = room(fd, count, -1);
    if (fits < 0) return -1;
    errno = before;
    return syscall(SYS_write, fd, bytes, fits);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t offset) {
    int before = errno;
    ssize_t fits = room(fd, count, offset);
    if (fits < 0) return -1;
    errno = before;
    return syscall(SYS_pwrite64, fd, bytes, fits, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
    return pwrite64(fd, bytes, count, offset);
}
