package gate

import (
	"slices"
	"sync"
	"time"
)

const (
	callsAtOnce = 8                // processes that have a call or stay for one; agent/languages/go/language.py has the memory for them
	waiting     = 2                // processes that have loaded the skill and wait for any call
	many        = 1000             // calls of one process
	stays       = 30 * time.Second // that a process stays for its caller's next call
	soon        = time.Second
)

// pool is who answers which call, and until when.
//
// Each call has a process of its own, which has loaded the skill before the call comes and is killed after it, with all that it
// started. Only where the manifest says that a call neither changes nor needs anything (readOnly and idempotent) does a process stay
// for the next call, and then of the same caller alone: starting one takes milliseconds. It stays only after a call that ended well
// and left nothing (left.go says what), and for `many` calls at most. A failure in a process that has answered before may be the
// fault of what it kept: where it came soon, the call is made once more, in a fresh one.
type pool struct {
	turns chan struct{}
	fresh chan *worker
	mutex sync.Mutex
	kept  []keeping // the one that has waited longest first
}

type keeping struct {
	caller string
	worker *worker
	timer  *time.Timer
}

// newPool starts the first process and tells, once that is known, why it cannot load the skill; then there will be no others.
func newPool(loaded func(problem string)) *pool {
	p := &pool{turns: make(chan struct{}, callsAtOnce), fresh: make(chan *worker, waiting-1)}
	first := newWorker()
	p.fresh <- first
	go func() {
		<-first.loaded
		loaded(first.problem)
		for first.problem == "" {
			p.fresh <- newWorker() // which waits here, beside the one in the channel
		}
	}()
	return p
}

// ask is the reply to a call with this body, where it can be had before `until`. `caller`: whose it is; empty where nobody knows.
func (p *pool) ask(body []byte, caller string, until time.Time) reply {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case p.turns <- struct{}{}:
	case <-timer.C:
		return busy()
	}
	if !about.Keep {
		caller = ""
	}
	worker := p.takeKept(caller)
	if worker == nil {
		if worker = p.takeFresh(timer.C); worker == nil {
			<-p.turns
			return busy()
		}
	}
	began := time.Now()
	answer := worker.call(body, caller != "" && worker.calls+1 < many, until)
	if answer.unforeseen && worker.calls > 1 && time.Since(began) < soon {
		if another := p.takeFresh(timer.C); another != nil {
			go worker.kill()
			worker = another
			answer = worker.call(body, false, until)
		}
	}
	if answer.stays {
		p.keep(worker, caller)
		return answer
	}
	go func() {
		worker.kill()
		<-p.turns
	}()
	return answer
}

func busy() reply {
	return reply{body: failed("busy", "no call could be started before the deadline")}
}

// takeFresh gives a process that nobody has called; one that stays for another caller makes room. Nil where it comes too late.
func (p *pool) takeFresh(late <-chan time.Time) *worker {
	p.mutex.Lock()
	for len(p.kept) > 0 && len(p.kept)+len(p.turns) > callsAtOnce {
		go p.drop(0).kill()
	}
	p.mutex.Unlock()
	select {
	case worker := <-p.fresh:
		return worker
	case <-late:
		return nil
	}
}

// takeKept gives the process that stayed for this caller last, nil where there is none.
func (p *pool) takeKept(caller string) *worker {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	for at := len(p.kept) - 1; at >= 0 && caller != ""; at-- {
		if p.kept[at].caller != caller {
			continue
		}
		worker := p.drop(at)
		if worker.isQuiet() {
			return worker
		}
		go worker.kill()
	}
	return nil
}

// keep has the process stay; the turn of its call is over.
func (p *pool) keep(worker *worker, caller string) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	timer := time.AfterFunc(stays, func() {
		p.mutex.Lock()
		defer p.mutex.Unlock()
		if at := slices.IndexFunc(p.kept, func(each keeping) bool { return each.worker == worker }); at >= 0 {
			go p.drop(at).kill()
		}
	})
	p.kept = append(p.kept, keeping{caller, worker, timer})
	<-p.turns
}

// drop takes one out of those that stay; the mutex is held.
func (p *pool) drop(at int) *worker {
	worker := p.kept[at].worker
	p.kept[at].timer.Stop()
	p.kept = slices.Delete(p.kept, at, at+1)
	return worker
}
