/* Limits, notification by thread, and order of errors of System V and POSIX ipc. Limits are changed
 * in an ipc namespace of our own, so that the machine's stay. */
#include "guest.h"

#include <mqueue.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>

static void own_namespace(void)
{
    if (unshare(CLONE_NEWIPC))
        SKIP("no ipc namespace of our own");
}

static void set_knob(const char *name, const char *value)
{
    char path[128];
    snprintf(path, sizeof(path), "/proc/sys/%s", name);
    int fd = OK(open(path, O_WRONLY));
    OK(write(fd, value, strlen(value)));
    close(fd);
}

static long knob(const char *name)
{
    char path[128], text[128] = {0};
    snprintf(path, sizeof(path), "/proc/sys/%s", name);
    int fd = OK(open(path, O_RDONLY));
    OK(read(fd, text, sizeof(text) - 1));
    close(fd);
    return strtol(text, NULL, 10);
}

static void message_limits(void)
{
    struct {
        long type;
        char text[9000];
    } m = {1, ""};
    IN_CHILD({
        own_namespace();
        int id = OK(msgget(IPC_PRIVATE, 0600));
        CHECK_ERR(msgsnd(id, &m, 8193, IPC_NOWAIT), EINVAL);
        set_knob("kernel/msgmax", "9000");
        CHECK_EQ(knob("kernel/msgmax"), 9000);
        OK(msgsnd(id, &m, 8193, IPC_NOWAIT));
        set_knob("kernel/msgmnb", "100");
        id = OK(msgget(IPC_PRIVATE, 0600));
        CHECK_ERR(msgsnd(id, &m, 101, IPC_NOWAIT), EAGAIN);
        OK(msgsnd(id, &m, 100, IPC_NOWAIT));
        set_knob("kernel/msgmni", "2");
        CHECK_ERR(msgget(IPC_PRIVATE, 0600), ENOSPC);
        set_knob("kernel/msgmni", "32000");
        set_knob("kernel/msgmax", "8192");
        set_knob("kernel/msgmnb", "16384");
    });
}

static void semaphore_limits(void)
{
    IN_CHILD({
        own_namespace();
        struct sembuf ops[4] = {{0, 1, 0}, {0, 1, 0}, {0, 1, 0}, {0, 1, 0}};
        CHECK_EQ(knob("kernel/sem"), 32000);
        set_knob("kernel/sem", "5 8 3 3");
        CHECK_EQ(knob("kernel/sem"), 5);
        CHECK_ERR(semget(IPC_PRIVATE, 6, 0600), EINVAL);
        int id = OK(semget(IPC_PRIVATE, 5, 0600));
        CHECK_ERR(semget(IPC_PRIVATE, 4, 0600), ENOSPC);
        CHECK_ERR(semop(id, ops, 4), E2BIG);
        OK(semop(id, ops, 3));
        OK(semget(IPC_PRIVATE, 1, 0600));
        OK(semget(IPC_PRIVATE, 1, 0600));
        CHECK_ERR(semget(IPC_PRIVATE, 1, 0600), ENOSPC);
        set_knob("kernel/sem", "32000 1024000000 500 32000");
        CHECK_ERR(semctl(id, 9, SETVAL, 99999), ERANGE);
        CHECK_ERR(semctl(id, 9, SETVAL, 1), EINVAL);
        CHECK_ERR(semctl(id, 9, GETVAL), EINVAL);
    });
}

static void segment_limits(void)
{
    IN_CHILD({
        own_namespace();
        set_knob("kernel/shmmax", "8192");
        CHECK_ERR(shmget(IPC_PRIVATE, 8193, 0600), EINVAL);
        OK(shmget(IPC_PRIVATE, 8192, 0600));
        set_knob("kernel/shmall", "3");
        CHECK_ERR(shmget(IPC_PRIVATE, 8192, 0600), ENOSPC);
        OK(shmget(IPC_PRIVATE, 4096, 0600));
        set_knob("kernel/shmall", "1000000");
        set_knob("kernel/shmmni", "2");
        CHECK_ERR(shmget(IPC_PRIVATE, 4096, 0600), ENOSPC);
        set_knob("kernel/shmmni", "4096");
        set_knob("kernel/shmmax", "18446744073692774399");
        CHECK_ERR(shmget(IPC_PRIVATE, 1ul << 62, 0600), ENOSPC);
        set_knob("kernel/shmall", "18446744073692774399");
        CHECK_ERR(shmget(IPC_PRIVATE, 1ul << 62, 0600), ENOMEM);
        struct shminfo info;
        OK(shmctl(0, IPC_INFO, (void *)&info));
        CHECK_EQ(info.shmmni, 4096);
        CHECK_EQ(info.shmmin, 1);
        CHECK(info.shmmax == 18446744073692774399ul);
        CHECK_ERR(shmget(IPC_PRIVATE, 4096, 0600 | SHM_HUGETLB | 40 << 26), EINVAL);
    });
}

static void forced_removal(void)
{
    struct shmid_ds ds;
    IN_CHILD({
        own_namespace();
        set_knob("kernel/shm_rmid_forced", "1");
        int id = OK(shmget(IPC_PRIVATE, 4096, 0600));
        void *p = OK(shmat(id, NULL, 0));
        OK(shmctl(id, IPC_STAT, &ds));
        OK(shmdt(p));
        CHECK_ERR(shmctl(id, IPC_STAT, &ds), EINVAL);
        set_knob("kernel/shm_rmid_forced", "0");
    });
}

