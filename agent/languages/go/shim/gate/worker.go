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
	"sync"
	"syscall"
)

// Execute is what a skill has.
type Execute = func(inputs, context map[string]any) (map[string]any, error)

// A call comes on descriptor 4: one of the first two, the length in four bytes, and the body. What the worker says on descriptor 3 is one
// of the others, and for all but `ready` the length in four bytes and the reply's body.
const (
	one        = '1' // the last of its process
	some       = 'S' // maybe not the last
	ready      = 'R'
	outputs    = 'O'
	staying    = 'K' // outputs, and the worker waits for the next call
	failure    = 'E'
	unforeseen = 'F' // a failure that the skill does not name by a code
)

const (
	arena    = 64 << 20 // bytes: how Go's heap grows
	maxStack = 32 << 20
	dumpable = 4 // PR_SET_DUMPABLE in prctl(2)

	replyDescriptor = 3
	callDescriptor  = 4
	headSize        = 5 // bytes: a kind and a length
)

var codeForm = compiled(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// compiled makes the pattern when it is first needed: each worker starts, and few need one.
func compiled(pattern string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(pattern) })
}

// undumpable keeps calls from looking into the memory of this process.
func undumpable() {
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, dumpable, 0, 0)
}

// prepare sets a worker's limits before a line of the skill runs. RLIMIT_DATA: Go reserves far more address space than it uses.
func prepare() {
	syscall.CloseOnExec(replyDescriptor)
	syscall.CloseOnExec(callDescriptor)
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

// Run is the program's main, in a worker: it waits for a call and answers it, and goes on where another may come and nothing is left of it.
func Run(execute Execute) {
	calls, replies := os.NewFile(callDescriptor, "calls"), os.NewFile(replyDescriptor, "replies")
	loaded := asLoaded()
	_, _ = replies.Write([]byte{ready})
	for kind := byte(staying); kind == staying; {
		head := make([]byte, headSize)
		if _, err := io.ReadFull(calls, head); err != nil {
			return // the server went away
		}
		body := make([]byte, binary.BigEndian.Uint32(head[1:]))
		if _, err := io.ReadFull(calls, body); err != nil {
			return
		}
		var call struct{ Inputs, Context map[string]any }
		if err := json.Unmarshal(body, &call); err != nil {
			leave("the call cannot be read", err)
		}
		if call.Context == nil {
			call.Context = map[string]any{}
		}
		var reply []byte
		if kind, reply = answered(execute, call.Inputs, call.Context); kind == outputs && head[0] == some && loaded.nothingIsLeft() {
			kind = staying
		}
		_, _ = replies.Write(framed(kind, reply))
	}
}

// framed is what either side says: a kind, the length in four bytes, and the body.
func framed(kind byte, body []byte) []byte {
	frame := make([]byte, headSize, headSize+len(body))
	frame[0] = kind
	binary.BigEndian.PutUint32(frame[1:], uint32(len(body)))
	return append(frame, body...)
}

func answered(execute Execute, inputs, context map[string]any) (kind byte, reply []byte) {
	defer func() {
		if panicked := recover(); panicked != nil {
			fmt.Fprintf(os.Stderr, "panic: %v\n\n%s", panicked, debug.Stack())
			kind, reply = unforeseen, failed("skill-error", fmt.Sprintf("panic: %v", panicked))
		}
	}()
	made, err := execute(inputs, context)
	if err != nil {
		return named(err)
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

// named is the failure that an error is: with the code that it names by a method Code() string, or unforeseen.
func named(err error) (kind byte, reply []byte) {
	var coded interface{ Code() string }
	if errors.As(err, &coded) && codeForm().MatchString(coded.Code()) {
		return failure, failed(coded.Code(), err.Error())
	}
	fmt.Fprintln(os.Stderr, err)
	return unforeseen, failed("skill-error", err.Error())
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
