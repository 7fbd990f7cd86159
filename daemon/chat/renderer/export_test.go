package renderer

// KillWarm kills the processes that wait, and tells how many there were.
func (p *Process) KillWarm() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.warm {
		r.kill()
		_, _ = r.command.Process.Wait()
	}
	return len(p.warm)
}
