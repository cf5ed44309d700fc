# Shared by the suites of tests/oci/. A check is a shell function that uses $RT (the runtime) and prints what it
# sees; it is run with runc and with runrf, and output and status must be the same.
#
# RF_VERBOSE=runc (or runrf) shows what that one printed; arguments choose checks by a part of their names.
#
# Never put `create` or a detached run behind a pipe: the container keeps the pipe. So a check's output goes to files.
set -u
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
BUILD=$(cd "${RF_BUILD:-$HERE/../../build}" && pwd) || exit 1
RUNRF=$BUILD/runrf
RUNC=$(command -v runc || command -v /usr/sbin/runc || command -v crun || true)
passed=0 failed=0 skipped=0
T=$(mktemp -d "${TMPDIR:-/tmp}/rfoci.XXXXXX") || exit 1
chmod 755 "$T"
only=("$@")

finish() {
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" = 0 ]
    exit
}

skip_all() { # REASON
    echo "SKIP $(basename "$0"): $1"
    skipped=$((skipped + 1))
    finish
}

need() { # TOOL…
    local tool
    for tool; do
        PATH=$PATH:/usr/sbin:/sbin command -v "$tool" >/dev/null || skip_all "$tool is not installed"
    done
}

wanted() { # NAME: chosen on the command line, or all
    local w
    [ ${#only[@]} = 0 ] && return 0
    for w in "${only[@]}"; do [[ $1 == *$w* ]] && return 0; done
    return 1
}

pass() { passed=$((passed + 1)); }
fail() { # NAME WHY
    failed=$((failed + 1))
    echo "FAIL $1: $2"
}

# What differs by nature: the runtime's name, times, pids given in words.
normal() {
    sed -E -e 's/runrf/runc/g' -e 's/time="[^"]*"/time=T/g' -e 's/[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z/TIME/g' "$1"
}

once() { # FUNC RUNTIME NAME: one run, output in $T/out.NAME
    (
        set +e
        RT=$2 RTN=$3 ROOT=$T/root.$3 B=$T/bundle.$3
        export RT RTN ROOT B
        r() { "$RT" --root "$ROOT" "$@"; }
        "$1"
    ) >"$T/out.$3" 2>&1 </dev/null
    echo "status $?" >>"$T/out.$3"
}

# The same with both. A difference counts when it comes three times: clients and engines have races of their own, with
# runc as well, and each that does not repeat is said aloud.
check() { # FUNC
    local try
    wanted "$1" || return 0
    for try in 1 2 3; do
        once "$1" "$RUNC" runc
        once "$1" "$RUNRF" runrf
        [ -z "${RF_VERBOSE:-}" ] || { echo "--- $1"; cat "$T/out.$RF_VERBOSE"; }
        if diff <(normal "$T/out.runc") <(normal "$T/out.runrf") >"$T/diff"; then
            pass
            return
        fi
        echo "again $1: runc (<) and runrf (>) differed in: $(head -c 600 "$T/diff" | tr '\n' '|')"
    done
    fail "$1" "differs from runc (<) in: $(head -c 600 "$T/diff" | tr '\n' '|')"
}

expect() { # NAME CONDITION…: a plain truth about runrf
    local name=$1
    shift
    wanted "$name" || return 0
    if "$@" >"$T/out" 2>&1 </dev/null; then pass; else fail "$name" "$(tail -3 "$T/out" | tr '\n' '|')"; fi
}

busybox_root() { # DIR: a root of busybox and links to it
    local bb
    bb=$(command -v busybox) || return 1
    mkdir -p "$1"/{bin,sbin,usr/bin,usr/sbin,etc,proc,sys,dev,tmp,root,home,var,run,data}
    chmod 1777 "$1/tmp"
    cp "$bb" "$1/bin/busybox"
    "$bb" --list | while read -r name; do [ "$name" = busybox ] || ln -sf /bin/busybox "$1/bin/$name"; done
    printf 'root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home:/bin/sh\n' >"$1/etc/passwd"
    printf 'root:x:0:\nuser:x:1000:\n' >"$1/etc/group"
    : >"$1/etc/resolv.conf"; : >"$1/etc/hosts"; : >"$1/etc/hostname"
}

# A bundle at $B with runc's own example configuration, run through jq: bundle FILTER [ARG…]
bundle() {
    local filter=$1 args
    shift
    args=$(jq -nc '$ARGS.positional' --args -- "$@")
    rm -rf "$B"
    mkdir -p "$B"
    cp -a "$T/rootfs" "$B/rootfs"
    (cd "$B" && "$RUNC" spec)
    jq '.process.terminal=false | .hostname="host" | .root.readonly=false | .process.args=$args
        | .process.rlimits=[{type:"RLIMIT_NOFILE",soft:1024,hard:1024}] | '"$filter" --argjson args "$args" \
        <"$B/config.json" >"$B/c" && mv "$B/c" "$B/config.json"
}

run() { # FILTER ARG…: one container in the foreground
    bundle "$@"
    r run -b "$B" c
}

wait_status() { # ID STATUS: for a while
    local i
    for i in $(seq 100); do
        [ "$(r state "$1" 2>/dev/null | jq -r .status)" = "$2" ] && return 0
        sleep 0.05
    done
    echo "never $2"
}

leftovers() { # what of ours is still there
    ls -A "$T"/root.runrf 2>/dev/null
    ps -eo pid,args | grep -E "rf-(sentry|gofer)" | grep -F "$T" | grep -v grep
    find /sys/fs/cgroup -type d -name 'rfoci-*' 2>/dev/null | head -3
}

cleanup() {
    local id rt
    for rt in runc runrf; do
        for id in $(ls "$T/root.$rt" 2>/dev/null); do
            if [ $rt = runc ]; then "$RUNC" --root "$T/root.runc" delete --force "$id"; else
                "$RUNRF" --root "$T/root.runrf" delete --force "$id"; fi
        done
    done >/dev/null 2>&1
    declare -F suite_cleanup >/dev/null && suite_cleanup
    rm -rf --one-file-system "$T"
}
trap cleanup EXIT
