package broker

import "testing"

func TestDurabilityIsReadAsItIsWritten(t *testing.T) {
	for d := Memory; d <= Fsync; d++ {
		if got, err := ParseDurability(d.String()); err != nil || got != d {
			t.Errorf("%s was read as %s, %v", d, got, err)
		}
	}
	if _, err := ParseDurability("disk"); err == nil {
		t.Error("an unknown word was read")
	}
}
