// Package gate is the server shim for Go: it speaks the design's HTTP contract. Nothing but Go's own library.
//
//	skill SOCKET             serves on a unix socket; SKILL_LISTEN=host:port or --tcp host:port serves on TCP
//	skill -health [SOCKET]   asks the server for its health; exits with 0 or 1
//	skill -worker            answers calls (the server starts these)
//
// `service.json` lies beside the program. Every package of the skill imports this one, so that init below comes before all of theirs:
// the process that serves never runs a line of the skill; its workers do (pool.go says which of them answers which call).
//
// Every call that reaches the skill is answered with 200, also where it fails: the reply's `error.code` says how.
package gate

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

const maxBody = 8 << 20 // bytes, either way: agent.domain.invocation.MAX_BODY

type service struct {
	Name       string  `json:"name"`
	Version    string  `json:"version"`
	Entrypoint string  `json:"entrypoint"`
	Code       string  `json:"code"`
	Timeout    float64 `json:"timeout"`
	Memory     uint64  `json:"memory"`
	Keep       bool    `json:"keep"`
}

var program, about = "", service{}

func init() {
	var err error
	if program, err = os.Executable(); err != nil {
		leave("where the program lies is not known", err)
	}
	text, err := os.ReadFile(filepath.Join(filepath.Dir(program), "service.json"))
	if err == nil {
		err = json.Unmarshal(text, &about)
	}
	if err != nil {
		leave("service.json cannot be read", err)
	}
	if len(os.Args) > 1 && os.Args[1] == "-worker" {
		prepare()
		return // main answers calls
	}
	network, address, probe := place(os.Args[1:])
	switch {
	case probe:
		os.Exit(healthy(network, address))
	case os.Getpid() == 1:
		os.Exit(reap())
	}
	serve(network, address)
}

func leave(message string, err error) {
	fmt.Fprintln(os.Stderr, message+":", err)
	os.Exit(2)
}

// place tells where to listen, and whether it is only to be asked for its health there.
func place(given []string) (network, address string, probe bool) {
	network, address = "tcp", os.Getenv("SKILL_LISTEN")
	for at := 0; at < len(given); at++ {
		switch {
		case given[at] == "-health" || given[at] == "--health":
			probe = true
		case (given[at] == "-tcp" || given[at] == "--tcp") && at+1 < len(given):
			at++
			network, address = "tcp", given[at]
		default:
			network, address = "unix", given[at]
		}
	}
	if address == "" {
		leave("usage: skill SOCKET, or SKILL_LISTEN=host:port", os.ErrInvalid)
	}
	return network, address, probe
}

func serve(network, address string) {
	undumpable()
	if network == "unix" {
		_ = os.Remove(address)
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		leave("cannot listen", err)
	}
	calls, callers := newCalls(), strings.Fields(os.Getenv("SKILL_CALLERS"))
	for {
		line, err := listener.Accept()
		if err != nil {
			leave("cannot accept", err)
		}
		if network != "unix" && !admitted(line, callers) {
			_ = line.Close()
			continue
		}
		go (&connection{line: line, calls: calls}).serve()
	}
}

// admitted tells whether a client may call: where callers are named, from their addresses alone.
func admitted(line net.Conn, callers []string) bool {
	host, _, err := net.SplitHostPort(line.RemoteAddr().String())
	return len(callers) == 0 || (err == nil && slices.Contains(callers, host))
}

// reap is what the first process of a container has to do: end those that others left behind. The server is its child.
func reap() int {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		leave("no server could be started", err)
	}
	child, err := os.StartProcess(program, os.Args, &os.ProcAttr{Files: []*os.File{null, os.Stdout, os.Stderr}, Env: os.Environ()})
	if err != nil {
		leave("no server could be started", err)
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-signals // a call that runs has nobody who waits for it any more, and all ends with the first process
		os.Exit(0)
	}()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if pid == child.Pid || (err != nil && err != syscall.EINTR) {
			return status.ExitStatus() & 0xff
		}
	}
}
