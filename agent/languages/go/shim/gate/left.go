package gate

import (
	"bytes"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"
	"unsafe"
)

const (
	growth       = 16 << 20              // bytes that a worker may have grown by and still go on
	leaving      = 50 * time.Microsecond // between two looks at goroutines that may have just done their work
	looks        = 10
	subreaper    = 36 // PR_SET_CHILD_SUBREAPER in prctl(2)
	everyProcess = 0  // P_ALL in waitid(2)
)

// before is how a worker was when it had loaded the skill and nobody had called it.
type before struct {
	goroutines int
	memory     int // bytes
	statm      int // proc_pid_statm(5), which stays open
}

// asLoaded also makes the processes that a call leaves without a parent this one's children, so that they can be seen.
func asLoaded() *before {
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, subreaper, 1, 0)
	statm, err := syscall.Open("/proc/self/statm", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		statm = -1
	}
	b := &before{goroutines: runtime.NumGoroutine(), statm: statm}
	b.memory = b.touched()
	return b
}

// nothingIsLeft tells whether the calls so far have left no process, no goroutine and little memory behind.
func (b *before) nothingIsLeft() bool {
	return noChild() && b.noGoroutine() && b.isSmall()
}

func noChild() bool {
	var info [128]byte // siginfo_t
	const how = syscall.WEXITED | syscall.WNOWAIT | syscall.WNOHANG
	_, _, err := syscall.RawSyscall6(syscall.SYS_WAITID, everyProcess, 0, uintptr(unsafe.Pointer(&info)), how, 0, 0)
	return err == syscall.ECHILD
}

func (b *before) noGoroutine() bool {
	for look := 0; ; look++ {
		now := runtime.NumGoroutine()
		if now <= b.goroutines {
			b.goroutines = now // one that the skill began when it was loaded may have ended
			return true
		}
		if look == looks {
			return false
		}
		time.Sleep(leaving)
	}
}

// isSmall tells whether the worker has not grown much. What is only garbage is given back first: that costs less than a new process.
func (b *before) isSmall() bool {
	if b.grown() < growth {
		return true
	}
	debug.FreeOSMemory()
	return b.grown() < growth
}

func (b *before) grown() int {
	now := b.touched()
	if now == 0 || b.memory == 0 {
		return growth // it cannot be told
	}
	return now - b.memory
}

// touched is how many bytes of its memory this process has used; 0 where that cannot be told.
func (b *before) touched() int {
	var text [100]byte
	n, err := syscall.Pread(b.statm, text[:], 0)
	if err != nil {
		return 0
	}
	fields := bytes.Fields(text[:n])
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.Atoi(string(fields[1]))
	return pages * os.Getpagesize()
}
