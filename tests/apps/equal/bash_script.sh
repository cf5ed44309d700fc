# platforms: systrap kvm
set -o pipefail
for i in 1 2 3; do echo "loop $i"; done
n=0; while [ $n -lt 50 ]; do n=$((n + 1)); done; echo "n=$n"
echo one two three | tr ' ' '\n' | sort -r | head -2 | cat
false | true; echo "pipefail $?"
cat <<END | wc -l
here
doc $n
END
cat <<<"here string"
(cd /; pwd; exit 3); echo "subshell $?"
trap 'echo "trapped USR1"' USR1
kill -USR1 $$
trap 'echo bye' EXIT
x=$(echo nested $(echo deeper)); echo "$x"
f() { local a=$1; echo "f got $a"; return 5; }
f arg; echo "f gave $?"
diff <(printf 'a\nb\n') <(printf 'a\nc\n'); echo "diff $?"
{ sleep 0.05; echo background; } & wait $!; echo "waited $?"
bash -c 'kill -TERM $$'; echo "term $?"
bash -c 'exit 42'; echo "exit $?"
arr=(x y z); echo "${arr[@]:1} ${#arr[@]}"
[[ abc =~ ^a(.)c$ ]] && echo "match ${BASH_REMATCH[1]}"
printf '%s\n' /etc/host{s,name}
read -r a b < <(echo "first second"); echo "$b $a"
echo $((2**40)) "${x^^}"
ulimit -n >/dev/null && echo ulimit works
exec 5>/tmp/rf_bash_$$; echo via five >&5; exec 5>&-; cat /tmp/rf_bash_$$; rm /tmp/rf_bash_$$
