package gate

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

const (
	idle     = 75 * time.Second // that a connection may be silent
	maxHead  = 64 << 10         // bytes of a request's line and headers
	lateRead = 8 * maxBody      // how much of what was refused is read on, so that the client can read the answer
)

var (
	requestLine = compiled(`^([A-Za-z]+) (\S+) HTTP/(\d)\.(\d)$`)
	methods     = map[string]bool{"GET": true, "HEAD": true, "POST": true, "PUT": true, "PATCH": true, "DELETE": true, "OPTIONS": true}
)

// connection is one client. Requests that cannot be read get a reply in the contract's form, which net/http would not give.
type connection struct {
	line   net.Conn
	reader *bufio.Reader
	calls  *calls
	head   bool
}

type request struct {
	method, path string
	length       int
	close        bool
	expects      bool
}

type refusal struct {
	status  int
	code    string
	message string
}

func (r *refusal) Error() string { return r.message }

func wrong(status int, message string) error { return &refusal{status, "bad-request", message} }

func (c *connection) serve() {
	defer c.line.Close()
	c.reader = bufio.NewReaderSize(c.line, 16<<10)
	for {
		_ = c.line.SetReadDeadline(time.Now().Add(idle))
		asked, err := c.read()
		var body []byte
		if err == nil {
			body, err = c.body(asked)
		}
		var refused *refusal
		if errors.As(err, &refused) {
			c.refuse(refused)
			return
		}
		if err != nil {
			return // a client that went away is no news
		}
		_ = c.line.SetReadDeadline(time.Time{})
		status, kind, reply := c.route(asked, body)
		if status >= 404 && status <= 405 {
			asked.close = true
		}
		if c.answer(status, kind, reply, asked.close) != nil || asked.close {
			return
		}
	}
}

// read takes in a request's line and headers.
func (c *connection) read() (*request, error) {
	left := maxHead
	line, err := c.next(&left)
	if err != nil {
		return nil, err
	}
	parts := requestLine().FindStringSubmatch(line)
	if parts == nil {
		return nil, wrong(400, "the request cannot be read")
	}
	if parts[3] != "1" {
		return nil, wrong(505, "the protocol is HTTP/1.1")
	}
	path, _, _ := strings.Cut(parts[2], "?")
	asked := &request{method: parts[1], path: path, close: parts[4] == "0"}
	c.head = asked.method == "HEAD"
	for {
		line, err := c.next(&left)
		if err != nil || line == "" {
			return asked, err
		}
		name, value, found := strings.Cut(line, ":")
		if !found || name == "" || strings.ContainsAny(name, " \t") {
			return nil, wrong(400, "the request cannot be read")
		}
		if err := asked.header(strings.ToLower(name), strings.TrimSpace(value)); err != nil {
			return nil, err
		}
	}
}

func (r *request) header(name, value string) error {
	switch name {
	case "content-length":
		length, err := strconv.ParseUint(value, 10, 50)
		if err != nil || (r.length != 0 && r.length != int(length)) {
			return wrong(400, "the Content-Length is no number")
		}
		r.length = int(length)
	case "transfer-encoding":
		return wrong(411, "the body needs a Content-Length")
	case "connection":
		r.close = r.close || strings.EqualFold(value, "close")
	case "expect":
		r.expects = strings.EqualFold(value, "100-continue")
	}
	return nil
}

// next is the next line of the head; `left` is how much of it there may be.
func (c *connection) next(left *int) (string, error) {
	var whole []byte
	for {
		part, err := c.reader.ReadSlice('\n')
		whole = append(whole, part...)
		if *left -= len(part); *left < 0 {
			return "", wrong(431, "the request's head is too large")
		}
		if err == nil {
			return string(bytes.TrimRight(whole, "\r\n")), nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return "", err
		}
	}
}

func (c *connection) body(asked *request) ([]byte, error) {
	if asked.length > maxBody {
		return nil, &refusal{413, "too-large", fmt.Sprintf("the body is larger than %d bytes", maxBody)}
	}
	if asked.expects && asked.length > 0 {
		if _, err := io.WriteString(c.line, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
			return nil, err
		}
	}
	body := make([]byte, asked.length)
	_, err := io.ReadFull(c.reader, body)
	return body, err
}

func (c *connection) route(asked *request, body []byte) (int, string, []byte) {
	const kind = "application/json"
	switch asked.method + " " + asked.path {
	case "POST /execute":
		status, reply := c.calls.execute(body)
		return status, kind, reply
	case "GET /health":
		status, reply := c.calls.health()
		return status, kind, reply
	case "GET /metrics":
		status, reply := c.calls.metrics()
		return status, "text/plain; version=0.0.4", reply
	}
	switch {
	case !methods[asked.method]:
		return 405, kind, failed("bad-request", "the method is not allowed")
	case asked.path == "/execute" || asked.path == "/health" || asked.path == "/metrics":
		return 405, kind, failed("bad-request", asked.method+" is not allowed on "+asked.path)
	}
	return 404, kind, failed("not-found", "the paths are /execute, /health and /metrics")
}

var phrases = map[int]string{
	200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 411: "Length Required", 413: "Content Too Large",
	431: "Request Header Fields Too Large", 503: "Service Unavailable", 505: "HTTP Version Not Supported",
}

func (c *connection) answer(status int, kind string, body []byte, last bool) error {
	end := ""
	if last {
		end = "Connection: close\r\n"
	}
	head := fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n%s\r\n", status, phrases[status], kind, len(body), end)
	if c.head {
		body = nil
	}
	_ = c.line.SetWriteDeadline(time.Now().Add(idle))
	_, err := c.line.Write(append([]byte(head), body...))
	return err
}

// refuse answers what cannot be taken in, and reads on for a while: closing at once could lose the answer.
func (c *connection) refuse(why *refusal) {
	if c.answer(why.status, "application/json", failed(why.code, why.message), true) != nil {
		return
	}
	if half, ok := c.line.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_ = c.line.SetReadDeadline(time.Now().Add(2 * time.Second))
	_, _ = io.CopyN(io.Discard, c.reader, lateRead)
}

// healthy asks a server for its health, as a container's HEALTHCHECK does: 0 or 1.
func healthy(network, address string) int {
	if host, port, err := net.SplitHostPort(address); network == "tcp" && err == nil && (host == "" || net.ParseIP(host).IsUnspecified()) {
		address = net.JoinHostPort("127.0.0.1", port)
	}
	line, err := net.DialTimeout(network, address, 5*time.Second)
	if err != nil {
		return 1
	}
	defer line.Close()
	_ = line.SetDeadline(time.Now().Add(5 * time.Second))
	_, _ = io.WriteString(line, "GET /health HTTP/1.1\r\nHost: skill\r\nConnection: close\r\n\r\n")
	status, _ := bufio.NewReader(line).ReadString('\n')
	if strings.HasPrefix(status, "HTTP/1.1 200 ") {
		return 0
	}
	return 1
}
