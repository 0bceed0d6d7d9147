package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestFlagsThatCannotWorkAreRefusedWithWords(t *testing.T) {
	cases := map[string]struct {
		args []string
		want string
	}{
		"no gateway image":    {nil, "--gateway-image is needed"},
		"a stray word":        {[]string{"--gateway-image=g", "start"}, `"start" is no flag`},
		"an unknown flag":     {[]string{"--image=g"}, "see --help"},
		"an unknown format":   {[]string{"--gateway-image=g", "--log-format=xml"}, "neither json nor text"},
		"an unknown level":    {[]string{"--gateway-image=g", "--log-level=loud"}, "none of debug"},
		"an empty namespace":  {[]string{"--gateway-image=g", "--watch-namespaces=a,,b"}, "empty name"},
		"a malformed boolean": {[]string{"--gateway-image=g", "--leader-elect=perhaps"}, "perhaps"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if _, err := parse(c.args, new(bytes.Buffer)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestFlagsReachTheOptions(t *testing.T) {
	o, err := parse([]string{"--gateway-image=g:1", "--watch-namespaces=shop, billing", "--leader-elect", "--kubeconfig=/nowhere"}, new(bytes.Buffer))
	if err != nil || o.gatewayImage != "g:1" || !slices.Equal(o.watchNamespaces, []string{"shop", "billing"}) || !o.leaderElect || o.done {
		t.Errorf("got %+v, %v", o, err)
	}
}

func TestHelpExplainsAndEnds(t *testing.T) {
	var out bytes.Buffer
	o, err := parse([]string{"--help"}, &out)
	if err != nil || !o.done {
		t.Fatalf("got %+v, %v", o, err)
	}
	for _, word := range []string{"Examples:", "--gateway-image", "--kubeconfig", "--leader-elect", "--watch-namespaces"} {
		if !strings.Contains(out.String(), word) {
			t.Errorf("the help does not speak of %s", word)
		}
	}
}
