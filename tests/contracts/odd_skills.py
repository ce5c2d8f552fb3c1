"""For each language a skill that misbehaves as it is told in `do`, what a caller is to be told of it, and skills that cannot be loaded."""

from __future__ import annotations

PYTHON = """
import json
import os
import signal
import subprocess
import sys
import threading
import time

CALLS = []
KEPT = []


class TooOld(Exception):
    code = "too-old"


class Shouting(Exception):
    code = "NOT A CODE"


def execute(inputs, context):
    do = inputs.get("do")
    print("printed", do)
    if do == "context":
        return {"context": context}
    if do == "where":
        return {"cwd": os.getcwd(), "unit": os.environ["UNIT"]}
    if do == "spy":
        open(f"/proc/{os.getppid()}/mem", "rb").close()
    return ODD[do]()


def raising(error):
    raise error


def sleepers():
    running = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            running += open(f"/proc/{pid}/cmdline", "rb").read().startswith(b"sleep")
        except OSError:
            pass
    return {"running": running}


ODD = {
    "value": lambda: raising(ValueError("text is empty")),
    "key": lambda: raising(KeyError("text")),
    "code": lambda: raising(TooOld("before 1970")),
    "shout": lambda: raising(Shouting("x")),
    "exit": lambda: sys.exit(3),
    "hard exit": lambda: os._exit(3),
    "segfault": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "memory": lambda: {"n": len(bytearray(2_000_000_000))},
    "hang": lambda: os.execvp("sleep", ["sleep", "3600"]),
    "leave": lambda: {"pid": subprocess.Popen(["sleep", "3600"]).pid},
    "sleepers": sleepers,
    "list": lambda: [1],
    "set": lambda: {"a": {1}},
    "nan": lambda: {"a": float("nan")},
    "large": lambda: {"a": "x" * (9 * 2**20)},
    "deep": lambda: raising(RecursionError("deep")),
    "fine": lambda: {"a": 1},
    "count": lambda: {"n": CALLS.append(1) or len(CALLS)},
    "count and go on": lambda: {**ODD["count"](), "t": threading.Thread(target=time.sleep, args=(60,), daemon=True).start()},
    "count and keep": lambda: {**ODD["count"](), "k": KEPT.append(bytes([1]) * 40_000_000)},
    "count and leave": lambda: {**ODD["count"](), "p": subprocess.run(["sh", "-c", "sleep 3600 >&- 2>&- &"]).returncode},
    "fail the second time": lambda: ODD["count"]() if not CALLS else raising(KeyError("a")),
    "die the second time": lambda: ODD["count"]() if not CALLS else os._exit(3),
}
"""

BASH = r"""
set -euo pipefail

fail() {
  jq -cn --arg code "$1" --arg message "$2" '{code: $code, message: $message}' >&2
  exit "${3:-1}"
}

do=$(jq -r '.do // ""')
echo "printed $do" >&2
case $do in
  context) jq -cn --argjson context "$SKILL_CONTEXT" '{context: $context}' ;;
  where) jq -cn --arg cwd "$PWD" --arg unit "$UNIT" '{cwd: $cwd, unit: $unit}' ;;
  code) fail too-old 'before 1970' ;;
  status) fail too-old 'before 1970' 77 ;;
  shout) fail 'NOT A CODE' x ;;
  said) echo 'something went wrong' >&2; exit 4 ;;
  silent) exec 2>/dev/null; exit 3 ;;
  unset) echo "$nothing" ;;
  segfault) kill -SEGV "$BASHPID" ;;
  memory) head -c 900000000 /dev/zero | tail -c 900000000 | wc -c ;;
  hang) sleep 3600 ;;
  leave) sleep 3600 & echo '{}' ;;
  sleepers) jq -cn --argjson running "$(grep -lsa '^sleep' /proc/[0-9]*/cmdline | wc -l)" '{running: $running}' ;;
  list) echo '[1]' ;;
  text) echo 'hello' ;;
  nothing) : ;;
  twice) echo '{}{}' ;;
  nan) echo '{"a": NaN}' ;;
  large) head -c 9437184 /dev/zero | tr '\0' x | jq -R '{a: .}' ;;
  endless) while :; do printf '%8192s\n' x; done ;;
  fine) echo '{"a": 1}' ;;
  *) fail skill-error "unknown: $do" ;;
esac
"""

