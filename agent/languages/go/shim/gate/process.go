package gate

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

const (
	tail     = 8192 // bytes of what a process said last
	settling = 500 * time.Millisecond
	tooLarge = "the outputs are larger than 8388608 bytes"
	tooMuch  = "the call needed more memory than the manifest's resources.memory"

	// A skill's nil pointer is a panic. A fault at 0 that is none is Go's own: its collector got no memory for its queues, and did not look (Go 1.26).
	runtimesOwn = "sigcode=1 addr=0x0"
)

type reply struct {
	ok         bool
	stays      bool // the process waits for its caller's next call
	unforeseen bool // a failure that may be the fault of what an earlier call left
	body       []byte
}

// worker is a process that calls the skill.
type worker struct {
	command *exec.Cmd
	asks    *os.File
	replies *os.File
	calls   int // that it was given
	said    *log
	drained chan struct{}
	loaded  chan struct{} // closed when it is known whether the skill could be loaded
	problem string        // why it could not; read after `loaded` is closed
}

// log passes on what a process prints to stderr, and keeps the end of it.
type log struct {
	mutex sync.Mutex
	kept  []byte
}

func (l *log) Write(data []byte) (int, error) {
	l.mutex.Lock()
	l.kept = append(l.kept, data...)
	if len(l.kept) > 2*tail { // the cause of a crash stands before a long trace
		l.kept = append(l.kept[:tail:tail], l.kept[len(l.kept)-tail:]...)
	}
	l.mutex.Unlock()
	_, _ = os.Stderr.Write(data)
	return len(data), nil
}

// forget is for the next call of a process: what an earlier one printed is no cause of its end.
func (l *log) forget() {
	l.mutex.Lock()
	l.kept = l.kept[:0]
	l.mutex.Unlock()
}

func (l *log) text() string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return string(l.kept)
}

// last is the line that names the cause where Go itself ended the process.
func (l *log) last() string {
	for _, line := range strings.Split(l.text(), "\n") {
		for _, start := range []string{"panic: ", "fatal error: ", "runtime: out of memory", "SIG"} {
			if strings.HasPrefix(line, start) {
				return line
			}
		}
	}
	return ""
}

func newWorker() *worker {
	w := &worker{said: &log{}, drained: make(chan struct{}), loaded: make(chan struct{})}
	if err := w.start(); err != nil {
		w.problem = "no process could be started: " + err.Error()
		close(w.loaded)
		return w
	}
	go func() {
		defer close(w.loaded)
		if kind := make([]byte, 1); !w.heard(kind) {
			w.settle(time.Now().Add(settling))
			w.problem = about.Entrypoint + " cannot be loaded: the process died while it loaded the skill"
			if cause := w.said.last(); cause != "" {
				w.problem = about.Entrypoint + " cannot be loaded: " + cause
			}
		}
	}()
	return w
}

func (w *worker) start() (err error) {
	var far [3]*os.File // the worker's ends: for replies, for calls, for what it prints
	defer func() {
		for _, end := range far {
			_ = end.Close() // a nil one, too
		}
	}()
	var errors *os.File
	if w.replies, far[0], err = os.Pipe(); err != nil {
		return err
	}
	if far[1], w.asks, err = os.Pipe(); err != nil {
		return err
	}
	if errors, far[2], err = os.Pipe(); err != nil {
		return err
	}
	command := exec.Command(program, "-worker")
	command.Stdout, command.Stderr, command.ExtraFiles = os.Stdout, far[2], far[:2] // from replyDescriptor on
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}                        // a process group of its own, which is killed as a whole
	if err = command.Start(); err != nil {
		errors.Close()
		return err
	}
	w.command = command
	go func() {
		_, _ = io.Copy(w.said, errors)
		errors.Close()
		close(w.drained)
	}()
	return nil
}

func (w *worker) heard(data []byte) bool {
	_, err := io.ReadFull(w.replies, data)
	return err == nil
}

// isQuiet tells whether the process lives and has said nothing, as it must where nobody called it.
func (w *worker) isQuiet() bool {
	_ = w.replies.SetReadDeadline(time.Time{})
	line, err := w.replies.SyscallConn()
	if err != nil {
		return false
	}
	quiet := false
	err = line.Read(func(descriptor uintptr) bool {
		_, err := syscall.Read(int(descriptor), make([]byte, 1))
		quiet = err == syscall.EAGAIN
		return true
	})
	return quiet && err == nil
}

