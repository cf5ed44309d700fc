# platforms: systrap kvm
ldd /bin/bash | awk '{ print $1 }' | grep -v vdso | sort
LD_DEBUG=libs /bin/true 2>/dev/null; echo $?
LD_PRELOAD=/nonexistent.so /bin/true 2>/dev/null; echo $?
/lib64/ld-linux-x86-64.so.2 /bin/echo by the loader
env -i /bin/echo no environment
