package configurer

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/netsetgo/netsetgo"
)

// run is one run of one side: what it was asked for, what it holds open, and how
// to undo what it did. It is a netsetgo.Transaction.
type run struct {
	kernel Kernel
	began  time.Time
	// asked is the configuration as it was given, config the same with its
	// defaults.
	asked, config netsetgo.NetworkConfig

	host Conn
	// container, namespace and inode are of the container; nil and 0 where a run
	// that removes has no namespace at hand.
	container Conn
	namespace *os.File
	inode     uint64
	// pinned says that namespace is the run's own to close.
	pinned bool

	lock  Lock
	undos []func() error
	// flows are to be forgotten, once what let them go where they went is deleted.
	flows []step
	// uplinks are the host's; nil until they have been looked for.
	uplinks []Uplink
	// remembered are links of default routes, and those that notes remember something of, as
	// they were read since the lock was had, or somebody was waited for.
	remembered map[int]Link
	// noRules says that the kernel has none, and the container needs none.
	noRules bool
	// warn is Host's.
	warn func(text string)
	// bridgeStays says that the lock couldn't be had to undo the bridge.
	bridgeStays bool
}

var _ netsetgo.Transaction = (*run)(nil)

// undoTimeout bounds what an undo waits for, which is the lock; -timeout doesn't.
const undoTimeout = 10 * time.Second

// start opens all that a run needs, and takes the lock shared.
func start(kernel Kernel, netConfig netsetgo.NetworkConfig, pid int) (*run, error) {
	r := newRun(kernel, netConfig)
	err := r.enter(pid)
	if err == nil {
		err = r.connect()
	}
	if err == nil {
		err = r.relock(false, r.config.Deadline)
	}
	if err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func newRun(kernel Kernel, netConfig netsetgo.NetworkConfig) *run {
	return &run{kernel: kernel, began: time.Now(), asked: netConfig, config: netConfig.WithDefaults(), remembered: map[int]Link{}}
}

// enter pins the container's namespace, unless that came with the configuration,
// and connects to it.
func (r *run) enter(pid int) (err error) {
	if r.namespace = r.config.Namespace; r.namespace == nil {
		if r.namespace, err = r.kernel.Pin(pid); err != nil {
			return err
		}
		r.pinned = true
	}
	if r.inode, err = r.kernel.Inode(r.namespace); err != nil {
		return err
	}
	r.container, err = r.kernel.Connect(r.namespace)
	return err
}

func (r *run) connect() (err error) {
	r.host, err = r.kernel.Connect(nil)
	return err
}

// Commit implements netsetgo.Transaction.
func (r *run) Commit() { r.close() }

// Rollback implements netsetgo.Transaction.
func (r *run) Rollback() error {
	defer r.close()
	return r.undo()
}

// undo takes back what was done, in reverse order, and goes on when something can't be.
func (r *run) undo() error {
	r.config.Deadline = time.Now().Add(undoTimeout)
	var failed error
	for _, undo := range slices.Backward(r.undos) {
		if err := undo(); err != nil {
			failed = errors.Join(failed, fmt.Errorf("undoing: %w", err))
		}
	}
	return failed
}

// close lets go of what the run holds open. That a descriptor can't be closed
// changes nothing: all end with the process.
func (r *run) close() {
	r.unlock()
	for _, conn := range []Conn{r.container, r.host} {
		if conn != nil {
			_ = conn.Close()
		}
	}
	if r.pinned {
		_ = r.namespace.Close()
	}
}

// step is a change, why it is made, and the way to undo it; nil where it goes with
// its link.
type step struct {
	change Change
	why    string
	undo   func() error
}

// do makes changes in one go. What was made, or may have been, is remembered for
// undoing, also when another failed. The error is that of the first that failed:
// the later ones follow from it.
func (r *run) do(conn Conn, steps ...step) error {
	if err := r.inTime(); err != nil {
		return err
	}
	doing := make([]Step, len(steps))
	for i, step := range steps {
		doing[i] = Step{step.change, step.why}
	}
	var failed error
	for i, err := range conn.Do(doing...) {
		if steps[i].undo != nil && (err == nil || errors.Is(err, ErrUnknown)) {
			r.undos = append(r.undos, steps[i].undo)
		}
		if err != nil && failed == nil {
			failed = fmt.Errorf("%s: %w", steps[i].change.doing(), err)
		}
	}
	return failed
}

// reverse is an undo that makes changes. What is gone already is undone.
func reverse(conn Conn, changes ...Change) func() error {
	return func() error {
		undoing := make([]Step, len(changes))
		for i, change := range changes {
			undoing[i] = Step{change, "undo"}
		}
		var failed error
		for i, err := range conn.Do(undoing...) {
			if err != nil && !errors.Is(err, ErrNotFound) {
				failed = errors.Join(failed, fmt.Errorf("%s: %w", changes[i].doing(), err))
			}
		}
		return failed
	}
}

var errTimeout = errors.New("the time given by -timeout is over; give more, or end what is waited for")

// inTime is asked before each call to the kernel.
func (r *run) inTime() error { return inTime(r.config.Deadline) }

func inTime(deadline time.Time) error {
	if !deadline.IsZero() && time.Now().After(deadline) {
		return errTimeout
	}
	return nil
}

// relock takes the lock, or changes how it is held, and waits for others to let
// go of it. It is let go of between shared and exclusive.
func (r *run) relock(exclusive bool, deadline time.Time) error {
	for {
		err := r.tryLock(exclusive)
		if err == nil {
			return nil
		}
		if !errors.Is(err, ErrBusy) {
			return err
		}
		if late := inTime(deadline); late != nil {
			return fmt.Errorf("%w: %w", err, late)
		}
		r.rest(deadline)
	}
}

// tryLock forgets what was read: others may change it meanwhile, also where the lock isn't had.
func (r *run) tryLock(exclusive bool) error {
	clear(r.remembered)
	lock, err := r.kernel.TryLock(r.lock, exclusive)
	if err != nil {
		return err
	}
	r.lock = lock
	return nil
}

// aloneUnless takes the lock alone, or shared where another run has done meanwhile what that
// was for. It looks first while it holds nothing: else those who look would keep each other
// from it, and a hundred first runs at once would go on one by one.
func (r *run) aloneUnless(done func() (bool, error)) (alone bool, err error) {
	for {
		err := r.tryLock(true)
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, ErrBusy) {
			return false, err
		}
		is, looking := done()
		if is {
			// It may have been undone until the lock was had.
			if looking = r.relock(false, r.config.Deadline); looking == nil {
				is, looking = done()
			}
		}
		if is || looking != nil {
			return false, looking
		}
		if late := r.wait(); late != nil {
			return false, fmt.Errorf("putting up the rules: the lock is %w: %w", err, late)
		}
	}
}

// unlock lets go of the lock; that it can't be let go of changes nothing either.
func (r *run) unlock() {
	if r.lock != nil {
		_ = r.lock.Release()
		r.lock = nil
	}
}

// wait lets some time go by for somebody else to end what is in the way.
func (r *run) wait() error {
	r.rest(r.config.Deadline)
	clear(r.remembered)
	return r.inTime()
}

// rest is between two looks at what somebody else must end. A run that takes longer than usual
// looks less and less often: on a slow machine, a hundred of them would leave little of the
// processor to the one that works.
func (r *run) rest(deadline time.Time) {
	const usual = time.Second
	long := max(pause, (time.Since(r.began)-usual)/32)
	if !deadline.IsZero() {
		long = min(long, time.Until(deadline))
	}
	time.Sleep(long)
}
