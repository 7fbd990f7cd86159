// Package mean smooths what is measured again and again.
package mean

import "time"

// Time takes a new measure into a moving average, of which it counts for one part in so many. The first measure is the
// average; 0 stands for none, and no average is ever 0 again.
func Time(average, measured time.Duration, parts int) time.Duration {
	if average == 0 {
		return max(measured, 1)
	}
	return max(average+(measured-average)/time.Duration(parts), 1)
}
