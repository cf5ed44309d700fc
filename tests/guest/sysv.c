/* SysV shared memory, semaphores and message queues. Every object is IPC_PRIVATE or removed at the end. */
#include "guest.h"
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

union semun {
    int val;
    struct semid_ds *buf;
    unsigned short *array;
};

static void shared_memory(void)
{
    int id = OK(shmget(IPC_PRIVATE, 10000, 0600));
    char *p = OK(shmat(id, NULL, 0));
    CHECK_EQ(p[9999], 0);
    p[5] = 'a';
    IN_CHILD({
        CHECK_EQ(p[5], 'a');
        p[6] = 'b';
    });
    CHECK_EQ(p[6], 'b');
    struct shmid_ds ds;
    OK(shmctl(id, IPC_STAT, &ds));
    CHECK_EQ(ds.shm_nattch, 1);
    CHECK_EQ(ds.shm_segsz, 10000);
    CHECK_EQ(ds.shm_cpid, getpid());
    char *q = OK(shmat(id, NULL, SHM_RDONLY));
    CHECK_EQ(q[5], 'a');
    OK(shmctl(id, IPC_RMID, NULL));
    CHECK_EQ(p[5], 'a'); /* lives until it is detached */
    OK(shmdt(q));
    OK(shmdt(p));
    CHECK_ERR(shmdt(p), EINVAL);
    CHECK_ERR(shmat(id, NULL, 0), EINVAL);
}

