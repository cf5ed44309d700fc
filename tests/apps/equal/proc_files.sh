# What tools read in /proc must be there and have the right form.
head -1 /proc/self/status; grep -cE '^(Name|Umask|State|Tgid|Pid|PPid|Uid|Gid|VmSize|VmRSS|Threads|SigBlk|SigCgt|CapEff):' /proc/self/status
awk '{ print NF }' /proc/self/stat; tr '\0' ' ' </proc/self/cmdline; echo
readlink /proc/self/exe /proc/self/cwd /proc/self/root
grep -cE '^[0-9a-f]+-[0-9a-f]+ [r-][w-][x-][ps] [0-9a-f]+ [0-9a-f]+:[0-9a-f]+ [0-9]+' /proc/self/maps >/dev/null && echo maps
grep -q '\[stack\]' /proc/self/maps && echo stack; grep -q '\[heap\]' /proc/self/maps && echo heap; grep -q '\[vdso\]' /proc/self/maps && echo vdso
ls /proc/self/fd | wc -l; ls /proc/self/task | wc -l; test -e /proc/$$/environ && echo environ
grep -c '^MemTotal: *[0-9]* kB' /proc/meminfo; grep -c '^processor' /proc/cpuinfo; awk '{ print NF }' /proc/uptime /proc/loadavg
grep -q '^cpu ' /proc/stat && echo stat; grep -q ' / ' /proc/mounts && echo mounts; awk '{ print (NF >= 10) }' /proc/self/mountinfo | sort -u
cat /proc/sys/kernel/ostype; cat /proc/sys/kernel/pid_max >/dev/null && echo pid_max; test -s /proc/version && echo version; test -s /proc/filesystems && echo filesystems
test -d /proc/sys/kernel && ls /proc | grep -c '^[0-9]' | awk '{ print ($1 >= 1) }'
ps -o pid,comm -p $$ | tail -1 | awk '{ print $2 }'; pgrep -c bash >/dev/null; echo "pgrep $?"
cat /proc/self/comm /proc/self/limits | head -3; cat /proc/thread-self/comm