static void next_id(void)
{
    IN_CHILD({
        own_namespace();
        if (access("/proc/sys/kernel/msg_next_id", F_OK))
            SKIP("no checkpoint support in this kernel");
        set_knob("kernel/msg_next_id", "65541");
        CHECK_EQ(OK(msgget(IPC_PRIVATE, 0600)), 65541);
        CHECK_EQ(knob("kernel/msg_next_id"), -1);
        set_knob("kernel/shm_next_id", "7");
        CHECK_EQ(OK(shmget(IPC_PRIVATE, 4096, 0600)), 7);
    });
}

static void queue_limits(void)
{
    struct mq_attr a = {.mq_maxmsg = 20, .mq_msgsize = 64};
    IN_CHILD({
        own_namespace();
        OK(setuid(1000));
        CHECK_ERR(mq_open("/limits", O_CREAT | O_RDWR, 0600, &a), EINVAL);
    });
    IN_CHILD({
        struct rlimit lim = {1000, 1000};
        own_namespace();
        OK(setrlimit(RLIMIT_MSGQUEUE, &lim));
        OK(setuid(40000 + getpid() % 10000)); /* a user with no queues elsewhere */
        CHECK_ERR(mq_open("/limits", O_CREAT | O_RDWR, 0600, NULL), EMFILE);
        a = (struct mq_attr){.mq_maxmsg = 2, .mq_msgsize = 64};
        OK(mq_open("/limits", O_CREAT | O_RDWR, 0600, &a)); /* 320 bytes */
        OK(mq_open("/limits2", O_CREAT | O_RDWR, 0600, &a));
        OK(mq_open("/limits3", O_CREAT | O_RDWR, 0600, &a));
        CHECK_ERR(mq_open("/limits4", O_CREAT | O_RDWR, 0600, &a), EMFILE);
        mq_unlink("/limits");
        mq_unlink("/limits2");
        mq_unlink("/limits3");
    });
}

static sem_t *g_told;
static void on_message(union sigval v)
{
    if (v.sival_int == 4711)
        sem_post(g_told);
}

static void notify_by_thread(void)
{
    g_told = OK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    OK(sem_init(g_told, 1, 0));
    IN_CHILD({
        char name[64];
        snprintf(name, sizeof(name), "/thread%d", getpid());
        mqd_t q = OK(mq_open(name, O_CREAT | O_RDWR | O_NONBLOCK, 0600, NULL));
        mq_unlink(name);
        struct sigevent ev = {.sigev_notify = SIGEV_THREAD,
                              .sigev_notify_function = on_message,
                              .sigev_value.sival_int = 4711};
        OK(mq_notify(q, &ev));
        CHECK_ERR(mq_notify(q, &ev), EBUSY);
        OK(mq_send(q, "x", 1, 0));
        OK(sem_wait(g_told));
        char buf[8192];
        OK(mq_receive(q, buf, sizeof(buf), NULL));
        OK(mq_notify(q, &ev)); /* once only: it may be asked again */
        OK(mq_notify(q, NULL));
        OK(mq_send(q, "x", 1, 0));
        sleep_ms(50);
        CHECK_ERR(sem_trywait(g_told), EAGAIN);
    });
}

static void notify_arguments(void)
{
    char name[64];
    snprintf(name, sizeof(name), "/args%d", getpid());
    mqd_t q = OK(mq_open(name, O_CREAT | O_RDWR | O_NONBLOCK, 0640, NULL));
    mq_unlink(name);
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = 65};
    CHECK_ERR(syscall(SYS_mq_notify, q, &ev), EINVAL);
    ev.sigev_signo = -1;
    CHECK_ERR(syscall(SYS_mq_notify, q, &ev), EINVAL);
    ev.sigev_signo = 0;
    OK(syscall(SYS_mq_notify, q, &ev));
    OK(syscall(SYS_mq_notify, q, NULL));
    ev.sigev_notify = 9;
    CHECK_ERR(syscall(SYS_mq_notify, q, &ev), EINVAL);
    ev = (struct sigevent){.sigev_notify = SIGEV_THREAD, .sigev_signo = -1};
    CHECK_ERR(syscall(SYS_mq_notify, q, &ev), EFAULT);
    char cookie[32];
    ev.sigev_value.sival_ptr = cookie;
    CHECK_ERR(syscall(SYS_mq_notify, q, &ev), EBADF);
    CHECK_ERR(syscall(SYS_mq_timedsend, -1, "d", 1, 32768, NULL), EINVAL);
    CHECK_ERR(syscall(SYS_mq_timedsend, -1, "d", 1, 0, 8), EFAULT);
    CHECK_ERR(syscall(SYS_mq_timedsend, -1, "d", 1, 0, NULL), EBADF);
    struct stat st;
    OK(fstat(q, &st));
    CHECK_EQ(st.st_mode, S_IFREG | 0640);
    CHECK_EQ(st.st_size, 80);
}

GUEST_MAIN(C(message_limits), C(semaphore_limits), C(segment_limits), C(forced_removal), C(next_id),
           C(queue_limits), C(notify_by_thread), C(notify_arguments))
