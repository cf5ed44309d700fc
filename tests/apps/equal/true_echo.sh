# platforms: systrap kvm
/bin/true; echo "true: $?"
/bin/false; echo "false: $?"
/bin/echo hello world
busybox echo static hello; echo "static: $?"
busybox true; echo "$?"
