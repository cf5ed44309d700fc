# timeout: 120
cd /tmp; cat >rf_mp_$$.py <<'END'
import multiprocessing as mp
def sq(x): return x * x
if __name__ == "__main__":
    with mp.Pool(4) as p:
        print(sum(p.map(sq, range(1000))))
    q = mp.Queue(); p = mp.Process(target=q.put, args=("hi",)); p.start(); print(q.get()); p.join(); print(p.exitcode)
    v = mp.Value("i", 0)
    def inc(v):
        for _ in range(500):
            with v.get_lock(): v.value += 1
    ps = [mp.Process(target=inc, args=(v,)) for _ in range(4)]
    [p.start() for p in ps]; [p.join() for p in ps]; print(v.value)
END
/usr/bin/python3 rf_mp_$$.py; echo $?; rm rf_mp_$$.py
