#include "agent/files.h"

#include "base/file.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, data, size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        data += n;
        size -= (size_t)n;
    }
    return 0;
}

int files_replace(const char *path, const void *data, size_t size, mode_t mode,
                  struct obs_reason *reterr_reason)
{
    char beside[PATH_MAX];
    int fd, r;

    if (snprintf(beside, sizeof(beside), "%s.new", path) >= (int)sizeof(beside))
        return -ENAMETOOLONG;
    fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    r = fd < 0 ? -errno : write_all(fd, data, size);
    if (r == 0 && fchmod(fd, mode) < 0)
        r = -errno;
    if (fd >= 0)
        close(fd);
    if (r == 0 && rename(beside, path) < 0)
        r = -errno;
    if (r < 0) {
        obs_reason_set(reterr_reason, "cannot write %s: %s", path, strerror(-r));
        unlink(beside);
    }
    return r;
}

int files_render(const char *source, const struct variables *variables, const char *target,
                 mode_t mode, struct obs_reason *reterr_reason)
{
    struct obs_buffer in = OBS_BUFFER_INIT(FILES_TEMPLATE_MAX);
    struct obs_buffer out = OBS_BUFFER_INIT(2 * FILES_TEMPLATE_MAX);
    struct obs_reason why = {0};
    int r = obs_file_read(source, &in);

    if (r < 0) {
        obs_reason_set(reterr_reason, "cannot read %s: %s", source, strerror(-r));
    } else {
        r = variables_fill(variables, in.data ? in.data : "", in.size, &out, &why);
        if (r > 0)
            obs_reason_set_at(reterr_reason, why.line, why.column, "%s line %u: %s", source,
                              why.line, why.text);
        else if (r < 0)
            obs_reason_set(reterr_reason, "%s: %s", source, strerror(-r));
        r = r > 0 ? -EINVAL : r;
    }
    if (r == 0)
        r = files_replace(target, out.data ? out.data : "", out.size, mode, reterr_reason);
    obs_buffer_done(&in);
    obs_buffer_done(&out);
    return r;
}
