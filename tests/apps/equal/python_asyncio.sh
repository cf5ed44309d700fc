/usr/bin/python3 - <<'END'
import asyncio, signal, os
async def main():
    p = await asyncio.create_subprocess_exec("echo", "sub", stdout=asyncio.subprocess.PIPE)
    print((await p.communicate())[0], p.returncode)
    async def serve(r, w):
        w.write((await r.readline()).upper()); await w.drain(); w.close()
    s = await asyncio.start_unix_server(serve, "/tmp/rf_async_%d" % os.getpid())
    r, w = await asyncio.open_unix_connection("/tmp/rf_async_%d" % os.getpid())
    w.write(b"hello\n"); print(await r.read()); s.close(); os.unlink("/tmp/rf_async_%d" % os.getpid())
    ev = asyncio.Event(); asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, ev.set)
    os.kill(os.getpid(), signal.SIGUSR1); await asyncio.wait_for(ev.wait(), 5); print("signal seen")
    print(await asyncio.gather(*[asyncio.sleep(0.01 * i, i) for i in range(5)]))
asyncio.run(main())
END
