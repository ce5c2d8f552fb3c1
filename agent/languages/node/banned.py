"""What a Node skill may not load or name: the tables of `rules.py`."""

from __future__ import annotations

DYNAMIC, PROCESS, NATIVE, NETWORK, ENVIRONMENT, ENCODED = (
    ("dynamic-code", "runs or loads code that a reader cannot see"),
    ("process", "starts or ends processes, which a skill may not"),
    ("native-code", "reaches native code and memory"),
    ("network", "uses the network, and permissions.network is empty: declare each host:port there"),
    ("environment", "reads the machine's environment; a skill has SKILL_* and what its manifest's `environment` names"),
    ("encoded-payload", "decodes a literal, which hides its content from a reader: write it in plain"),
)
# Modules, with or without `node:`; everything below a name is meant, too.
MODULES: dict[str, tuple[str, str]] = {
    name: rule
    for rule, names in (
        (DYNAMIC, "vm repl module inspector inspector/promises"),
        (PROCESS, "child_process cluster worker_threads execa cross-spawn shelljs node-pty"),
        (NATIVE, "v8 wasi ffi-napi ref-napi"),
        (NETWORK, "net http https http2 dns dns/promises dgram tls undici ws axios got node-fetch superagent request needle socket.io-client"),
        (ENVIRONMENT, "process dotenv"),
    )
    for name in names.split()
}
# Names of the global object, as they stand or as members of it.
GLOBALS: dict[str, tuple[str, str]] = {
    **dict.fromkeys(("eval", "Function"), DYNAMIC),
    **dict.fromkeys(("WebAssembly", "SharedArrayBuffer"), NATIVE),
    **dict.fromkeys(("fetch", "WebSocket", "EventSource", "XMLHttpRequest"), NETWORK),
}
MEMBERS: dict[str, tuple[str, str]] = {
    **dict.fromkeys(("process.binding", "process._linkedBinding", "process.dlopen", "process.mainModule", "process.getBuiltinModule"), DYNAMIC),
    **dict.fromkeys(("module.require", "module.constructor", "module.parent", "module.children", "require.main", "require.cache"), DYNAMIC),
    **dict.fromkeys(("require.extensions", "import.meta.resolve"), DYNAMIC),
    **dict.fromkeys(("process.kill", "process.abort", "process.execve", "process.reallyExit", "process.setuid", "process.setgid"), PROCESS),
}
GLOBAL_OBJECTS = ("globalThis", "global", "self", "window")
# Objects that may only be used by naming a member.
SENSITIVE = ("process", "require", "module", *GLOBAL_OBJECTS)
TIMERS = ("setTimeout", "setInterval", "setImmediate")
DECODERS = (
    "Buffer.from",
    "atob",
    "Uint8Array.from",
    "String.fromCharCode",
    "String.fromCodePoint",
    "zlib.inflateSync",
    "zlib.gunzipSync",
    "unescape",
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Members of fs that take a path, and those of them that change what lies there.
READING = _words("readFile readFileSync readdir readdirSync createReadStream openAsBlob stat statSync lstat lstatSync existsSync access")
WRITING = _words(
    "writeFile writeFileSync appendFile appendFileSync createWriteStream open openSync rm rmSync rmdir rmdirSync unlink unlinkSync rename renameSync "
    "mkdir mkdirSync copyFile copyFileSync cp cpSync chmod chmodSync chown chownSync link linkSync symlink symlinkSync truncate truncateSync "
    "utimes utimesSync"
)
SCRATCH = _words("tmpdir mkdtemp mkdtempSync mkdtempDisposable")
