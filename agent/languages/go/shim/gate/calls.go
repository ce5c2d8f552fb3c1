package gate

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

// calls is the server's side of the workers: calls with a deadline, and the counts.
type calls struct {
	pool      *pool
	unhealthy atomic.Value
	mutex     sync.Mutex
	count     int
	errors    int
	seconds   float64
	inFlight  int
}

func newCalls() *calls {
	c := &calls{}
	c.unhealthy.Store("starting")
	c.pool = newPool(func(problem string) { c.unhealthy.Store(problem) })
	return c
}

func (c *calls) execute(body []byte) (int, []byte) {
	deadline, caller, fine := about.read(body)
	if !fine {
		return 400, failed("bad-request", `the body must be {"inputs": {...}, "context": {...}} as JSON`)
	}
	started := time.Now()
	c.counted(1, func() {})
	until := started.Add(time.Duration(min(max(deadline, 0), about.Timeout) * float64(time.Second)))
	answer := c.within(body, caller, until)
	unhealthy := c.unhealthy.Load().(string)
	if unhealthy != "" && unhealthy != "starting" && !answer.ok {
		answer.body = failed("unhealthy", unhealthy)
	}
	c.counted(-1, func() {
		c.count++
		c.seconds += time.Since(started).Seconds()
		if !answer.ok {
			c.errors++
		}
	})
	if unhealthy != "" && !answer.ok {
		return 503, answer.body
	}
	return 200, answer.body
}

func (c *calls) counted(more int, also func()) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.inFlight += more
	also()
}

func (c *calls) within(body []byte, caller string, until time.Time) reply {
	if unhealthy := c.unhealthy.Load().(string); unhealthy != "" && unhealthy != "starting" {
		return reply{body: failed("unhealthy", unhealthy)}
	}
	return c.pool.ask(body, caller, until)
}

// read tells the seconds that a call may take, whose it is, and whether its body has the contract's form.
func (s service) read(body []byte) (deadline float64, caller string, fine bool) {
	var call struct {
		Inputs  map[string]any `json:"inputs"`
		Context json.RawMessage
	}
	if !utf8.Valid(body) || json.Unmarshal(body, &call) != nil || call.Inputs == nil {
		return 0, "", false
	}
	context := map[string]any{}
	if call.Context != nil && (json.Unmarshal(call.Context, &context) != nil || context == nil) {
		return 0, "", false
	}
	caller, _ = context["caller"].(string)
	switch deadline := context["deadline"].(type) {
	case nil:
		return s.Timeout, caller, true
	case float64:
		return deadline, caller, true
	case string:
		seconds, err := strconv.ParseFloat(deadline, 64)
		return seconds, caller, err == nil && seconds == seconds
	}
	return 0, "", false
}

func (c *calls) health() (int, []byte) {
	state := struct {
		Status  string `json:"status"`
		Reason  string `json:"reason,omitempty"`
		Name    string `json:"name"`
		Version string `json:"version"`
	}{"healthy", c.unhealthy.Load().(string), about.Name, about.Version}
	status := 200
	if state.Reason != "" {
		state.Status, status = "unhealthy", 503
	}
	body, _ := json.Marshal(state)
	return status, body
}

func (c *calls) metrics() (int, []byte) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	var text strings.Builder
	figure := func(name, kind, says, value string) {
		fmt.Fprintf(&text, "# HELP %s %s\n# TYPE %s %s\n%s{skill=%q} %s\n", name, says, name, kind, name, about.Name, value)
	}
	figure("skill_calls_total", "counter", "Calls answered.", strconv.Itoa(c.count))
	figure("skill_errors_total", "counter", "Calls answered with an error.", strconv.Itoa(c.errors))
	figure("skill_call_seconds_sum", "counter", "Seconds spent in calls.", strconv.FormatFloat(c.seconds, 'f', 6, 64))
	figure("skill_calls_in_flight", "gauge", "Calls that run now.", strconv.Itoa(c.inFlight))
	return 200, []byte(text.String())
}