static void shm_errors(void)
{
    key_t key = 0x52460000 + getpid();
    CHECK_ERR(shmget(key, 4096, 0600), ENOENT);
    CHECK_ERR(shmget(key, 0, IPC_CREAT | 0600), EINVAL);
    int id = OK(shmget(key, 4096, IPC_CREAT | IPC_EXCL | 0600));
    CHECK_ERR(shmget(key, 4096, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
    CHECK_EQ(shmget(key, 100, 0), id);
    CHECK_ERR(shmget(key, 5000, 0), EINVAL);
    CHECK_ERR(shmat(id, (void *)123, 0), EINVAL);
    CHECK_ERR(shmctl(id, 99, NULL), EINVAL);
    IN_CHILD({
        OK(setresuid(65534, 65534, 65534));
        CHECK_ERR(shmat(id, NULL, 0), EACCES);
        CHECK_ERR(shmctl(id, IPC_RMID, NULL), EPERM);
    });
    OK(shmctl(id, IPC_RMID, NULL));
}

static void semaphores(void)
{
    int id = OK(semget(IPC_PRIVATE, 3, 0600));
    CHECK_EQ(OK(semctl(id, 1, GETVAL)), 0);
    unsigned short all[3] = {1, 2, 3}, got[3];
    OK(semctl(id, 0, SETALL, (union semun){.array = all}));
    OK(semctl(id, 0, GETALL, (union semun){.array = got}));
    CHECK(!memcmp(all, got, sizeof(all)));
    struct sembuf ops[2] = {{0, -1, 0}, {2, -4, IPC_NOWAIT}};
    CHECK_ERR(semop(id, ops, 2), EAGAIN); /* all or nothing */
    CHECK_EQ(semctl(id, 0, GETVAL), 1);
    ops[1].sem_op = -3;
    OK(semop(id, ops, 2));
    CHECK_EQ(semctl(id, 0, GETVAL), 0);
    CHECK_EQ(semctl(id, 2, GETPID), getpid());
    ops[0] = (struct sembuf){9, 1, 0};
    CHECK_ERR(semop(id, ops, 1), EFBIG);
    ops[0] = (struct sembuf){0, 32767, 0};
    OK(semop(id, ops, 1));
    ops[0].sem_op = 1;
    CHECK_ERR(semop(id, ops, 1), ERANGE);
    CHECK_ERR(semctl(id, 0, SETVAL, (union semun){.val = -1}), ERANGE);
    CHECK_ERR(semop(id, ops, 0), EINVAL);
    CHECK_ERR(semop(id, ops, 501), E2BIG);
    OK(semctl(id, 0, IPC_RMID));
    CHECK_ERR(semop(id, ops, 1), EINVAL);
}

static void semaphore_blocks(void)
{
    int id = OK(semget(IPC_PRIVATE, 1, 0600));
    struct sembuf down = {0, -1, 0}, up = {0, 1, 0}, zero = {0, 0, 0};
    OK(semop(id, &zero, 1));
    pid_t p = OK(fork());
    if (!p) {
        OK(semop(id, &down, 1));
        _exit(0);
    }
    wait_state(p, "S");
    CHECK_EQ(semctl(id, 0, GETNCNT), 1);
    OK(semop(id, &up, 1));
    WAIT_EXIT(p, 0);
    struct timespec ts = {0, 30000000};
    CHECK_ERR(semtimedop(id, &down, 1, &ts), EAGAIN);
    p = OK(fork());
    if (!p)
        _exit(semop(id, &down, 1) == -1 && errno == EIDRM ? 0 : 1);
    wait_state(p, "S");
    OK(semctl(id, 0, IPC_RMID));
    WAIT_EXIT(p, 0);
}

static void semaphore_undo(void)
{
    int id = OK(semget(IPC_PRIVATE, 1, 0600));
    OK(semctl(id, 0, SETVAL, (union semun){.val = 5}));
    struct sembuf op = {0, -3, SEM_UNDO};
    IN_CHILD(OK(semop(id, &op, 1)));
    CHECK_EQ(semctl(id, 0, GETVAL), 5);
    OK(semctl(id, 0, IPC_RMID));
}

struct message {
    long type;
    char text[64];
};

static void message_queue(void)
{
    struct message m = {1, "one"};
    int id = OK(msgget(IPC_PRIVATE, 0600));
    OK(msgsnd(id, &m, 4, 0));
    m = (struct message){2, "two"};
    OK(msgsnd(id, &m, 4, 0));
    m = (struct message){3, "three"};
    OK(msgsnd(id, &m, 6, 0));
    CHECK_EQ(msgrcv(id, &m, 64, 2, 0), 4);
    CHECK_STR(m.text, "two");
    CHECK_ERR(msgrcv(id, &m, 64, 2, IPC_NOWAIT), ENOMSG);
    CHECK_ERR(msgrcv(id, &m, 2, 3, 0), E2BIG);
    CHECK_EQ(msgrcv(id, &m, 2, 3, MSG_NOERROR), 2);
    CHECK_EQ(msgrcv(id, &m, 64, -5, 0), 4); /* the lowest type up to 5 */
    CHECK_EQ(m.type, 1);
    m.type = 0;
    CHECK_ERR(msgsnd(id, &m, 4, 0), EINVAL);
    m.type = 1;
    CHECK_ERR(msgsnd(id, &m, 100000, 0), EINVAL);
    struct msqid_ds ds;
    OK(msgctl(id, IPC_STAT, &ds));
    CHECK_EQ(ds.msg_qnum, 0);
    CHECK_EQ(ds.msg_lrpid, getpid());
    OK(msgctl(id, IPC_RMID, NULL));
    CHECK_ERR(msgsnd(id, &m, 4, 0), EINVAL);
}

static void message_queue_blocks(void)
{
    static char big[8200];
    int id = OK(msgget(IPC_PRIVATE, 0600));
    *(long *)big = 1;
    OK(msgsnd(id, big, 8000, 0));
    OK(msgsnd(id, big, 8000, 0));
    CHECK_ERR(msgsnd(id, big, 8000, IPC_NOWAIT), EAGAIN); /* 16384 bytes at most */
    pid_t p = OK(fork());
    if (!p)
        _exit(msgsnd(id, big, 8000, 0) != 0);
    wait_state(p, "S");
    CHECK_EQ(msgrcv(id, big, 8000, 0, 0), 8000);
    WAIT_EXIT(p, 0);
    p = OK(fork());
    if (!p)
        _exit(msgrcv(id, big, 8000, 77, 0) == -1 && errno == EIDRM ? 0 : 1);
    wait_state(p, "S");
    OK(msgctl(id, IPC_RMID, NULL));
    WAIT_EXIT(p, 0);
}

GUEST_MAIN(C(shared_memory), C(shm_errors), C(semaphores), C(semaphore_blocks), C(semaphore_undo), C(message_queue),
           C(message_queue_blocks))
