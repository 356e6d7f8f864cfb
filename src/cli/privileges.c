/* Privileges: see privileges.h. */
#include "cli/privileges.h"

#include "base/file.h"
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int run_user(uid_t *ret_uid, gid_t *ret_gid, struct obs_reason *reterr_reason)
{
    const struct passwd *user = NULL;

    *ret_uid = geteuid();
    *ret_gid = getegid();
    if (*ret_uid != 0)
        return 0;
    user = getpwnam(PRIVILEGES_USER);
    if (!user) {
        obs_reason_set(reterr_reason,
                       "there is no user " PRIVILEGES_USER ": run scripts/install, which makes it");
        return -ENOENT;
    }
    *ret_uid = user->pw_uid;
    *ret_gid = user->pw_gid;
    return 0;
}

int privileges_own_folder(const char *path, struct obs_reason *reterr_reason)
{
    struct stat status;
    uid_t uid;
    gid_t gid;
    int r = run_user(&uid, &gid, reterr_reason);

    if (r < 0)
        return r;
    r = obs_file_mkdirs(path, 0755);
    if (r == 0 && lstat(path, &status) < 0)
        r = -errno;
    if (r < 0) {
        obs_reason_set(reterr_reason, "%s: %s", path, strerror(-r));
        return r;
    }
    if (!S_ISDIR(status.st_mode) || (status.st_uid != uid && status.st_uid != geteuid())) {
        obs_reason_set(reterr_reason, "%s: belongs to another user (uid %u)", path,
                       (unsigned)status.st_uid);
        return -EPERM;
    }
    if (status.st_uid != uid && lchown(path, uid, gid) < 0)
        r = -errno;
    else if ((status.st_mode & 07777) != 0700 && chmod(path, 0700) < 0)
        r = -errno;
    if (r < 0)
        obs_reason_set(reterr_reason, "%s: %s", path, strerror(-r));
    return r;
}

int privileges_drop(struct obs_reason *reterr_reason)
{
    uid_t uid;
    gid_t gid;
    int r;

    if (geteuid() != 0)
        return 0;
    r = run_user(&uid, &gid, reterr_reason);
    if (r < 0)
        return r;
    if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0) {
        r = -errno;
        obs_reason_set(reterr_reason, "becoming user " PRIVILEGES_USER ": %s", strerror(-r));
    }
    return r;
}
