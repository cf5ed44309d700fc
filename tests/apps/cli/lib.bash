# lib.bash: what the command-line checks share. $RINGFENCE, $PLATFORM, $BUILD and $TESTS come from tests/run.
set -u
tmp=$(mktemp -d /tmp/rfcli.XXXXXX)
trap 'rm -rf "$tmp"' EXIT
bad=0

rf() { "$RINGFENCE" do --platform="$PLATFORM" "$@"; }

wrong() {
    echo "WRONG: $*" >&2
    bad=1
}

# expect STATUS PATTERN CMD…: CMD leaves with STATUS, and its stderr has a line that matches (none if PATTERN is empty).
expect() {
    local want=$1 pattern=$2 got
    shift 2
    if [ "$(type -t "$1")" = function ]; then # which timeout(1) cannot run
        "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
    else
        timeout 30 "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
    fi
    got=$?
    [ "$got" = "$want" ] || wrong "$* : status $got, want $want; $(head -c 300 "$tmp/err")"
    if [ -n "$pattern" ]; then
        grep -qiE -- "$pattern" "$tmp/err" || wrong "$* : stderr has no /$pattern/: $(head -c 300 "$tmp/err")"
    elif [ -s "$tmp/err" ]; then
        wrong "$* : stderr is not empty: $(head -c 300 "$tmp/err")"
    fi
    if grep -qE 'core dumped|Assertion|AddressSanitizer|runtime error|BUG' "$tmp/err"; then
        wrong "$* : $(grep -m1 -E 'core dumped|Assertion|AddressSanitizer|runtime error|BUG' "$tmp/err")"
    fi
}

equal() { # NAME GOT WANT
    [ "$2" = "$3" ] || wrong "$1 is '${2:0:200}', want '${3:0:200}'"
}

# descendants PID: the live processes below it, one "PID NAME" per line. Orphans of a check come to its supervisor.
descendants() {
    ps -eo pid=,ppid=,stat=,comm= | awk -v top="$1" '{ parent[$1] = $2; state[$1] = $3; name[$1] = $4 }
        END { for (p in parent) { if (state[p] ~ /^Z/) continue;
            for (q = parent[p]; q > 1 && q != top; q = parent[q]); if (q == top) print p, name[p] } }'
}

finish() { exit $bad; }
