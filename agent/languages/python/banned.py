"""What a skill may not name: the tables of `rules.py`."""

from __future__ import annotations

DYNAMIC, PROCESS, NATIVE, NETWORK, ENVIRONMENT, FRAMES, ENCODED = (
    ("dynamic-code", "runs or loads code that a reader cannot see"),
    ("process", "starts or ends processes, which a skill may not"),
    ("native-code", "reaches native code and memory"),
    ("network", "uses the network, and permissions.network is empty: declare each host:port there"),
    ("environment", "reads the machine's environment; a skill has SKILL_* and what its manifest's `environment` names"),
    ("frames", "reaches into the interpreter's frames, modules or objects"),
    ("encoded-payload", "decodes a literal, which hides its content from a reader: write it in plain"),
)
# Qualified names, a whole module or one member; everything below a name is meant, too.
BANNED: dict[str, tuple[str, str]] = {
    name: rule
    for rule, names in (
        (
            DYNAMIC,
            "importlib runpy imp zipimport marshal codeop code.interact code.InteractiveInterpreter code.InteractiveConsole",
        ),
        (DYNAMIC, " ".join(f"builtins.{name}" for name in ("exec", "eval", "compile", "__import__", "globals", "breakpoint", "__dict__"))),
        (
            DYNAMIC,
            "types.FunctionType types.CodeType pickle.loads pickle.load pickle.Unpickler dill cloudpickle shelve jsonpickle",
        ),
        (
            DYNAMIC,
            "pkgutil.get_loader pkgutil.find_loader pkgutil.resolve_name timeit.timeit timeit.Timer cProfile.run",
        ),
        (
            PROCESS,
            "subprocess multiprocessing pty posix _posixsubprocess pexpect asyncio.create_subprocess_exec asyncio.create_subprocess_shell",
        ),
        (PROCESS, "asyncio.subprocess concurrent.futures.ProcessPoolExecutor concurrent.futures.process webbrowser"),
        (PROCESS, "psutil plumbum ptyprocess pyautogui pynput"),
        (
            PROCESS,
            "os.system os.popen os.fork os.forkpty os.kill os.killpg os._exit os.abort os.posix_spawn os.posix_spawnp os.startfile",
        ),
        (PROCESS, " ".join(f"os.exec{end} os.spawn{end}" for end in ("l", "le", "lp", "lpe", "v", "ve", "vp", "vpe"))),
        (NATIVE, "ctypes _ctypes cffi mmap winreg _winapi win32api win32con win32gui win32crypt"),
        (
            NETWORK,
            "socket ssl urllib.request urllib3 http.client http.server ftplib smtplib poplib imaplib nntplib telnetlib xmlrpc socketserver",
        ),
        (
            NETWORK,
            "requests httpx aiohttp websocket websockets paramiko boto3 botocore grpc asyncio.open_connection asyncio.start_server scapy pycurl "
            "redis pymongo psycopg2 pymysql telethon discord telebot",
        ),
        (
            FRAMES,
            "sys.modules sys.meta_path sys.path_hooks sys.path_importer_cache sys._getframe sys._current_frames sys.settrace sys.setprofile",
        ),
        (
            FRAMES,
            "sys.addaudithook inspect.currentframe inspect.stack inspect.trace inspect.getouterframes inspect.getinnerframes",
        ),
        (FRAMES, "gc.get_objects gc.get_referrers gc.get_referents"),
    )
    for name in names.split()
}
HARMLESS = ("importlib.resources", "importlib.metadata")
ENVIRONMENTS = ("os.environ", "os.environb", "os.getenv", "os.getenvb", "os.putenv", "os.unsetenv")
SENSITIVE = (
    "os",
    "sys",
    "builtins",
    "importlib",
    "subprocess",
    "posix",
)  # modules that may only be used by naming a member
BUILTINS = ("exec", "eval", "compile", "__import__", "globals", "__builtins__", "__loader__", "__spec__", "breakpoint")
# Attributes that lead from any object to the builtins.
WAYS_OUT = (
    "__globals__",
    "__builtins__",
    "__subclasses__",
    "__code__",
    "__closure__",
    "__import__",
    "__loader__",
    "f_globals",
    "f_back",
    "tb_frame",
)
DECODERS = (
    *(
        f"base64.{name}"
        for name in (
            "b64decode",
            "b32decode",
            "b16decode",
            "b85decode",
            "a85decode",
            "urlsafe_b64decode",
            "decodebytes",
        )
    ),
    *(
        "binascii.unhexlify",
        "binascii.a2b_hex",
        "binascii.a2b_base64",
        "codecs.decode",
        "zlib.decompress",
        "gzip.decompress",
        "bz2.decompress",
    ),
    *("lzma.decompress", "bytes.fromhex", "bytearray.fromhex", "bytes", "bytearray"),
)
