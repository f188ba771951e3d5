/* Makes the file system refuse calls, for tests/it/file_system.rs: LD_PRELOAD this, and name an errno in
   REFUSE_FSYNC, REFUSE_FOLDER_FSYNC, REFUSE_FLOCK, REFUSE_FLOCK_READ_ONLY or REFUSE_FUTIMENS.
   SLOW_FUTIMENS holds a picture up for so many milliseconds before it gets its name; with LOG, a file gets a line when
   that is over and when a marker is removed. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) real = dlsym(RTLD_NEXT, #name)

static int refused(const char *variable) {
    const char *number = getenv(variable);
    if (number) errno = atoi(number);
    return number != NULL;
}

static int is_folder(int fd) {
    struct stat found;
    return fstat(fd, &found) == 0 && S_ISDIR(found.st_mode);
}

static void note(const char *line) {
    const char *path = getenv("LOG");
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND, 0666) : -1;
    if (fd >= 0) {
        if (write(fd, line, strlen(line)) < 0) abort();
        close(fd);
    }
}

int fsync(int fd) {
    REAL(fsync);
    if (refused(is_folder(fd) ? "REFUSE_FOLDER_FSYNC" : "REFUSE_FSYNC")) return -1;
    return real(fd);
}

int fdatasync(int fd) {
    REAL(fdatasync);
    if (refused("REFUSE_FSYNC")) return -1;
    return real(fd);
}

int flock(int fd, int operation) {
    REAL(flock);
    if (refused("REFUSE_FLOCK")) return -1;
    if ((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY && refused("REFUSE_FLOCK_READ_ONLY")) return -1;
    return real(fd, operation);
}

static int is_picture(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = 0;
    return strstr(path, "_256.jpg") != NULL;
}

int futimens(int fd, const struct timespec times[2]) {
    REAL(futimens);
    const char *slow = getenv("SLOW_FUTIMENS");
    if (refused("REFUSE_FUTIMENS")) return -1;
    if (slow && is_picture(fd)) {
        struct timespec wait = {atoi(slow) / 1000, atoi(slow) % 1000 * 1000000L};
        nanosleep(&wait, NULL);
        note("time set\n");
    }
    return real(fd, times);
}

int unlink(const char *path) {
    REAL(unlink);
    if (strstr(path, ".unsynced.")) note("marker removed\n");
    return real(path);
}
