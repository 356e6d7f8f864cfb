#pragma once
/*
 * Cleanup: release of local variables at the end of their scope.
 *
 * Set every OBS_CLEANUP variable where it is declared (NULL, -1). Cleanup does not run on _exit()
 * or longjmp(). Hand a value out with OBS_TAKE().
 */
#include <stdlib.h>
#include <unistd.h>

#define OBS_CLEANUP(fn) __attribute__((cleanup(fn)))

#define OBS_DEFINE_CLEANUP(T, free_fn)                                                             \
    static inline void free_fn##p(T *p)                                                            \
    {                                                                                              \
        if (*p)                                                                                    \
            free_fn(*p);                                                                           \
    }

#define OBS_TAKE(p)                                                                                \
    __extension__({                                                                                \
        __typeof__(p) taken_ = (p);                                                                \
        (p) = NULL;                                                                                \
        taken_;                                                                                    \
    })

#define OBS_TAKE_FD(fd)                                                                            \
    __extension__({                                                                                \
        int taken_ = (fd);                                                                         \
        (fd) = -1;                                                                                 \
        taken_;                                                                                    \
    })

#define OBS_COUNT(array) (sizeof(array) / sizeof((array)[0]))

static inline void obs_freep(void *p)
{
    free(*(void **)p);
}

static inline void obs_closep(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}
