// Package greet is the one dependency of tally: with it, .go.buildinfo has a dependency to list.
package greet

// Line is the last line of a ledger.
//
//go:noinline
func Line(entries, cents int) string {
	text := itoa(entries) + " entries, " + itoa(cents) + " cents\n"
	return text
}

func itoa(number int) string {
	digits := ""
	for number > 0 {
		digits = string(rune('0'+number%10)) + digits
		number /= 10
	}
	return digits
}
