package gate

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
)

// Execute is what a skill has.
type Execute = func(inputs, context map[string]any) (map[string]any, error)

// What a worker says on descriptor 3: one of these, and for the last two the length in four bytes and the reply's body.
const (
	ready   = 'R'
	outputs = 'O'
	failure = 'E'
)

const (
	arena    = 64 << 20 // bytes: how Go's heap grows
	maxStack = 64 << 20
	dumpable = 4 // PR_SET_DUMPABLE in prctl(2)
)

var codeForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// undumpable keeps calls from looking into the memory of this process.
func undumpable() {
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, dumpable, 0, 0)
}

// prepare sets a worker's limits before a line of the skill runs. RLIMIT_DATA: Go reserves far more address space than it uses.
func prepare() {
	syscall.CloseOnExec(3)
	_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{})
	if text, err := os.ReadFile("/proc/self/statm"); err == nil {
		if fields := strings.Fields(string(text)); len(fields) > 5 {
			pages, _ := strconv.ParseUint(fields[5], 10, 64)
			most := pages*uint64(os.Getpagesize()) + (about.Memory+2*arena-1)/arena*arena
			_ = syscall.Setrlimit(syscall.RLIMIT_DATA, &syscall.Rlimit{Cur: most, Max: most})
		}
	}
	debug.SetMemoryLimit(int64(about.Memory))
	debug.SetMaxStack(maxStack)
	undumpable()
	if err := os.Chdir(about.Code); err != nil {
		leave("the skill's folder cannot be entered", err)
	}
}

// Run is the program's main, in a worker: it waits for the call on stdin and answers it.
func Run(execute Execute) {
	tell := os.NewFile(3, "reply")
	_, _ = tell.Write([]byte{ready})
	body, err := io.ReadAll(os.Stdin)
	if err != nil {
		leave("the call cannot be read", err)
	}
	if len(body) == 0 {
		return // the server went away
	}
	var call struct{ Inputs, Context map[string]any }
	if err := json.Unmarshal(body, &call); err != nil {
		leave("the call cannot be read", err)
	}
	if call.Context == nil {
		call.Context = map[string]any{}
	}
	kind, reply := answered(execute, call.Inputs, call.Context)
	head := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(reply)))
	_, _ = tell.Write(append(head, reply...))
}

func answered(execute Execute, inputs, context map[string]any) (kind byte, reply []byte) {
	defer func() {
		if panicked := recover(); panicked != nil {
			fmt.Fprintf(os.Stderr, "panic: %v\n\n%s", panicked, debug.Stack())
			kind, reply = failure, failed("skill-error", fmt.Sprintf("panic: %v", panicked))
		}
	}()
	made, err := execute(inputs, context)
	if err != nil {
		return failure, failed(codeOf(err), err.Error())
	}
	if made == nil {
		return failure, failed("bad-outputs", "Execute returned nil, not an object")
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(map[string]any{"success": true, "outputs": made}); err != nil {
		return failure, failed("bad-outputs", "the outputs are not JSON: "+err.Error())
	}
	if text.Len() > maxBody {
		return failure, failed("bad-outputs", fmt.Sprintf("the outputs are larger than %d bytes", maxBody))
	}
	return outputs, bytes.TrimSuffix(text.Bytes(), []byte("\n"))
}

// codeOf gives the code that an error names by a method Code() string.
func codeOf(err error) string {
	var coded interface{ Code() string }
	if errors.As(err, &coded) && codeForm.MatchString(coded.Code()) {
		return coded.Code()
	}
	fmt.Fprintln(os.Stderr, err)
	return "skill-error"
}

// failed is the body of a reply that is an error.
func failed(code, message string) []byte {
	if len(message) > 2000 {
		message = strings.ToValidUTF8(message[:2000], "")
	}
	type fault struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	body, _ := json.Marshal(struct {
		Success bool  `json:"success"`
		Error   fault `json:"error"`
	}{false, fault{code, message}})
	return body
}