NODE = """
const { spawn } = require('node:child_process');
const fs = require('node:fs');

let calls = 0;
const kept = [];

const ODD = {
  context: (context) => ({ context }),
  where: () => ({ cwd: process.cwd(), unit: process.env.UNIT }),
  code: () => { throw Object.assign(new Error('before 1970'), { code: 'too-old' }); },
  key: () => { throw new TypeError('text'); },
  shout: () => { throw Object.assign(new Error('x'), { code: 'NOT A CODE' }); },
  thrown: () => { throw 'a text'; },
  rejected: () => new Promise((_, reject) => setTimeout(() => reject(new Error('later')), 10)),
  unhandled: () => new Promise(() => setTimeout(() => { throw new Error('in a timer'); }, 10)),
  never: () => new Promise(() => {}),
  exit: () => process.exit(3),
  'exit 0': () => process.exit(0),
  segfault: () => process.kill(process.pid, 'SIGSEGV'),
  memory: () => { const all = []; for (;;) all.push(new Array(100000).fill(all.length)); },
  buffers: () => ({ n: Buffer.alloc(2_000_000_000).length }),
  hang: () => { for (;;); },
  leave: () => { spawn('sleep', ['3600'], { stdio: 'inherit' }); return {}; },
  sleepers: () => {
    const read = (pid) => { try { return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8'); } catch { return ''; } };
    return { running: fs.readdirSync('/proc').filter((pid) => /^[0-9]+$/.test(pid) && read(pid).startsWith('sleep')).length };
  },
  list: () => [1],
  nothing: () => undefined,
  bigint: () => ({ a: 1n }),
  nan: () => ({ a: [NaN] }),
  circular: () => { const a = {}; a.a = a; return a; },
  large: () => ({ a: 'x'.repeat(9 * 2 ** 20) }),
  deep: () => { const down = () => 1 + down(); return { a: down() }; },
  fine: () => ({ a: 1 }),
  count: () => ({ n: ++calls }),
  'count and go on': () => { setTimeout(() => {}, 60_000); return { n: ++calls }; },
  'count and keep': () => { kept.push(Buffer.alloc(90_000_000, 1)); return { n: ++calls }; },
  'count and leave': () => { spawn('sleep', ['3600'], { detached: true, stdio: 'ignore' }).unref(); return { n: ++calls }; },
  'fail the second time': () => { if (calls) throw new Error('a'); return { n: ++calls }; },
  'die the second time': () => (calls ? process.exit(3) : { n: ++calls }),
};

exports.execute = async (inputs, context) => {
  console.log('printed', inputs.do);
  return (ODD[inputs.do] ?? (() => { throw new Error('unknown'); }))(context);
};
"""

GO = """
package skill

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

var (
	calls int
	kept  [][]byte
)

type fault struct{ code, message string }

func (f fault) Error() string { return f.message }
func (f fault) Code() string  { return f.code }

func Execute(inputs, context map[string]any) (map[string]any, error) {
	fmt.Println("printed", inputs["do"])
	switch inputs["do"] {
	case "context":
		return map[string]any{"context": context}, nil
	case "where":
		cwd, _ := os.Getwd()
		return map[string]any{"cwd": cwd, "unit": os.Getenv("UNIT")}, nil
	case "key":
		return nil, errors.New("text is empty")
	case "code":
		return nil, fmt.Errorf("%w", fault{"too-old", "before 1970"})
	case "shout":
		return nil, fault{"NOT A CODE", "x"}
	case "panic":
		panic("at the disco")
	case "index":
		return map[string]any{"a": []int{}[len(inputs)]}, nil
	case "goroutine":
		go func() { panic("in a goroutine") }()
		select {}
	case "never":
		select {}
	case "exit":
		os.Exit(3)
	case "exit 0":
		os.Exit(0)
	case "segfault":
		runtime.LockOSThread() // another thread may be anywhere in Go's runtime, which can hang then
		_ = syscall.Tgkill(os.Getpid(), syscall.Gettid(), syscall.SIGKILL+2)
		select {}
	case "memory":
		return map[string]any{"n": len(make([]byte, 2_000_000_000))}, nil
	case "leak":
		var all [][]byte
		for {
			all = append(all, []byte(strings.Repeat("x", 1<<20)))
		}
	case "hang":
		for {
		}
	case "leave":
		return map[string]any{}, exec.Command("sleep", "3600").Start()
	case "sleepers":
		running := 0
		names, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, name := range names {
			if text, _ := os.ReadFile(name); strings.HasPrefix(string(text), "sleep") {
				running++
			}
		}
		return map[string]any{"running": running}, nil
	case "spy":
		_, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", os.Getppid()))
		return map[string]any{}, err
	case "nothing":
		return nil, nil
	case "nan":
		return map[string]any{"a": []any{math.NaN()}}, nil
	case "channel":
		return map[string]any{"a": make(chan int)}, nil
	case "circular":
		a := map[string]any{}
		a["a"] = a
		return a, nil
	case "large":
		return map[string]any{"a": strings.Repeat("x", 9<<20)}, nil
	case "deep":
		return map[string]any{"a": down(1)}, nil
	case "count":
		return count()
	case "count and go on":
		go time.Sleep(time.Minute)
		return count()
	case "count and keep":
		kept = append(kept, bytes.Repeat([]byte{1}, 40_000_000))
		return count()
	case "count and leave":
		if err := exec.Command("/bin/sh", "-c", "sleep 3600 >&- 2>&- &").Run(); err != nil {
			return nil, err
		}
		return count()
	case "fail the second time":
		if calls > 0 {
			return nil, errors.New("a")
		}
		return count()
	case "die the second time":
		if calls > 0 {
			os.Exit(3)
		}
		return count()
	}
	return map[string]any{"a": 1}, nil
}

func count() (map[string]any, error) {
	calls++
	return map[string]any{"n": calls}, nil
}

func down(n int) int { return n + down(n+1) }
"""

