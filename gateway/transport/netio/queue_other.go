//go:build !linux

package netio

import (
	"context"
	"net"
)

// ShortQueue does nothing where the kernel has no such setting: clients are
// found slow later.
func ShortQueue(ctx context.Context, _ net.Conn) context.Context { return ctx }
