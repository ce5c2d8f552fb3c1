"""What a Node skill may not load or name: the tables of `rules.py`."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


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
        (NETWORK, "_http_agent _http_client _http_common _http_incoming _http_outgoing _http_server _tls_common _tls_wrap"),
        (NETWORK, "net http https http2 dns dns/promises dgram tls undici ws axios got node-fetch superagent request needle socket.io-client"),
        (ENVIRONMENT, "process dotenv"),
    )
    for name in names.split()
}
# What Node brings beside those, and a skill may load; the rest of what begins with `node:` or `_` no rule of ours has looked at.
HARMLESS = _words("""
    assert assert/strict async_hooks buffer console constants crypto diagnostics_channel events fs fs/promises os path path/posix path/win32
    perf_hooks punycode querystring readline readline/promises stream stream/consumers stream/promises stream/web string_decoder sys timers
    timers/promises tty url util util/types zlib
""")
UNKNOWN_MODULES = _words("domain sea sqlite test test/reporters trace_events")
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
# Of those, the members that a skill may name.
PROCESS_MEMBERS = _words("""
    abort addListener arch argv argv0 availableMemory binding constrainedMemory cpuUsage cwd dlopen emit emitWarning env execPath execve exit
    exitCode getBuiltinModule geteuid getegid getgid getuid hrtime kill listenerCount mainModule memoryUsage nextTick off on once pid platform
    ppid prependListener reallyExit release removeAllListeners removeListener resourceUsage setgid setuid stderr stdin stdout title uptime
    version versions _linkedBinding
""")
REQUIRED_MEMBERS = frozenset(("resolve", "main", "cache", "extensions"))
READ_MEMBERS = _words("exports filename id loaded path require constructor parent children")
# Members that lead to what is not named, whatever they are members of.
OUT = _words("""
    constructor __proto__ __defineGetter__ __defineSetter__ __lookupGetter__ __lookupSetter__ prepareStackTrace getFunction getThis createHook
    executionAsyncResource setEngine createRequire getBuiltinModule _linkedBinding dlopen mainModule _load _handle
""")
# Members of os that tell whose machine it is.
MACHINE = _words("userInfo networkInterfaces hostname homedir setPriority")
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


# Members of fs that take a path, and those of them that change what lies there.
READING = _words(
    "readFile readFileSync readdir readdirSync createReadStream openAsBlob stat statSync lstat lstatSync existsSync access accessSync opendir "
    "opendirSync readlink readlinkSync realpath realpathSync statfs statfsSync watch watchFile glob globSync ReadStream FileReadStream"
)
WRITING = _words(
    "writeFile writeFileSync appendFile appendFileSync createWriteStream open openSync rm rmSync rmdir rmdirSync unlink unlinkSync rename renameSync "
    "mkdir mkdirSync copyFile copyFileSync cp cpSync chmod chmodSync chown chownSync link linkSync symlink symlinkSync truncate truncateSync "
    "utimes utimesSync lutimes lutimesSync lchown lchownSync lchmod lchmodSync WriteStream FileWriteStream"
)
SCRATCH = _words("tmpdir mkdtemp mkdtempSync mkdtempDisposable")
