#!/usr/bin/env python3
"""Clients of `unlearn serve` at once: answers a second, tokens a second, errors, and the server's memory.

    bench/serve_load.py URL [CLIENTS] [SECONDS] [TOKENS]

Each client asks one question after another, greedy, of TOKENS tokens (64). 429 is waited out as Retry-After says; any other
status but 200 is an error. With the process id of the server in the environment variable PID its memory is printed.
"""
import http.client, json, os, sys, threading, time, urllib.parse

url = urllib.parse.urlsplit(sys.argv[1])
clients, seconds, tokens = (int(sys.argv[i]) if len(sys.argv) > i else d for i, d in ((2, 8), (3, 10), (4, 64)))
lock, done, made, busy, errors, times = threading.Lock(), 0, 0, 0, [], []


def rss():
    pid = os.environ.get("PID")
    return int(next(l for l in open(f"/proc/{pid}/status") if l.startswith("VmRSS")).split()[1]) // 1024 if pid else 0


def client(number, until):
    global done, made, busy
    c = http.client.HTTPConnection(url.hostname, url.port, timeout=120)
    for k in range(1 << 30):
        if time.time() > until:
            return
        began = time.time()
        body = json.dumps({"messages": [{"role": "user", "content": f"Question {number}.{k}: who wrote it?"}], "max_tokens": tokens,
                           "temperature": 0, "ignore_eos": True, "stream": number % 2 == 1, "stream_options": {"include_usage": True}})
        try:
            c.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
            r = c.getresponse()
            text = r.read().decode()
        except OSError as e:
            with lock:
                errors.append(repr(e))
            c.close()
            continue
        if r.status == 429:
            with lock:
                busy += 1
            time.sleep(float(r.headers["Retry-After"]))
            continue
        fine = r.status == 200 and ("[DONE]" in text if number % 2 else json.loads(text)["usage"]["completion_tokens"] == tokens)
        with lock:
            if fine:
                done, made = done + 1, made + tokens
                times.append(time.time() - began)
            else:
                errors.append(f"{r.status}: {text[:100]}")


before, began = rss(), time.time()
threads = [threading.Thread(target=client, args=(i, began + seconds)) for i in range(clients)]
for t in threads:
    t.start()
time.sleep(seconds / 2)
half = rss()
for t in threads:
    t.join()
took = time.time() - began
times.sort()
print(json.dumps({"clients": clients, "seconds": round(took, 1), "answers": done, "tokens_per_s": round(made / took, 1), "busy_429": busy,
                  "errors": len(errors), "median_s": round(times[len(times) // 2], 3) if times else None,
                  "rss_mb": [before, half, rss()]}))
for e in errors[:3]:
    print(e, file=sys.stderr)
sys.exit(bool(errors))