ODD = {"python": PYTHON, "bash": BASH, "node": NODE, "go": GO}
ERRORS = {
    "python": {
        "value": ("invalid-inputs", "text is empty"),
        "key": ("skill-error", "KeyError: 'text'"),
        "code": ("too-old", "before 1970"),
        "shout": ("skill-error", "Shouting: x"),
        "exit": ("skill-error", "SystemExit: 3"),
        "hard exit": ("crashed", "exit code 3"),
        "segfault": ("crashed", "SIGSEGV"),
        "memory": ("out-of-memory", "resources.memory"),
        "list": ("bad-outputs", "list"),
        "set": ("bad-outputs", "set"),
        "nan": ("bad-outputs", "JSON"),
        "large": ("bad-outputs", "larger"),
        "deep": ("skill-error", "RecursionError"),
        "spy": ("skill-error", "PermissionError"),
    },
    "bash": {
        "code": ("too-old", "before 1970"),
        "status": ("too-old", "before 1970"),
        "shout": ("skill-error", "NOT A CODE"),
        "said": ("skill-error", "something went wrong (status 4)"),
        "silent": ("skill-error", "printed silent (status 3)"),
        "unset": ("skill-error", "unbound variable"),
        "segfault": ("crashed", "SIGSEGV"),
        "memory": ("out-of-memory", "resources.memory"),
        "list": ("bad-outputs", "list"),
        "text": ("bad-outputs", "'hello"),
        "nothing": ("bad-outputs", "nothing was printed"),
        "twice": ("bad-outputs", "not one JSON object"),
        "nan": ("bad-outputs", "JSON"),
        "large": ("bad-outputs", "larger"),
        "endless": ("bad-outputs", "larger"),
    },
    "node": {
        "code": ("too-old", "before 1970"),
        "key": ("skill-error", "TypeError: text"),
        "shout": ("skill-error", "Error: x"),
        "thrown": ("skill-error", "a text"),
        "rejected": ("skill-error", "later"),
        "unhandled": ("skill-error", "in a timer"),
        "never": ("crashed", "nothing left to do"),
        "exit": ("crashed", "exit code 3"),
        "exit 0": ("crashed", "exit code 0"),
        "segfault": ("crashed", "SIGSEGV"),
        "memory": ("out-of-memory", "resources.memory"),
        "buffers": ("out-of-memory", "resources.memory"),
        "list": ("bad-outputs", "array"),
        "nothing": ("bad-outputs", "undefined"),
        "bigint": ("bad-outputs", "BigInt"),
        "nan": ("bad-outputs", "JSON"),
        "circular": ("bad-outputs", "circular"),
        "large": ("bad-outputs", "larger"),
        "deep": ("skill-error", "RangeError"),
    },
    "go": {
        "key": ("skill-error", "text is empty"),
        "code": ("too-old", "before 1970"),
        "shout": ("skill-error", "x"),
        "panic": ("skill-error", "panic: at the disco"),
        "index": ("skill-error", "index out of range"),
        "goroutine": ("skill-error", "panic: in a goroutine"),
        "never": ("crashed", "deadlock"),
        "exit": ("crashed", "exit code 3"),
        "exit 0": ("crashed", "exit code 0"),
        "segfault": ("crashed", "SIGSEGV"),
        "memory": ("out-of-memory", "resources.memory"),
        "leak": ("out-of-memory", "resources.memory"),
        "nothing": ("bad-outputs", "nil"),
        "nan": ("bad-outputs", "JSON"),
        "channel": ("bad-outputs", "chan"),
        "circular": ("bad-outputs", "cycle"),
        "large": ("bad-outputs", "larger"),
        "deep": ("crashed", "stack overflow"),
        "spy": ("skill-error", "permission denied"),
    },
}
_GO_LOADED = """package skill

import "os"

var _ = os.Args

func init() {{ {} }}

func Execute(inputs, context map[string]any) (map[string]any, error) {{ return inputs, nil }}
"""
BROKEN = [
    ("python", "import nothing_like_it\n", "No module named 'nothing_like_it'"),
    ("python", "def execute(:\n", "SyntaxError"),
    ("python", "x = 1\n", "no function execute"),
    ("python", "raise SystemExit(0)\n", "SystemExit"),
    ("python", "import os\nos._exit(0)\n", "died"),
    ("bash", "if true; then\n", "syntax error"),
    ("node", "require('nothing-like-it');\n", "nothing-like-it"),
    ("node", "exports.execute = (;\n", "SyntaxError"),
    ("node", "exports.x = 1;\n", "no function execute"),
    ("node", "throw new Error('at load');\n", "at load"),
    ("node", "process.exit(0);\n", "died"),
    ("go", _GO_LOADED.format('panic("at load")'), "panic: at load"),
    ("go", _GO_LOADED.format("os.Exit(0)"), "died"),
]
