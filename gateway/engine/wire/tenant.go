package wire

import (
	"fmt"
	"strings"
)

// tenantEnd parts a tenant from a channel in a qualified name. It is no byte of
// channels, patterns or tenants, so that nobody can write a qualified name.
const tenantEnd = "/"

// OwnTenant is the gateway's own. No credential can be of it, since a tenant's
// name has no $.
const OwnTenant = "$sg"

// HoleChannel is that of the records that stand for a hole: of what was
// published until then, another log may have taken a part that readers of this
// one should have had.
const HoleChannel = OwnTenant + tenantEnd + "log-hole"

// Own tells whether a qualified name, or a list of them, is of OwnTenant.
func Own(qualified string) bool { return strings.HasPrefix(qualified, OwnTenant+tenantEnd) }

// CheckTenant tells what is wrong with a tenant's name: empty for the default
// tenant, else a segment as in channel names. The error wraps ErrChannel.
func CheckTenant(tenant string) error {
	if tenant == "" {
		return nil
	}
	if err := checkSegment(tenant); err != nil {
		return fmt.Errorf("tenant: %w", err)
	}
	return nil
}

// Qualify gives the name that a tenant's channel or pattern has inside of a
// gateway, where channels of the same name in two tenants are two channels. In
// the default tenant, "", it is the name itself. Both must have been checked.
func Qualify(tenant, name string) string {
	if tenant == "" {
		return name
	}
	return tenant + tenantEnd + name
}

// Unqualified gives the name as the tenant's clients know it.
func Unqualified(qualified string) string {
	return qualified[strings.Index(qualified, tenantEnd)+1:]
}

func tenantOf(qualified string) string {
	return qualified[:max(strings.Index(qualified, tenantEnd), 0)]
}

// UnqualifiedAll is Unqualified of each, in a slice of its own.
func UnqualifiedAll(qualified []string) []string {
	plain := make([]string, len(qualified))
	for i, name := range qualified {
		plain[i] = Unqualified(name)
	}
	return plain
}
