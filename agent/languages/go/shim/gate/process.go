package gate

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

const (
	tail     = 8192 // bytes of what a process said last
	settling = 500 * time.Millisecond
	tooLarge = "the outputs are larger than 8388608 bytes"
	tooMuch  = "the call needed more memory than the manifest's resources.memory"
)

type reply struct {
	ok   bool
	body []byte
}

// worker is the process of one call.
type worker struct {
	command *exec.Cmd
	stdin   io.WriteCloser
	replies *os.File
	said    *log
	drained chan struct{}
	loaded  chan struct{} // closed when it is known whether the skill could be loaded
	problem string        // why it could not; read after `loaded` is closed
}

// log passes on what a process prints to stderr, and keeps the end of it.
type log struct{ kept []byte }

func (l *log) Write(data []byte) (int, error) {
	l.kept = append(l.kept, data...)
	if len(l.kept) > 2*tail { // the cause of a crash stands before a long trace
		l.kept = append(l.kept[:tail:tail], l.kept[len(l.kept)-tail:]...)
	}
	_, _ = os.Stderr.Write(data)
	return len(data), nil
}

// last is the line that names the cause where Go itself ended the process.
func (l *log) last() string {
	for _, line := range strings.Split(string(l.kept), "\n") {
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

func (w *worker) start() error {
	near, far, err := os.Pipe()
	if err != nil {
		return err
	}
	defer far.Close()
	errors, printed, err := os.Pipe()
	if err != nil {
		return err
	}
	defer printed.Close()
	w.replies = near
	w.command = exec.Command(program, "-worker")
	w.command.Stdout, w.command.Stderr, w.command.ExtraFiles = os.Stdout, printed, []*os.File{far}
	w.command.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a process group of its own, which is killed as a whole
	if w.stdin, err = w.command.StdinPipe(); err != nil {
		return err
	}
	if err = w.command.Start(); err != nil {
		w.command = nil
		return err
	}
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

// call has the process answer one call before `until`.
func (w *worker) call(body []byte, until time.Time) reply {
	late := reply{false, failed("timeout", "the call took longer than it was allowed to")}
	select {
	case <-w.loaded:
	case <-time.After(time.Until(until)):
		return late
	}
	if w.problem != "" {
		return reply{false, failed("crashed", w.problem)}
	}
	_ = w.replies.SetReadDeadline(until)
	go func() { // it may not read; then it is killed, and this ends
		_, _ = w.stdin.Write(body)
		w.stdin.Close()
	}()
	head := make([]byte, 5)
	if w.heard(head) {
		size := binary.BigEndian.Uint32(head[1:])
		if size > maxBody+4096 {
			return reply{false, failed("bad-outputs", tooLarge)}
		}
		if body := make([]byte, size); w.heard(body) && (head[0] == outputs || head[0] == failure) {
			return reply{head[0] == outputs, body}
		}
	}
	if !time.Now().Before(until) {
		return late
	}
	status := w.settle(until)
	if !time.Now().Before(until) {
		return late
	}
	return reply{false, w.death(status)}
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
	case status == "signal SIGKILL" || bytes.Contains(w.said.kept, []byte("out of memory")) || strings.Contains(cause, "cannot allocate memory"):
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
	if w.command == nil {
		return
	}
	_ = syscall.Kill(-w.command.Process.Pid, syscall.SIGKILL)
	_ = w.command.Process.Kill() // where it has no group yet
	w.stdin.Close()
	_ = w.command.Wait()
	w.replies.Close()
}
