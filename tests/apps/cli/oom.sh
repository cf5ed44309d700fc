# A program that wants more than --memory is killed, alone, and that is counted.
. "$TESTS/apps/cli/lib.bash" || exit 2
command -v python3 >/dev/null || { echo "no python3 here"; exit 77; }
eat='import time
l = []
for i in range(400): l.append(bytearray(1 << 20))'
equal "status and survivor" "$(rf --memory=64M -- sh -c "python3 -c '$eat' 2>/dev/null; echo \$?" 2>/dev/null)" 137
rf --memory=64M -- python3 -c "$eat" 2>/dev/null
equal "status of the only one" $? 137
finish
