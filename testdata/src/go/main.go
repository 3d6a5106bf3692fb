// Command tally is the ledger in Go.
//
//	tally          prints the sum and exits 0
//	tally crash    dereferences a nil pointer four calls deep and panics
//	tally wait     prints "ready" four calls deep, then sleeps for a minute
package main

import (
	"os"
	"time"

	"corpus.example/greet"
)

type entry struct {
	name  string
	cents int
}

var ledger = []*entry{{"bread", 250}, {"milk", 129}, {"tea", 480}}

//go:noinline
func add(item *entry, sum int, mode string) int {
	cents := item.cents
	next := sum + cents
	if mode == "wait" {
		os.Stdout.WriteString("ready\n")
		time.Sleep(time.Minute)
	}
	// stop here: the next line
	return next
}

//go:noinline
func tallyEntry(entries []*entry, index, sum int, mode string) int {
	item := entries[index]
	if index != 1 {
		mode = ""
	}
	if mode == "crash" {
		item = nil
	}
	return add(item, sum, mode)
}

//go:noinline
func tallyAll(entries []*entry, mode string) int {
	sum := 0
	for index := range entries {
		sum = tallyEntry(entries, index, sum, mode)
	}
	return sum
}

func main() {
	mode := ""
	if len(os.Args) > 1 {
		mode = os.Args[1]
	}
	sum := tallyAll(ledger, mode)
	os.Stdout.WriteString(greet.Line(len(ledger), sum))
}
