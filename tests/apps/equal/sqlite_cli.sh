command -v sqlite3 >/dev/null || { echo "sqlite3 is not installed"; exit 77; }
d=$(mktemp -d); cd $d || exit 1
sqlite3 t.db 'create table t(a, b); with recursive c(x) as (select 1 union all select x+1 from c where x<5000) insert into t select x, x*x from c; select count(*), sum(b) from t;'
sqlite3 t.db 'pragma journal_mode=wal; update t set b=b+1 where a%3=0; select sum(b) from t; vacuum; pragma integrity_check;'
for i in 1 2 3 4; do sqlite3 -cmd '.timeout 20000' t.db "insert into t values('p$i', $i)" & done; wait
sqlite3 t.db "select count(*) from t where a like 'p%'"
cd /; rm -r $d
