/* Stands between a server and its files, as a disk that is slow or does not answer: preloaded.
 *
 * DISK_RATE is how many bytes a second all files take together; 0 for any. While the file exists that DISK_HANGS
 * names, no write and no sync of a file returns. Sockets and the log are left alone.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t disk = PTHREAD_MUTEX_INITIALIZER;

static void wait_for_disk(int fd, double bytes) {
    struct stat facts;
    const char *hangs = getenv("DISK_HANGS");
    const char *rate = getenv("DISK_RATE");
    if (fd <= STDERR_FILENO || fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode)) return;
    while (hangs && access(hangs, F_OK) == 0) usleep(1000);
    if (rate && atof(rate) > 0 && bytes > 0) {
        double seconds = bytes / atof(rate);
        struct timespec pause = {(time_t)seconds, (long)((seconds - (time_t)seconds) * 1e9)};
        pthread_mutex_lock(&disk);
        nanosleep(&pause, NULL);
        pthread_mutex_unlock(&disk);
    }
}

ssize_t write(int fd, const void *bytes, size_t length) {
    wait_for_disk(fd, length);
    return syscall(SYS_write, fd, bytes, length);
}

ssize_t writev(int fd, const struct iovec *pieces, int count) {
    double length = 0;
    for (int at = 0; at < count; at++) length += pieces[at].iov_len;
    wait_for_disk(fd, length);
    return syscall(SYS_writev, fd, pieces, count);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
    wait_for_disk(fd, length);
    return syscall(SYS_pwrite64, fd, bytes, length, offset);
}

int fsync(int fd) {
    wait_for_disk(fd, 0);
    return syscall(SYS_fsync, fd);
}

int fdatasync(int fd) {
    wait_for_disk(fd, 0);
    return syscall(SYS_fdatasync, fd);
}
