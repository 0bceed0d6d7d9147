//go:build linux

package contest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// nchanModule is where Debian puts it.
const nchanModule = "/usr/lib/nginx/modules/ngx_nchan_module.so"

const nchanConfig = `load_module %[1]s;
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid %[2]s/nginx.pid;
error_log %[2]s/nginx-error.log warn;
events { worker_connections 19990; }
http {
	access_log off;
	keepalive_requests 100000000;
	client_body_temp_path %[2]s/body;
	proxy_temp_path %[2]s/proxy;
	fastcgi_temp_path %[2]s/fastcgi;
	uwsgi_temp_path %[2]s/uwsgi;
	scgi_temp_path %[2]s/scgi;
	nchan_max_reserved_memory 512M;
	server {
		listen %[3]s backlog=4096;
		location = /stream {
			nchan_subscriber eventsource;
			nchan_channel_id $arg_channels;
			nchan_channel_id_split_delimiter ",";
			nchan_subscriber_first_message newest;
		}
		location = /publish {
			nchan_publisher;
			nchan_channel_id $arg_channel;
			nchan_message_buffer_length 1024;
			nchan_message_timeout 5m;
		}
	}
}
`

// nchan is the module of nginx, as Debian packages both.
func nchan() *Server {
	s := peer("nchan")
	s.Replays = true
	s.command = func(t Tools, _ Setup, p place) ([]string, error) {
		program, err := exec.LookPath("nginx")
		if err != nil {
			return nil, fmt.Errorf("nchan: %w: apt-get install nginx-light libnginx-mod-nchan", ErrMissing)
		}
		if _, err := os.Stat(nchanModule); err != nil {
			return nil, fmt.Errorf("nchan: %w: apt-get install libnginx-mod-nchan", ErrMissing)
		}
		path := filepath.Join(t.Dir, "nginx.conf")
		if err := os.WriteFile(path, fmt.Appendf(nil, nchanConfig, nchanModule, t.Dir, p.server), 0o600); err != nil {
			return nil, fmt.Errorf("writing nginx's configuration: %w", err)
		}
		return []string{program, "-c", path, "-e", filepath.Join(t.Dir, "nginx-error.log")}, nil
	}
	s.version = func(Tools) string {
		nginx, _ := exec.Command("nginx", "-v").CombinedOutput() // "" says enough
		module, _ := exec.Command("dpkg-query", "-W", "-f", "${Version}", "libnginx-mod-nchan").Output()
		return strings.TrimSpace(string(nginx)) + ", nchan " + string(module)
	}
	return s
}
