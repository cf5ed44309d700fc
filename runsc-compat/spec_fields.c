/* The table of config.json's fields. Order is the specification's. */
#include "spec.h"

#define DONE       SPEC_DONE, NULL, NULL
#define ONE(c)     SPEC_DONE, c, NULL
#define DOES(t)    SPEC_DONE, NULL, t
#define NOTED(t)   SPEC_NOTED, NULL, t
#define REFUSED(t) SPEC_REFUSED, NULL, t

#define IDMAP(p)                                                                                   \
    {p, SPEC_ARRAY, false, DONE}, {p "[]", SPEC_OBJECT, false, DONE},                              \
        {p "[].containerID", SPEC_ID, true, DONE}, {p "[].hostID", SPEC_ID, true, DONE},           \
    {                                                                                              \
        p "[].size", SPEC_ID, true, DONE                                                           \
    }
#define STRINGS(p)                                                                                 \
    {p, SPEC_ARRAY, false, DONE},                                                                  \
    {                                                                                              \
        p "[]", SPEC_STRING, false, DONE                                                           \
    }
#define PATHS(p, note)                                                                             \
    {p, SPEC_ARRAY, false, DOES(note)},                                                            \
    {                                                                                              \
        p "[]", SPEC_PATH, false, DONE                                                             \
    }
#define HOOK(p, note)                                                                              \
    {p, SPEC_ARRAY, false, DOES(note)}, {p "[]", SPEC_OBJECT, false, DONE},                        \
        {p "[].path", SPEC_PATH, true, DONE}, STRINGS(p "[].args"), STRINGS(p "[].env"),           \
    {                                                                                              \
        p "[].timeout", SPEC_INT, false, DONE                                                      \
    }
#define BLKIO(p)                                                                                   \
    {p, SPEC_ARRAY, false, DOES("host cgroup")}, {p "[]", SPEC_OBJECT, false, DONE},               \
        {p "[].major", SPEC_UINT, true, DONE}, {p "[].minor", SPEC_UINT, true, DONE},              \
    {                                                                                              \
        p "[].rate", SPEC_UINT, false, DONE                                                        \
    }
#define CGROUP DOES("host cgroup")
#define BOTH   DOES("host cgroup, and the sentry's own limit")

static const char g_namespaces[] = "pid|network|mount|ipc|uts|user|cgroup|time";
static const char g_actions[] =
    "SCMP_ACT_KILL|SCMP_ACT_KILL_PROCESS|SCMP_ACT_KILL_THREAD|SCMP_ACT_TRAP|SCMP_ACT_ERRNO|"
    "SCMP_ACT_TRACE|SCMP_ACT_ALLOW|SCMP_ACT_LOG|SCMP_ACT_NOTIFY";
static const char g_operators[] =
    "SCMP_CMP_NE|SCMP_CMP_LT|SCMP_CMP_LE|SCMP_CMP_EQ|SCMP_CMP_GE|SCMP_CMP_GT|SCMP_CMP_MASKED_EQ";

