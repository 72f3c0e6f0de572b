package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ByteSize is a number of bytes, written "8GiB", "500MB" or "1048576".
type ByteSize int64

// byteUnits has the larger units of each kind first, as String tries them.
var byteUnits = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1},
}

// UnmarshalText reads "8GiB"; the unit may have a blank before it and any case.
func (b *ByteSize) UnmarshalText(text []byte) error {
	number, unit := strings.TrimSpace(string(text)), int64(1)
	for _, u := range byteUnits {
		if digits, found := cutSuffixFold(number, u.name); found {
			number, unit = strings.TrimSpace(digits), u.bytes
			break
		}
	}
	value, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsNaN(value) || value < 0 || value*float64(unit) >= math.MaxInt64 {
		return fmt.Errorf("%q is not a number of bytes; write it like 8GiB, 500MB or 1048576", text)
	}
	*b = ByteSize(value * float64(unit))
	return nil
}

// MarshalText writes the number in the largest unit that divides it.
func (b ByteSize) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

func (b ByteSize) String() string {
	for _, u := range byteUnits {
		if b != 0 && int64(b)%u.bytes == 0 {
			return strconv.FormatInt(int64(b)/u.bytes, 10) + u.name
		}
	}
	return "0B"
}

func cutSuffixFold(text, suffix string) (string, bool) {
	cut := len(text) - len(suffix)
	if cut < 0 || !strings.EqualFold(text[cut:], suffix) {
		return text, false
	}
	return text[:cut], true
}