// call has the process answer a call before `until`; it may say that it stays for another where `more`.
func (w *worker) call(body []byte, more bool, until time.Time) reply {
	late := reply{body: failed("timeout", "the call took longer than it was allowed to")}
	select {
	case <-w.loaded:
	case <-time.After(time.Until(until)):
		return late
	}
	if w.problem != "" {
		return reply{body: failed("crashed", w.problem)}
	}
	if w.calls++; w.calls > 1 {
		w.said.forget()
	}
	kind := byte(one)
	if more {
		kind = some
	}
	_, _ = w.replies.SetReadDeadline(until), w.asks.SetWriteDeadline(until)
	_, _ = w.asks.Write(framed(kind, body)) // where it is gone, that is heard next
	head := make([]byte, headSize)
	if w.heard(head) {
		size := binary.BigEndian.Uint32(head[1:])
		if size > maxBody+4096 {
			return reply{body: failed("bad-outputs", tooLarge)}
		}
		if body := make([]byte, size); w.heard(body) {
			switch head[0] {
			case outputs, staying:
				return reply{ok: true, stays: more && head[0] == staying, body: body}
			case failure, unforeseen:
				return reply{unforeseen: head[0] == unforeseen, body: body}
			}
		}
	}
	if !time.Now().Before(until) {
		return late
	}
	status := w.settle(until)
	if !time.Now().Before(until) {
		return late
	}
	return reply{unforeseen: true, body: w.death(status)}
}

// settle waits until the process has ended and everything that it printed is here, and leaves it unreaped, so that its number stays its own.
func (w *worker) settle(until time.Time) string {
	ended := make(chan string, 1)
	go func() {
		var info [128]byte // siginfo_t in waitid(2): si_code is the third int, si_status the seventh
		_, _, _ = syscall.Syscall6(syscall.SYS_WAITID, 1, uintptr(w.command.Process.Pid), uintptr(unsafe.Pointer(&info)), syscall.WEXITED|syscall.WNOWAIT, 0, 0)
		code, status := binary.NativeEndian.Uint32(info[8:]), binary.NativeEndian.Uint32(info[24:])
		if code == 1 {
			ended <- fmt.Sprintf("exit code %d", status)
		} else {
			ended <- "signal " + signalName(syscall.Signal(status))
		}
	}()
	select {
	case status := <-ended:
		select {
		case <-w.drained:
		case <-time.After(settling):
		}
		return status
	case <-time.After(time.Until(until)):
		return "no answer"
	}
}

func signalName(number syscall.Signal) string {
	names := map[syscall.Signal]string{
		syscall.SIGSEGV: "SIGSEGV", syscall.SIGKILL: "SIGKILL", syscall.SIGABRT: "SIGABRT", syscall.SIGTERM: "SIGTERM", syscall.SIGXFSZ: "SIGXFSZ",
		syscall.SIGBUS: "SIGBUS", syscall.SIGPIPE: "SIGPIPE", syscall.SIGHUP: "SIGHUP", syscall.SIGINT: "SIGINT",
	}
	if name, known := names[number]; known {
		return name
	}
	return number.String()
}

// death is what a caller is told of a process that ended without an answer.
func (w *worker) death(status string) []byte {
	cause := w.said.last()
	switch {
	case status == "signal SIGKILL" || strings.Contains(w.said.text(), "out of memory") || strings.Contains(cause, "cannot allocate memory"):
		return failed("out-of-memory", tooMuch)
	case strings.HasPrefix(cause, "SIGSEGV") && strings.Contains(w.said.text(), runtimesOwn):
		return failed("out-of-memory", tooMuch)
	case strings.HasPrefix(cause, "panic: ") && status == "exit code 2":
		return failed("skill-error", cause)
	case cause != "":
		return failed("crashed", "the process of this call ended without an answer: "+cause)
	}
	return failed("crashed", "the process of this call ended without an answer: "+status)
}

// kill ends the process and all that it started.
func (w *worker) kill() {
	if w.command != nil {
		_ = syscall.Kill(-w.command.Process.Pid, syscall.SIGKILL)
		_ = w.command.Process.Kill() // where it has no group yet
		_ = w.command.Wait()
	}
	_ = w.asks.Close() // a nil one, too
	_ = w.replies.Close()
}