const struct spec_field g_spec_fields[] = {
    {"ociVersion", SPEC_STRING, true, DOES("any 1.x")},
    {"process", SPEC_OBJECT, true, DONE},
    {"process.terminal", SPEC_BOOL, false, DONE},
    {"process.consoleSize", SPEC_OBJECT, false, DONE},
    {"process.consoleSize.height", SPEC_UINT, true, DONE},
    {"process.consoleSize.width", SPEC_UINT, true, DONE},
    {"process.user", SPEC_OBJECT, false, DONE},
    {"process.user.uid", SPEC_ID, false, DONE},
    {"process.user.gid", SPEC_ID, false, DONE},
    {"process.user.umask", SPEC_ID, false, DONE},
    {"process.user.additionalGids", SPEC_ARRAY, false, DONE},
    {"process.user.additionalGids[]", SPEC_ID, false, DONE},
    {"process.user.username", SPEC_STRING, false, NOTED("Windows")},
    STRINGS("process.args"),
    {"process.commandLine", SPEC_STRING, false, NOTED("Windows")},
    STRINGS("process.env"),
    {"process.cwd", SPEC_PATH, true, DONE},
    {"process.capabilities", SPEC_OBJECT, false, DOES("inside; unknown names are logged")},
    STRINGS("process.capabilities.bounding"),
    STRINGS("process.capabilities.effective"),
    STRINGS("process.capabilities.inheritable"),
    STRINGS("process.capabilities.permitted"),
    STRINGS("process.capabilities.ambient"),
    {"process.rlimits", SPEC_ARRAY, false, DONE},
    {"process.rlimits[]", SPEC_OBJECT, false, DONE},
    {"process.rlimits[].type", SPEC_STRING, true, DONE},
    {"process.rlimits[].soft", SPEC_UINT, true, DONE},
    {"process.rlimits[].hard", SPEC_UINT, true, DONE},
    {"process.noNewPrivileges", SPEC_BOOL, false, DONE},
    {"process.oomScoreAdj", SPEC_INT, false, DOES("inside; outside where the host permits")},
    {"process.apparmorProfile", SPEC_STRING, false, NOTED("guests meet no host LSM")},
    {"process.selinuxLabel", SPEC_STRING, false, NOTED("guests meet no host LSM")},
    {"process.scheduler", SPEC_ANY, false, NOTED("no scheduling classes inside")},
    {"process.ioPriority", SPEC_ANY, false, NOTED("no I/O classes inside")},
    {"process.execCPUAffinity", SPEC_ANY, false, NOTED("affinity is the guest's own")},
    {"root", SPEC_OBJECT, true, DONE},
    {"root.path", SPEC_STRING, true, DONE},
    {"root.readonly", SPEC_BOOL, false, DONE},
    {"hostname", SPEC_STRING, false, DONE},
    {"domainname", SPEC_STRING, false, DONE},
    {"mounts", SPEC_ARRAY, false, DONE},
    {"mounts[]", SPEC_OBJECT, false, DONE},
    {"mounts[].destination", SPEC_STRING, true, DONE},
    {"mounts[].type", SPEC_STRING, false,
     DOES("bind, tmpfs, proc, sysfs, devpts, mqueue, cgroup, cgroup2; others are refused")},
    {"mounts[].source", SPEC_STRING, false, DONE},
    STRINGS("mounts[].options"),
    IDMAP("mounts[].uidMappings"),
    IDMAP("mounts[].gidMappings"),
    {"hooks", SPEC_OBJECT, false, DONE},
    HOOK("hooks.prestart", "deprecated by the specification, run before createRuntime"),
    HOOK("hooks.createRuntime", "state on standard input; a failure ends the container"),
    HOOK("hooks.createContainer", "in the container's host namespaces"),
    HOOK("hooks.startContainer", "inside, as root, in a sandbox of its own over the same files"),
    HOOK("hooks.poststart", "a failure is logged"),
    HOOK("hooks.poststop", "a failure is logged"),
    {"annotations", SPEC_MAP, false, DONE},
    {"annotations{}", SPEC_STRING, false, DONE},
    {"linux", SPEC_OBJECT, false, DONE},
    IDMAP("linux.uidMappings"),
    IDMAP("linux.gidMappings"),
    {"linux.sysctl", SPEC_MAP, false, DOES("inside")},
    {"linux.sysctl{}", SPEC_STRING, false, DONE},
    {"linux.resources", SPEC_OBJECT, false, DONE},
    {"linux.resources.devices", SPEC_ARRAY, false,
     DOES("only the devices made in /dev exist inside, so the list has nothing more to forbid")},
    {"linux.resources.devices[]", SPEC_OBJECT, false, DONE},
    {"linux.resources.devices[].allow", SPEC_BOOL, true, DONE},
    {"linux.resources.devices[].type", SPEC_STRING, false, ONE("a|b|c|u|p")},
    {"linux.resources.devices[].major", SPEC_INT, false, DONE},
    {"linux.resources.devices[].minor", SPEC_INT, false, DONE},
    {"linux.resources.devices[].access", SPEC_STRING, false, DONE},
    {"linux.resources.memory", SPEC_OBJECT, false, DONE},
    {"linux.resources.memory.limit", SPEC_INT, false, BOTH},
    {"linux.resources.memory.reservation", SPEC_INT, false, CGROUP},
    {"linux.resources.memory.swap", SPEC_INT, false, CGROUP},
    {"linux.resources.memory.kernel", SPEC_INT, false, NOTED("gone from the host's kernel")},
    {"linux.resources.memory.kernelTCP", SPEC_INT, false, CGROUP},
    {"linux.resources.memory.swappiness", SPEC_UINT, false, CGROUP},
    {"linux.resources.memory.disableOOMKiller", SPEC_BOOL, false, CGROUP},
    {"linux.resources.memory.useHierarchy", SPEC_BOOL, false, CGROUP},
    {"linux.resources.memory.checkBeforeUpdate", SPEC_BOOL, false, DONE},
    {"linux.resources.cpu", SPEC_OBJECT, false, DONE},
    {"linux.resources.cpu.shares", SPEC_UINT, false, CGROUP},
    {"linux.resources.cpu.quota", SPEC_INT, false, BOTH},
    {"linux.resources.cpu.burst", SPEC_UINT, false, CGROUP},
    {"linux.resources.cpu.period", SPEC_UINT, false, BOTH},
    {"linux.resources.cpu.realtimeRuntime", SPEC_INT, false, CGROUP},
    {"linux.resources.cpu.realtimePeriod", SPEC_UINT, false, CGROUP},
    {"linux.resources.cpu.cpus", SPEC_STRING, false, CGROUP},
    {"linux.resources.cpu.mems", SPEC_STRING, false, CGROUP},
    {"linux.resources.cpu.idle", SPEC_INT, false, CGROUP},
    {"linux.resources.pids", SPEC_OBJECT, false, DONE},
    {"linux.resources.pids.limit", SPEC_INT, false,
     DOES("the sentry's own limit; the host cgroup leaves room for our own threads")},
    {"linux.resources.blockIO", SPEC_OBJECT, false, DONE},
    {"linux.resources.blockIO.weight", SPEC_UINT, false, CGROUP},
    {"linux.resources.blockIO.leafWeight", SPEC_UINT, false, CGROUP},
    {"linux.resources.blockIO.weightDevice", SPEC_ARRAY, false, CGROUP},
    {"linux.resources.blockIO.weightDevice[]", SPEC_OBJECT, false, DONE},
    {"linux.resources.blockIO.weightDevice[].major", SPEC_UINT, true, DONE},
    {"linux.resources.blockIO.weightDevice[].minor", SPEC_UINT, true, DONE},
    {"linux.resources.blockIO.weightDevice[].weight", SPEC_UINT, false, DONE},
    {"linux.resources.blockIO.weightDevice[].leafWeight", SPEC_UINT, false, DONE},
    BLKIO("linux.resources.blockIO.throttleReadBpsDevice"),
    BLKIO("linux.resources.blockIO.throttleWriteBpsDevice"),
    BLKIO("linux.resources.blockIO.throttleReadIOPSDevice"),
    BLKIO("linux.resources.blockIO.throttleWriteIOPSDevice"),
    {"linux.resources.hugepageLimits", SPEC_ARRAY, false, CGROUP},
    {"linux.resources.hugepageLimits[]", SPEC_OBJECT, false, DONE},
    {"linux.resources.hugepageLimits[].pageSize", SPEC_STRING, true, DONE},
    {"linux.resources.hugepageLimits[].limit", SPEC_UINT, true, DONE},
    {"linux.resources.network", SPEC_OBJECT, false, DONE},
    {"linux.resources.network.classID", SPEC_ID, false, CGROUP},
    {"linux.resources.network.priorities", SPEC_ARRAY, false, CGROUP},
    {"linux.resources.network.priorities[]", SPEC_OBJECT, false, DONE},
    {"linux.resources.network.priorities[].name", SPEC_STRING, true, DONE},
    {"linux.resources.network.priorities[].priority", SPEC_ID, true, DONE},
    {"linux.resources.rdma", SPEC_ANY, false, NOTED("no RDMA inside")},
    {"linux.resources.unified", SPEC_MAP, false, CGROUP},
    {"linux.resources.unified{}", SPEC_STRING, false, DONE},
    {"linux.cgroupsPath", SPEC_STRING, false, DONE},
    {"linux.namespaces", SPEC_ARRAY, false, DONE},
    {"linux.namespaces[]", SPEC_OBJECT, false, DONE},
    {"linux.namespaces[].type", SPEC_STRING, true, ONE(g_namespaces)},
    {"linux.namespaces[].path", SPEC_STRING, false, DONE},
    {"linux.devices", SPEC_ARRAY, false, DONE},
    {"linux.devices[]", SPEC_OBJECT, false, DONE},
    {"linux.devices[].path", SPEC_PATH, true, DONE},
    {"linux.devices[].type", SPEC_STRING, true, ONE("b|c|u|p")},
    {"linux.devices[].major", SPEC_ID, false, DONE},
    {"linux.devices[].minor", SPEC_ID, false, DONE},
    {"linux.devices[].fileMode", SPEC_ID, false, DONE},
    {"linux.devices[].uid", SPEC_ID, false, DONE},
    {"linux.devices[].gid", SPEC_ID, false, DONE},
    {"linux.netDevices", SPEC_ANY, false, REFUSED("host network devices cannot be moved inside")},
    {"linux.seccomp", SPEC_OBJECT, false, DOES("enforced by the sentry")},
    {"linux.seccomp.defaultAction", SPEC_STRING, true, ONE(g_actions)},
    {"linux.seccomp.defaultErrnoRet", SPEC_ID, false, DONE},
    STRINGS("linux.seccomp.architectures"),
    STRINGS("linux.seccomp.flags"),
    {"linux.seccomp.listenerPath", SPEC_STRING, false,
     REFUSED("guest calls never reach the host, so there is no listener to hand out")},
    {"linux.seccomp.listenerMetadata", SPEC_STRING, false, NOTED("goes with listenerPath")},
    {"linux.seccomp.syscalls", SPEC_ARRAY, false, DONE},
    {"linux.seccomp.syscalls[]", SPEC_OBJECT, false, DONE},
    STRINGS("linux.seccomp.syscalls[].names"),
    {"linux.seccomp.syscalls[].action", SPEC_STRING, true, ONE(g_actions)},
    {"linux.seccomp.syscalls[].errnoRet", SPEC_ID, false, DONE},
    {"linux.seccomp.syscalls[].args", SPEC_ARRAY, false, DONE},
    {"linux.seccomp.syscalls[].args[]", SPEC_OBJECT, false, DONE},
    {"linux.seccomp.syscalls[].args[].index", SPEC_ID, true, DONE},
    {"linux.seccomp.syscalls[].args[].value", SPEC_UINT, true, DONE},
    {"linux.seccomp.syscalls[].args[].valueTwo", SPEC_UINT, false, DONE},
    {"linux.seccomp.syscalls[].args[].op", SPEC_STRING, true, ONE(g_operators)},
    {"linux.rootfsPropagation", SPEC_STRING, false,
     ONE("|private|rprivate|shared|rshared|slave|rslave|unbindable|runbindable")},
    PATHS("linux.maskedPaths", "inside"),
    PATHS("linux.readonlyPaths", "inside"),
    {"linux.mountLabel", SPEC_STRING, false, NOTED("guests meet no host LSM")},
    {"linux.intelRdt", SPEC_ANY, false, REFUSED("cache and bandwidth classes are not managed")},
    {"linux.memoryPolicy", SPEC_ANY, false, NOTED("memory policy is the guest's own")},
    {"linux.personality", SPEC_OBJECT, false, DONE},
    {"linux.personality.domain", SPEC_STRING, true, ONE("LINUX")},
    STRINGS("linux.personality.flags"),
    {"linux.timeOffsets", SPEC_ANY, false, REFUSED("clocks inside are the host's")},
    {"solaris", SPEC_ANY, false, NOTED("another system's section")},
    {"windows", SPEC_ANY, false, NOTED("another system's section")},
    {"vm", SPEC_ANY, false, NOTED("another kind of runtime's section")},
    {"zos", SPEC_ANY, false, NOTED("another system's section")},
};
const size_t g_spec_field_count = sizeof(g_spec_fields) / sizeof(g_spec_fields[0]);
